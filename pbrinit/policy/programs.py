"""Programs of a policy, each with its user, and its room where it has one.

In: nothing (values only).  Out: `Program` and its parts.  `reader.programs` makes them from a file.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.services import Ports
from pbrinit.policy.interfaces import Interface

ROOT = 0


@dataclass(frozen=True)
class User:
    """A user by name and number."""

    name: str
    uid: int


ROOM_DEVICE = "r-"
"""The first letters of the device that leads into a room."""


class Restart(enum.Enum):
    """When a program that has ended is restarted."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class ControlAccess(enum.Enum):
    """What a program may do with the machine by `pbrctl`."""

    NOTHING = ""
    STATUS = "status"
    TRY = "try"


@dataclass(frozen=True)
class Share:
    """What a program may use up of the machine, with all that it starts.

    `memory` is in bytes, None for an equal part of what the programs with a number leave.
    `open_files` is for each process.  `cpu_weight` is its part of the processors where there is not
    enough for all (cpu.weight, Documentation/admin-guide/cgroup-v2.rst).
    """

    memory: int | None = None
    processes: int = 64
    open_files: int = 1024
    cpu_weight: int = 100


@dataclass(frozen=True)
class Program:
    """A program that PID 1 keeps running.

    `client_ports` are the ephemeral ports that only this program uses: a packet that arrives there
    is an answer to it.  `capabilities` are those that it keeps, by their names in capabilities(7)
    without CAP_.  `packages` are Debian packages that it needs.  `files` are for the image, as
    (path in the image, path of the source).  A program that is not `isolated` runs beside PID 1,
    and rules recognise it by its user.
    """

    name: str
    command: tuple[str, ...]
    user: User
    restart: Restart
    environment: tuple[tuple[str, str], ...]
    capabilities: tuple[str, ...]
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    control: ControlAccess
    isolated: bool
    client_ports: Ports
    share: Share = Share()

    @property
    def device(self) -> str:
        """The machine's end of the veth that leads into its room."""
        return f"{ROOM_DEVICE}{self.name}"

    @property
    def label(self) -> str:
        """The name of its room in texts; no interface has such a name."""
        return f"room {self.name}"


Zone = Interface | Program
"""Where packets arrive from or leave to: an interface, or a room."""
