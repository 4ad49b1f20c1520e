"""Programs of a policy, each with its user, and its room where it has one.

In: nothing (values only).  Out: `Run` and its parts.  `reader.programs` makes them from a file.
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
"""How the devices that lead into rooms begin."""


class Restart(enum.Enum):
    """When a program that has ended is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class Ask(enum.Enum):
    """What a program may ask of the machine, by `pbrctl`."""

    NOTHING = ""
    STATUS = "status"
    TRY = "try"


@dataclass(frozen=True)
class Run:
    """A program that PID 1 keeps running.

    `clients` are the ports that its own clients take, no other program's: what arrives there is
    an answer to it.  `capabilities` are those it keeps, by their names in capabilities(7) without
    CAP_; `packages` of Debian have it, and `files` are put into the image, as (path there, path
    of the source).  Unless `isolated` it runs beside PID 1, and is told from others by its user.
    """

    name: str
    command: tuple[str, ...]
    user: User
    restart: Restart
    environment: tuple[tuple[str, str], ...]
    capabilities: tuple[str, ...]
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    ask: Ask
    isolated: bool
    clients: Ports

    @property
    def device(self) -> str:
        """The machine's end of the veth that leads into its room."""
        return f"{ROOM_DEVICE}{self.name}"

    @property
    def label(self) -> str:
        """What its room is called; no interface has such a name."""
        return f"room {self.name}"


Way = Interface | Run
"""By which a packet comes or goes: an interface, or the door of a room."""
