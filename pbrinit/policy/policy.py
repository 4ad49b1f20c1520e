"""What the person asked for, checked: names resolved, prefixes parsed, nothing left to doubt.

In: nothing (values only).  Out: `Policy` and its parts.  `language` makes them from a
file, `compiler` takes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import EPHEMERAL, Ports, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Run, User, Way


@dataclass(frozen=True)
class Peers:
    """A set of addresses of both families, with the words that the policy has for it."""

    text: str
    four: AddressSet
    six: AddressSet

    @property
    def both(self) -> tuple[AddressSet, AddressSet]:
        """The addresses of either family."""
        return self.four, self.six

    def of(self, family: Family) -> AddressSet:
        """The addresses of one family."""
        return self.four if family is Family.V4 else self.six


class Direction(enum.Enum):
    """Who opens the exchange that an entry is about: others, this machine, others through it."""

    INPUT = "input"
    OUTPUT = "output"
    FORWARD = "forward"


ANYBODY = Peers("anywhere", *(AddressSet.everything(family) for family in Family))


@dataclass(frozen=True)
class Entry:
    """One exchange that is allowed: the packets it names, and their answers.

    `interfaces` are those it comes or goes by; of a forwarded one those it comes by, and
    `ways_out` those it leaves by.  `sources` ask, `destinations` are asked; this machine's own
    end of an exchange is ANYBODY.  `clients` are the ports that those who ask take where both
    ends are elsewhere, or one of this machine's does.  `user` None is any user of this machine.
    With `room` it is about the one program in that room, and without about the machine itself.
    """

    key: str
    direction: Direction
    interfaces: tuple[Interface, ...]
    ways_out: tuple[Interface, ...]
    sources: Peers
    destinations: Peers
    services: tuple[Service, ...]
    clients: Ports
    user: User | None
    room: Run | None = None

    def __str__(self) -> str:
        names = ", ".join(interface.name for interface in self.interfaces)
        services = ", ".join(str(service) for service in self.services)
        user = f", as {self.user.name} only" if self.user else ""
        user = f", {self.room.name} only" if self.room else user
        if self.direction is Direction.FORWARD:
            out = ", ".join(interface.name for interface in self.ways_out)
            ends = f"from {names} to {out}: {self.sources.text} to {self.destinations.text}"
            return f"forward {ends}: {services}"
        side = "from" if self.direction is Direction.INPUT else "to"
        return f"{self.direction.value} by {names} {side} {self.peers.text}: {services}{user}"

    @property
    def peers(self) -> Peers:
        """The other end, of an exchange that has one here."""
        return self.sources if self.direction is Direction.INPUT else self.destinations


@dataclass(frozen=True)
class Between:
    """What the program in one room may ask of the one in another."""

    key: str
    asking: Run
    asked: Run
    services: tuple[Service, ...]

    def __str__(self) -> str:
        services = ", ".join(str(service) for service in self.services)
        return f"between {self.asking.name} and {self.asked.name}: {services}"


@dataclass(frozen=True)
class Deny:
    """Exchanges that are refused although an entry allows them, and their answers.

    Only the other end counts where one is this machine's: with `sources` alone it is about
    what others open, here or through here; with `destinations` alone about what is opened from
    here or through here; with both about what passes through; with neither about everything.
    No service is every packet.  With a user, only what that user's programs send is refused.
    `reject` tells who is refused: by ICMP, where it is forwarded.  `log` writes down who asks, of
    others, for what is refused.
    """

    key: str
    interfaces: tuple[Interface, ...]
    sources: Peers | None
    destinations: Peers | None
    services: tuple[Service, ...]
    user: User | None
    reject: bool
    log: bool = False

    def __str__(self) -> str:
        words = [f"deny by {', '.join(interface.name for interface in self.interfaces)}"]
        words += [f"from {self.sources.text}"] if self.sources else []
        words += [f"to {self.destinations.text}"] if self.destinations else []
        services = ", ".join(str(service) for service in self.services) or "everything"
        user = f", as {self.user.name} only" if self.user else ""
        log = ", logged" if self.log else ""
        return f"{' '.join(words)}: {services}{user}{log}"


@dataclass(frozen=True)
class Expectation:
    """What must hold for all packets that open an exchange: that none is let through
    (`always` False), or that each is, and its answer (`always` True).

    It is about each of `directions`; the other fields are as an Entry's, no service is any.
    """

    key: str
    always: bool
    directions: tuple[Direction, ...]
    interfaces: tuple[Interface, ...]
    ways_out: tuple[Interface, ...]
    sources: Peers
    destinations: Peers
    services: tuple[Service, ...]
    user: User | None
    room: Run | None = None


class Ending(enum.Enum):
    """What a machine does whose interfaces are down because something failed."""

    STAY = "stay"
    REBOOT = "reboot"
    POWEROFF = "poweroff"


@dataclass(frozen=True)
class OnFailure:
    """What a closed machine does, and after how many seconds."""

    ending: Ending = Ending.STAY
    seconds: int = 0


STAY = OnFailure()


@dataclass(frozen=True)
class Metrics:
    """The status page for Prometheus: its TCP port, and the user whose program serves it."""

    port: int
    user: User


@dataclass(frozen=True)
class Policy:
    """The whole file. `password` is the console's, hashed; `log` says who was refused."""

    hostname: str
    interfaces: tuple[Interface, ...]
    users: tuple[User, ...]
    entries: tuple[Entry, ...]
    denies: tuple[Deny, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    on_failure: OnFailure = STAY
    runs: tuple[Run, ...] = ()
    betweens: tuple[Between, ...] = ()
    clients: Ports = EPHEMERAL
    """The ports that clients outside of rooms take."""
    password: str | None = None
    metrics: Metrics | None = None
    log: bool = False
    given: tuple[str, ...] = ()
    """What it is configured with, of all that its interfaces ask for (`configured.Given.text`)."""

    @property
    def logged(self) -> tuple[Deny, ...]:
        """The deny entries that are logged by themselves; none where all that is refused is."""
        return () if self.log else tuple(deny for deny in self.denies if deny.log)

    @property
    def logs(self) -> bool:
        """Whether anybody who is refused is written down."""
        return self.log or bool(self.logged)

    @property
    def allowing(self) -> tuple[Entry | Between, ...]:
        """All that lets something pass."""
        return (*self.entries, *self.betweens)

    @property
    def rooms(self) -> tuple[Run, ...]:
        """The programs that have a room each."""
        return tuple(run for run in self.runs if run.isolated)

    @property
    def ways(self) -> tuple[Way, ...]:
        """All that a packet can come or go by."""
        return (*self.interfaces, *self.rooms)
