"""What an administrator requests, checked: names are resolved, prefixes are parsed.

In: nothing (values only).  Out: `Policy` and its parts.  `reader` makes them from a file, the
compiler and the semantics take them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Program, User, Zone


@dataclass(frozen=True)
class AddressGroup:
    """A set of addresses of both families, with the name that the policy gives it."""

    text: str
    four: AddressSet
    six: AddressSet

    @property
    def both(self) -> tuple[AddressSet, AddressSet]:
        """The addresses of IPv4, and those of IPv6."""
        return self.four, self.six

    def in_family(self, family: Family) -> AddressSet:
        """The addresses of one family."""
        return self.four if family is Family.V4 else self.six


class Direction(enum.Enum):
    """Who opens the exchange of an entry: other hosts with this machine, this machine, or other
    hosts through this machine.
    """

    INPUT = "input"
    OUTPUT = "output"
    FORWARD = "forward"


ANYBODY = AddressGroup("anywhere", *(AddressSet.everything(family) for family in Family))


@dataclass(frozen=True)
class Allow:
    """An allow entry: the exchange that it allows, which is requests and their answers.

    Requests arrive or leave by `interfaces`; forwarded requests arrive by `interfaces` and leave by
    `egress_interfaces`.  `sources` send requests, `destinations` get them; this machine's own end
    is ANYBODY.  `client_ports` are the source ports of requests that are forwarded or that this
    machine sends.  `user` None is any user of this machine.  With `room` the entry is about the
    program in that room, and without about the machine itself.
    """

    key: str
    direction: Direction
    interfaces: tuple[Interface, ...]
    egress_interfaces: tuple[Interface, ...]
    sources: AddressGroup
    destinations: AddressGroup
    services: tuple[Service, ...]
    client_ports: Ports
    user: User | None
    room: Program | None = None

    def __str__(self) -> str:
        names = ", ".join(interface.name for interface in self.interfaces)
        services = ", ".join(str(service) for service in self.services)
        user = f", as {self.user.name} only" if self.user else ""
        user = f", {self.room.name} only" if self.room else user
        if self.direction is Direction.FORWARD:
            out = ", ".join(interface.name for interface in self.egress_interfaces)
            ends = f"from {names} to {out}: {self.sources.text} to {self.destinations.text}"
            return f"forward {ends}: {services}"
        side = "from" if self.direction is Direction.INPUT else "to"
        return f"{self.direction.value} by {names} {side} {self.peers.text}: {services}{user}"

    @property
    def peers(self) -> AddressGroup:
        """The hosts at the other end of an exchange with this machine."""
        return self.sources if self.direction is Direction.INPUT else self.destinations


@dataclass(frozen=True)
class RoomAllow:
    """The services that the program in one room may request of the program in another."""

    key: str
    client: Program
    server: Program
    services: tuple[Service, ...]

    def __str__(self) -> str:
        services = ", ".join(str(service) for service in self.services)
        return f"between {self.client.name} and {self.server.name}: {services}"


@dataclass(frozen=True)
class Deny:
    """A deny entry: exchanges that are denied although an allow entry allows them.

    Where one end is this machine, only the other end counts: `sources` alone denies what these
    hosts open with this machine or through it; `destinations` alone denies what is opened from
    this machine or through it; both deny what is forwarded; neither denies all of these.  No
    service is every packet.  With a user, only what that user's programs send is denied.  `reject`:
    the sender of a packet that would be forwarded gets an ICMP error.  `log`: denied requests of
    other hosts are logged.
    """

    key: str
    interfaces: tuple[Interface, ...]
    sources: AddressGroup | None
    destinations: AddressGroup | None
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
    """What must hold for all requests that it names: none is allowed (`always` False), or each
    is, and so is its answer (`always` True).

    It is about each of `directions`; the other fields are those of `Allow`. No service is any.
    With `answers` packets that entries allow as answers may pass all the same.
    """

    key: str
    always: bool
    directions: tuple[Direction, ...]
    interfaces: tuple[Interface, ...]
    egress_interfaces: tuple[Interface, ...]
    sources: AddressGroup
    destinations: AddressGroup
    services: tuple[Service, ...]
    user: User | None
    room: Program | None = None
    answers: bool = False


class FailureAction(enum.Enum):
    """What the machine does after a failure, when all interfaces are down."""

    STAY = "stay"
    REBOOT = "reboot"
    POWEROFF = "poweroff"


@dataclass(frozen=True)
class OnFailure:
    """The failure action, and after how many seconds."""

    action: FailureAction = FailureAction.STAY
    seconds: int = 0


STAY = OnFailure()


@dataclass(frozen=True)
class Metrics:
    """The status page for Prometheus: its TCP port, and the user that serves it."""

    port: int
    user: User


@dataclass(frozen=True)
class Policy:
    """A policy file. `password` is the hash of the console's password; `log`: refused packets are
    logged.
    """

    hostname: str
    interfaces: tuple[Interface, ...]
    users: tuple[User, ...]
    allows: tuple[Allow, ...]
    denies: tuple[Deny, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    on_failure: OnFailure = STAY
    programs: tuple[Program, ...] = ()
    room_allows: tuple[RoomAllow, ...] = ()
    client_ports: Ports = LOCAL_EPHEMERAL_PORTS
    """The ephemeral ports of clients that are in no room."""
    password: str | None = None
    metrics: Metrics | None = None
    log: bool = False
    assignments: tuple[str, ...] = ()
    """What its dynamic interfaces are assigned (`assigned.Assignment.text`)."""

    @property
    def logged(self) -> tuple[Deny, ...]:
        """The deny entries with a log of their own; none where every refused packet is logged."""
        return () if self.log else tuple(deny for deny in self.denies if deny.log)

    @property
    def logs(self) -> bool:
        """Whether any refused packet is logged."""
        return self.log or bool(self.logged)

    @property
    def all_allows(self) -> tuple[Allow | RoomAllow, ...]:
        """All entries that allow something."""
        return (*self.allows, *self.room_allows)

    @property
    def rooms(self) -> tuple[Program, ...]:
        """The programs that have a room."""
        return tuple(program for program in self.programs if program.isolated)

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones that packets arrive from or leave to: interfaces and rooms."""
        return (*self.interfaces, *self.rooms)
