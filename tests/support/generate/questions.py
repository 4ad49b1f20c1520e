"""Questions drawn at random, in the language of `pbrctl explain`.

In: a `Policy`, its `Plan` and a source of random numbers.  Out: `Asked` values: the text of a
question, and the packet and its way, from which the text was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random

from pbrinit.net.addresses import Address, Family
from pbrinit.net.icmp import ECHO_REQUEST
from pbrinit.net.packet import WITH_PORTS, Egress, Ingress, Origin, Packet
from pbrinit.net.services import Protocol
from pbrinit.plan.plan import Plan, RouteType
from pbrinit.policy.policy import Policy
from tests.support.generate.packets import Packets

PROTOCOLS = (Protocol.TCP, Protocol.UDP, Protocol.ICMP, Protocol.ICMPV6, 47, 132)
"""What a frame can be recognised by, and a tap sees."""

WORDS = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}
EVERYBODY = ip_address("255.255.255.255")
HOPS = (1, 2, 255)
ANY = {Family.V4: "0.0.0.0", Family.V6: "::"}

BINDINGS = ((True, False), (True, False), (False, True), (False, False))
"""Whether a socket is bound to an address and a port, and whether to a port alone."""


@dataclass(frozen=True)
class Asked:
    """A question, and what it is about."""

    text: str
    packet: Packet
    origin: Origin


class Questions:
    """Draws questions near what a plan speaks of."""

    def __init__(self, policy: Policy, plan: Plan, random: Random) -> None:
        self._random = random
        self._packets = Packets(plan, random)
        self._names = {i.device: i.name for i in policy.interfaces}
        self._rooms = {room.device: room.name for room in policy.rooms}
        self._users = {user.uid: user.name for user in policy.users}
        self._client_port = policy.client_ports.first
        self._own: dict[Family, list[Address]] = {
            family: [a.ip for i in policy.interfaces for a in i.addresses_of(family)]
            for family in Family
        }
        # A socket that is bound to the address of everybody on a link has no source (inet_bind).
        self._no_source = {
            route.destination.network_address
            for link in plan.links
            for route in (*link.preaddress_routes, *link.routes)
            if route.type is RouteType.BROADCAST and route.destination
        } | {a.network.broadcast_address for i in policy.interfaces for a in i.addresses}

    def __iter__(self) -> Iterator[Asked]:
        for packet, origin in self._packets:
            asked = (
                self._arriving(packet, origin)
                if isinstance(origin, Ingress)
                else self._leaving(packet, origin)
            )
            if asked is not None:
                yield asked

    def _arriving(self, packet: Packet, origin: Ingress) -> Asked | None:
        """What a frame can be, but what everybody on a link hears, which no look-up decides."""
        source = packet.source
        if packet.protocol not in PROTOCOLS or source is None or _of_a_link(packet):
            return None
        if self._random.random() < 0.1:
            packet = replace(packet, ttl=self._random.choice(HOPS))
        hops = "" if packet.ttl == Packet.ttl else f" hops {packet.ttl}"
        ends = f"{self._protocol(packet)} {self._end(packet, source, packet.source_port)} > "
        ends += self._end(packet, packet.destination, packet.destination_port)
        if origin.device in self._rooms:
            return Asked(f"out run={self._rooms[origin.device]} {ends}{hops}", packet, origin)
        word = self._random.choice(("in", "forward"))
        name = self._random.choice((origin.device, self._names[origin.device]))
        return Asked(f"{word} {name} {ends}{hops}", packet, origin)

    def _leaving(self, packet: Packet, origin: Egress) -> Asked | None:
        """What a socket can send, bound to an address and a port, to a port, or to nothing."""
        if packet.protocol not in PROTOCOLS or _is_unaskable(packet, origin):
            return None
        if origin.device is not None and origin.device not in self._names:
            return None
        packet, sender = self._bound(packet, origin)
        ported = sender.bound or sender.port_bound
        if packet.protocol in WITH_PORTS and (
            packet.destination_port == 0 or (ported and packet.source_port == 0)
        ):
            return None
        words = ["out", self._protocol(packet)]
        if packet.source is not None:
            words.append(self._end(packet, packet.source, packet.source_port))
        elif sender.port_bound:
            words.append(_with_port(ANY[packet.family], packet.source_port))
        words += [">", self._end(packet, packet.destination, packet.destination_port)]
        return Asked(" ".join([*words, *self._options(origin)]), packet, sender)

    def _bound(self, packet: Packet, origin: Egress) -> tuple[Packet, Egress]:
        """The packet with the source that its socket is bound to, and what the socket has."""
        random, own = self._random, self._own[packet.family]
        bound, port_bound = random.choice(BINDINGS)
        source = packet.source
        if own and random.random() < 0.5:
            source = random.choice(own)
        scoped = source is not None and (source.is_multicast or source.is_link_local)
        if source is None or source.is_unspecified or scoped or source in self._no_source:
            bound = False
        port_bound = port_bound and packet.protocol in WITH_PORTS
        packet = replace(packet, source=source if bound else None)
        if packet.protocol in WITH_PORTS and not bound and not port_bound:
            packet = replace(packet, source_port=self._client_port)
        return packet, replace(origin, bound=bound, port_bound=port_bound)

    def _options(self, origin: Egress) -> Iterator[str]:
        if origin.uid or self._random.random() < 0.2:
            yield "as"
            yield self._random.choice(
                (str(origin.uid), self._users.get(origin.uid, str(origin.uid)))
            )
        if origin.device is not None:
            yield "by"
            yield self._random.choice((origin.device, self._names[origin.device]))

    def _protocol(self, packet: Packet) -> str:
        if packet.protocol in WORDS:
            return WORDS[Protocol(packet.protocol)]
        if packet.icmp is None:
            return f"ip/{packet.protocol}"
        kind, code = packet.icmp
        echo = packet.icmp == (ECHO_REQUEST[packet.family].type, 0)
        same = [f"icmp/{kind}/{code}"]
        same += [f"icmp/{kind}"] if code == 0 else []
        same += ["icmp", "icmp/echo"] if echo else []
        return self._random.choice(same)

    def _end(self, packet: Packet, address: Address, port: int) -> str:
        if packet.protocol in WITH_PORTS:
            return _with_port(str(address), port)
        return f"[{address}]" if packet.family is Family.V6 else str(address)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _of_a_link(packet: Packet) -> bool:
    """Whether it is for a group, for a link-local address, or for this host alone."""
    to = packet.destination
    return (
        to.is_multicast or to.is_link_local or to.is_unspecified or to.is_loopback
        or to == EVERYBODY or _is_mapped(to)
    )  # fmt: skip


def _is_unaskable(packet: Packet, sender: Egress) -> bool:
    """Whether no socket sends it as it stands: to a link-local address without a device, or to
    0.0.0.0; or it never leaves: to loopback by another device.
    """
    to = packet.destination
    if _is_mapped(to) or to.is_unspecified or (to.is_loopback and sender.device is not None):
        return True
    scoped = to.version == Family.V6.version and (to.is_link_local or to.is_multicast)
    return scoped and sender.device is None


def _is_mapped(address: Address) -> bool:
    return getattr(address, "ipv4_mapped", None) is not None
