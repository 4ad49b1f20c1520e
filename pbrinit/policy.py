"""What the person asked for, checked: names resolved, prefixes parsed, nothing left to doubt.

In: nothing (values only).  Out: `Policy` and its parts.  `language` makes them from a
file, `compiler` takes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.addresses import Address, AddressSet, Family, InterfaceAddress, Prefix


class Protocol(enum.IntEnum):
    """The IP protocols that have a meaning of their own here (IANA protocol numbers)."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58


@dataclass(frozen=True, order=True)
class Ports:
    """A range of ports, both ends in it. 0 and 65535 cannot be written in a rule."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def overlaps(self, other: Ports) -> bool:
        """Whether a port is in both."""
        return self.first <= other.last and other.first <= self.last


EPHEMERAL = Ports(32768, 60999)
"""Where every client's own port is taken from (ip_local_port_range, ip-sysctl.rst)."""


@dataclass(frozen=True, order=True)
class Service:
    """One protocol, with its ports on the server's side where it has any.

    `echo` is ping: ICMP in IPv4 and ICMPv6 in IPv6, of which only echoes are asked or
    answered; `protocol` is then ICMP and stands for both.
    """

    protocol: int
    ports: Ports | None = None
    echo: bool = False

    def __str__(self) -> str:
        if self.echo:
            return "icmp/echo"
        words = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}
        if self.ports is None:
            return f"ip/{self.protocol}"
        return f"{words[Protocol(self.protocol)]}/{self.ports}"

    def number(self, family: Family) -> int:
        """The IP protocol number of this service in `family`."""
        return Protocol.ICMPV6 if self.echo and family is Family.V6 else self.protocol


@dataclass(frozen=True)
class Interface:
    """An interface that may be brought up; every other one stays down."""

    name: str
    device: str
    mac: str | None
    addresses: tuple[InterfaceAddress, ...]
    gateways: tuple[Address, ...]

    def own(self, family: Family) -> tuple[InterfaceAddress, ...]:
        """The addresses of one family."""
        return tuple(a for a in self.addresses if a.version == family.version)

    def gateway(self, family: Family) -> Address | None:
        """The gateway of one family, where there is one."""
        return next((g for g in self.gateways if g.version == family.version), None)


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


@dataclass(frozen=True)
class User:
    """A user by name and number."""

    name: str
    uid: int


class Direction(enum.Enum):
    """Who opens the exchange that an entry is about."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True)
class Entry:
    """One exchange that is allowed: the packets it names, and their answers.

    `peers` is None for any address; `user` is None for any user of this machine.
    """

    key: str
    direction: Direction
    interfaces: tuple[Interface, ...]
    peers: Peers | None
    services: tuple[Service, ...]
    user: User | None

    def __str__(self) -> str:
        side = "from" if self.direction is Direction.INPUT else "to"
        devices = ", ".join(interface.name for interface in self.interfaces)
        peers = self.peers.text if self.peers else "anywhere"
        services = ", ".join(str(service) for service in self.services)
        user = f", as {self.user.name} only" if self.user else ""
        return f"{self.direction.value} by {devices} {side} {peers}: {services}{user}"

    def prefixes(self, family: Family) -> tuple[Prefix | None, ...]:
        """The peers of one family: prefixes, or None for any, or nothing.

        A prefix of length 0 is any: the kernel does not tell it back (fib4_rule_fill).
        """
        if self.peers is None:
            return (None,)
        prefixes = self.peers.of(family).prefixes
        return tuple(prefix if prefix.prefixlen else None for prefix in prefixes)


@dataclass(frozen=True)
class Policy:
    """The whole file."""

    hostname: str
    interfaces: tuple[Interface, ...]
    users: tuple[User, ...]
    entries: tuple[Entry, ...]
