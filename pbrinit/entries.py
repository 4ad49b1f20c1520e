"""One entry of the policy, taken apart into what leaves, what arrives, and what is only
asked about by the return path.

In: an `Entry` and a family.  Out: `Leaving` and `Arriving` values, a rule each but for
the own addresses and the tables, which the compiler knows.

The kernel keeps no state here, so that an answer is whatever has the ports of one:

                     arrives                          leaves
    input  tcp/22    to port 22                       from port 22
    output tcp/443   from port 443 to a client port   to port 443
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from pbrinit.addresses import Family, Prefix
from pbrinit.policy import EPHEMERAL, Direction, Entry, Ports, Protocol, Service

ROOT = 0
ECHO_REQUEST = {Family.V4: Ports(8 << 8, 8 << 8), Family.V6: Ports(128 << 8, 128 << 8)}
"""Type and code of an echo request where a port would be (union flowi_uli, net/flow.h)."""

ECHO_REPLY_6 = Ports(129 << 8, 129 << 8)
NOT_ECHO_REPLY_4 = Ports(1, 65534)
"""Echo reply is type 0, code 0, which a rule cannot name; this is everything else."""


class Way(enum.Enum):
    """Where a packet that leaves is led."""

    OUT = "out"
    SINK = "sink"
    REFUSED = "refused"


@dataclass(frozen=True)
class Leaving:
    """Packets of this machine, or the return path's question about what arrives.

    `from_own` asks for a source that is already chosen.
    """

    way: Way
    peer: Prefix | None
    protocol: int
    own_ports: Ports | None = None
    peer_ports: Ports | None = None
    uid: int | None = None
    from_own: bool = False


@dataclass(frozen=True)
class Arriving:
    """Packets for this machine."""

    peer: Prefix | None
    protocol: int
    own_ports: Ports | None = None
    peer_ports: Ports | None = None


def _prefixes(entry: Entry, family: Family) -> Iterator[Prefix | None]:
    """The peers; None for any, since the kernel does not tell a prefix of length 0 back
    (fib4_rule_fill, net/ipv4/fib_rules.c).
    """
    for prefix in entry.peers.of(family).prefixes:
        yield prefix if prefix.prefixlen else None


def _pairs(entry: Entry, family: Family) -> Iterator[tuple[Prefix | None, Service]]:
    for peer in _prefixes(entry, family):
        for service in entry.services:
            yield peer, service


def asks(entry: Entry, family: Family) -> Iterator[Leaving]:
    """What programs send to open an exchange.

    A UDP socket has its port by the time of the look-up (inet_autobind in
    inet_dgram_connect and inet_send_prepare), a TCP socket that connects does not.
    """
    if entry.direction is not Direction.OUTPUT:
        return
    uid = entry.user.uid if entry.user else None
    for peer, service in _pairs(entry, family):
        own_ports = EPHEMERAL if service.protocol == Protocol.UDP else None
        peer_ports = ECHO_REQUEST[family] if service.echo else service.ports
        yield Leaving(Way.OUT, peer, service.number(family), own_ports, peer_ports, uid)


def answers(entry: Entry, family: Family) -> Iterator[Leaving]:
    """What this machine answers to those who opened an exchange.

    A UDP server that is bound to no address answers with a source still to be chosen;
    TCP and the kernel's echo replies have one.
    """
    if entry.direction is not Direction.INPUT:
        return
    uid = entry.user.uid if entry.user else None
    for peer, service in _pairs(entry, family):
        number = service.number(family)
        if service.echo and family is Family.V6:
            yield Leaving(Way.OUT, peer, number, None, ECHO_REPLY_6, ROOT, from_own=True)
        elif service.echo:
            yield Leaving(Way.REFUSED, peer, number, None, NOT_ECHO_REPLY_4)
            yield Leaving(Way.OUT, peer, number, None, None, ROOT, from_own=True)
        else:
            bound = service.protocol == Protocol.TCP
            yield Leaving(Way.OUT, peer, number, service.ports, None, uid, from_own=bound)


def returns(entry: Entry, family: Family) -> Iterator[Leaving]:
    """What only the return path check may find (fib_validate_source, IPv4, as uid 0).

    It is led into the sink, so that it opens nothing to root. Where anybody may send the
    packet that the check asks about, no rule is needed.
    """
    if family is not Family.V4:
        return
    for peer, service in _pairs(entry, family):
        number = service.number(family)
        if entry.direction is Direction.OUTPUT and service.echo:
            yield Leaving(Way.SINK, peer, number, None, None, ROOT, from_own=True)
        elif entry.user is None or entry.user.uid == ROOT or service.echo:
            continue
        elif entry.direction is Direction.OUTPUT:
            own_ports = EPHEMERAL if service.ports else None
            yield Leaving(Way.SINK, peer, number, own_ports, service.ports, ROOT, from_own=True)
        else:
            yield Leaving(Way.SINK, peer, number, service.ports, None, ROOT, from_own=True)


def heard(entry: Entry, family: Family) -> Iterator[Arriving]:
    """What may arrive: what the peer sends to open an exchange, or answers.

    ICMPv6 to ourselves is heard from everybody, since neighbour discovery needs it.
    """
    for peer, service in _pairs(entry, family):
        if service.echo and family is Family.V6:
            continue
        number = service.number(family)
        if entry.direction is Direction.INPUT:
            yield Arriving(peer, number, own_ports=service.ports)
        else:
            own_ports = EPHEMERAL if service.ports else None
            yield Arriving(peer, number, own_ports, peer_ports=service.ports)
