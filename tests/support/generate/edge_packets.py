"""Packets at the edges of what a policy speaks of, and of one rule of its plan.

In: a `Policy`, perhaps a `Rule`, and a source of random numbers.  Out: packets that an entry names,
but perhaps for one field, which is just beside it or the rule's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from pbrinit.net.addresses import Address, AddressSet, Family, Prefix, family_of
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES, Egress, Ingress, Origin, Packet
from pbrinit.net.services import Ports, PortSet, Protocol
from pbrinit.plan.plan import Rule
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Zone
from pbrinit.semantics.header_space import HeaderSpace
from pbrinit.semantics.paths import PolicySemantics

PROTOCOLS = (Protocol.TCP, Protocol.UDP, 47, 1, 58, 0, 2)
LAST_PORT = 65535


@dataclass(frozen=True)
class _Named:
    """A box and its path."""

    family: Family
    ingress: Zone | None
    egress: Zone | None
    box: HeaderSpace


class Drawn:
    """Packets of one policy."""

    def __init__(self, policy: Policy, random: Random) -> None:
        self._random = random
        self._devices = [way.device for way in policy.zones]
        self._named: dict[Family, list[_Named]] = {}
        meaning, ways = PolicySemantics(policy), (None, *policy.zones)
        for family in Family:
            self._named[family] = [
                _Named(family, ingress, egress, box)
                for ingress in ways
                for egress in ways
                if ingress is not egress
                for part in [meaning.path_policy(family, ingress, egress)]
                for box in (*part.allowed, *part.denied, *part.always)
                if box.sources and box.destinations
            ]

    def near(self, rule: Rule | None = None) -> tuple[Packet, Origin]:
        """One packet; some of its fields are the rule's, where there is one."""
        random = self._random
        family = rule.family if rule else random.choice([f for f in Family if self._named[f]])
        named = random.choice(self._named[family])
        form = named.box.pattern
        packet = Packet(
            form.protocol if form.protocol is not None else random.choice(PROTOCOLS),
            self._address(named.box.sources),
            self._address(named.box.destinations),
            self._port(form.source_ports),
            self._port(form.destination_ports),
        )
        uid = named.box.uid if named.box.uid is not None else random.choice((0, 1, 1001))
        if random.random() < 0.3:
            uid += random.choice((-1, 1)) if uid else 1
        packet, uid = self._like(rule, packet, uid)
        direction: Origin
        if named.ingress is not None:
            device = named.ingress.device if random.random() < 0.9 else random.choice(self._devices)
            direction = Ingress(rule.iif if rule and rule.iif in self._devices else device)
        else:
            device_ = random.choice((None, None, None, *self._devices))
            direction = Egress(uid, device_, bound=random.random() < 0.7)
        return _shaped(packet, direction), direction

    def packets(self, count: int, rule: Rule | None = None) -> Iterator[tuple[Packet, Origin]]:
        """Some packets."""
        return (self.near(rule) for _ in range(count))

    def _like(self, rule: Rule | None, packet: Packet, uid: int) -> tuple[Packet, int]:
        """Some fields as the rule has them, or just beside."""
        random = self._random
        if rule is None:
            return packet, uid
        if rule.source is not None and random.random() < 0.5:
            packet = replace(packet, source=self._in(rule.source))
        if rule.destination is not None and random.random() < 0.5:
            packet = replace(packet, destination=self._in(rule.destination))
        if rule.source_ports is not None and random.random() < 0.7:
            packet = replace(packet, source_port=self._port((rule.source_ports,)))
        if rule.destination_ports is not None and random.random() < 0.7:
            packet = replace(packet, destination_port=self._port((rule.destination_ports,)))
        if rule.protocol is not None and random.random() < 0.5:
            packet = replace(packet, protocol=rule.protocol)
        if rule.uid is not None and random.random() < 0.5:
            uid = rule.uid
        return packet, uid

    def _in(self, prefix: Prefix) -> Address:
        family = family_of(prefix)
        return self._address(AddressSet.from_prefixes(family, [prefix]))

    def _address(self, found: AddressSet) -> Address:
        """An end of a range, or what is just beside it."""
        random = self._random
        first, last = random.choice(found.ranges)
        value = random.choice((first, last, (first + last) // 2))
        if random.random() < 0.2:
            value = random.choice((first - 1, last + 1))
        return found.family.address(min(max(value, 0), (1 << found.family.bits) - 1))

    def _port(self, ports: PortSet) -> int:
        random = self._random
        some: Ports = random.choice(ports)
        value = random.choice((some.first, some.last))
        if random.random() < 0.2:
            value += random.choice((-1, 1))
        return min(max(value, 0), LAST_PORT)


def _shaped(packet: Packet, direction: Origin) -> Packet:
    """A packet with the ports, or ICMP's type and code, that its protocol has."""
    if packet.protocol in WITH_PORTS:
        return packet
    port = packet.destination_port
    bare = replace(packet, source_port=0, destination_port=0)
    if packet.protocol not in WITH_TYPES:
        return bare
    return replace(bare, icmp=divmod(port, 256) if isinstance(direction, Egress) else (8, 0))
