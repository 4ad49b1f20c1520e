"""By which packets come and go: the interfaces of a machine, and its programs, each in its room.

In: nothing (values only).  Out: `Interface`, `Run` and their parts.  `interfaces` and `programs`
make them from a file.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix
from pbrinit.net.services import Ports

GIVEN = {Family.V4: "by DHCP", Family.V6: "by router advertisement"}
"""How an address of a family is given to an interface on its link."""


@dataclass(frozen=True)
class Routed:
    """A prefix that lives beyond a router of a link, and that router's address there."""

    prefix: Prefix
    via: Address

    def __str__(self) -> str:
        return f"{self.prefix} via {self.via}"


@dataclass(frozen=True)
class Interface:
    """An interface that may be brought up; every other one stays down.

    Of the families in `asks` its address and gateway are given to it on its link: IPv4's by DHCP,
    IPv6's by router advertisement. `addresses`, `gateways` and `routes` have what is given for as
    long as it is (`configured`).
    """

    name: str
    device: str
    mac: str | None
    addresses: tuple[InterfaceAddress, ...]
    gateways: tuple[Address, ...]
    asks: frozenset[Family] = frozenset()
    routes: tuple[Routed, ...] = ()

    def waits(self, family: Family) -> bool:
        """Whether it is still to be given its address of the family."""
        return family in self.asks and not self.own(family)

    def speaks(self, family: Family) -> bool:
        """Whether anything of the family passes by it, if only what asks for an address."""
        return family in self.asks or bool(self.own(family))

    @property
    def label(self) -> str:
        """What it is called where rooms are spoken of as well."""
        return self.name

    def own(self, family: Family) -> tuple[InterfaceAddress, ...]:
        """The addresses of one family."""
        return tuple(a for a in self.addresses if a.version == family.version)

    def routes_of(self, family: Family) -> tuple[Routed, ...]:
        """The routes of one family, as they are written."""
        return tuple(route for route in self.routes if route.via.version == family.version)

    def routed(self, family: Family) -> tuple[Routed, ...]:
        """The same, for as long as there is an address of the family: before nobody lives there."""
        return self.routes_of(family) if self.own(family) else ()

    def gateway(self, family: Family) -> Address | None:
        """The gateway of one family, where there is one."""
        return next((g for g in self.gateways if g.version == family.version), None)


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
