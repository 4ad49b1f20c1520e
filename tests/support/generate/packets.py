"""Packets nobody thought of, drawn from a source of random numbers.

In: a `Plan` and a `random.Random`.  Out: packets that lie near what the plan speaks of, where
mistakes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random
from typing import Any

from pbrinit.net.addresses import Address, Family, Prefix
from pbrinit.net.packet import Egress, Ingress, Origin, Packet
from pbrinit.net.services import Protocol
from pbrinit.plan.plan import LOOPBACK, Action, Plan, Route, Rule
from tests.support.generate.rule_paths import Paths, longer

STRANGE_4 = (
    "0.0.0.0", "0.0.0.1", "255.255.255.255", "224.0.0.1", "127.0.0.1", "127.255.255.255",
    "240.0.0.1", "1.2.3.4", "169.254.1.1",
)  # fmt: skip
STRANGE_6 = (
    "::1", "ff02::1", "ff02::2", "ff05::3", "ff01::1", "fe80::1", "fe80::ffff", "::ffff:127.0.0.1",
    "::2", "ff02::1:ff00:2", "1::1", "8000::1", "fec0::1",
)  # fmt: skip
PORTS = (0, 1, 1023, 1024, 32767, 32768, 40000, 60999, 61000, 65534, 65535)
TYPES = {Protocol.ICMP: ((8, 0), (0, 0), (3, 1), (0, 1), (255, 255)),
         Protocol.ICMPV6: ((128, 0), (129, 0), (1, 4), (135, 0), (136, 0))}  # fmt: skip


def seeded(seed: str) -> Random:
    """Random numbers that come again with the seed."""
    return Random(seed)  # noqa: S311  they keep nothing secret


SOMEBODY: dict[Family, Address] = {
    Family.V4: ip_address("203.0.114.77"),
    Family.V6: ip_address("2001:db8:77::77"),
}
"""A host that is nothing to anybody."""

WAYS = 6
"""How many of the ways to a rule are tried at its edges."""


class Packets:
    """Draws packets near what a plan speaks of."""

    def __init__(self, plan: Plan, random: Random) -> None:
        self._random = random
        self._rules = [
            rule for rule in plan.rules if rule.action in (Action.LOOKUP, Action.PROHIBIT)
        ]
        self._paths = Paths(plan.rules)
        self._devices = [link.device for link in plan.links[1:]]
        self._routes: dict[tuple[Family, int | None], list[Route]] = {}
        for link in plan.links:
            for route in (*link.preaddress_routes, *link.routes):
                self._routes.setdefault((route.family, route.table), []).append(route)
        self._addresses: dict[Family, list[Address]] = {}
        for family in Family:
            known = {a.ip for link in plan.links for a in link.addresses}
            for prefix in _prefixes(plan):
                known |= {prefix.network_address, prefix.broadcast_address} if prefix else set()
            bits = 32 if family is Family.V4 else 128
            near = {
                int(a) + step
                for a in known if a.version == family.version
                for step in (-1, 0, 0, 1) if 0 <= int(a) + step < 1 << bits
            }  # fmt: skip
            strange = STRANGE_4 if family is Family.V4 else STRANGE_6
            found = [_address(family, value) for value in sorted(near)]
            self._addresses[family] = [*found, *map(ip_address, strange)]
        self._own = {f: [a.ip for link in plan.links for a in link.addresses
                         if a.version == f.version] for f in Family}  # fmt: skip
        edges = {
            port + step
            for rule in plan.rules
            for ports in (rule.source_ports, rule.destination_ports) if ports
            for port in (ports.first, ports.last) for step in (-1, 0, 1)
        }  # fmt: skip
        self._ports = sorted(edges | set(PORTS))
        uids = {rule.uid for rule in plan.rules if rule.uid is not None}
        self._uids = sorted({0, 1002, *uids, *(uid - 1 for uid in uids if uid)})

    def edges(self) -> Iterator[tuple[Packet, Origin]]:
        """For each rule, and some ways to it, a packet that they match, and all that miss them by
        one step in one field.
        """
        ways = (self._paths.narrowed(r, self._random) for r in self._rules for _ in range(WAYS))
        for rule in dict.fromkeys(ways):
            if not self._own[rule.family]:
                continue
            for iif in (LOOPBACK, *self._devices) if rule.iif is None else (rule.iif,):
                inside = self._inside(rule, iif)
                direction: Origin = Egress(rule.uid or 0, None, bound=True)
                if iif != LOOPBACK:
                    direction = Ingress(iif)
                yield inside, direction
                if isinstance(direction, Egress) and rule.uid is not None:
                    yield inside, replace(direction, uid=(rule.uid or 2) - 1)
                for step in _beside(rule):
                    yield replace(inside, **step), direction

    def _inside(self, rule: Rule, iif: str) -> Packet:
        protocol = rule.protocol or Protocol.TCP
        own, other = self._own[rule.family][0], SOMEBODY[rule.family]
        ends = (own, other) if iif == LOOPBACK else (other, own)
        source, destination = (
            prefix.network_address if prefix else end
            for prefix, end in zip((rule.source, rule.destination), ends, strict=True)
        )
        if protocol in TYPES:
            return Packet(protocol, source, destination, icmp=TYPES[Protocol(protocol)][0])
        # A TCP socket that connects is first looked up without a port of its own.
        early = 0 if iif == LOOPBACK and protocol == Protocol.TCP else 9
        one = rule.source_ports.first if rule.source_ports else early
        two = rule.destination_ports.first if rule.destination_ports else 9
        return Packet(protocol, source, destination, one, two)

    def near(self, rule: Rule) -> tuple[Packet, Origin]:
        """A packet that a rule is about, but perhaps for one thing."""
        random, family = self._random, rule.family
        if random.random() < 0.7:
            rule = self._paths.narrowed(rule, random)
        protocol = rule.protocol or random.choice((Protocol.TCP, Protocol.UDP))
        packet, _ = self.draw(family)
        iif = rule.iif or random.choice((LOOPBACK, *self._devices))
        route = self._route(rule)
        sources = longer(rule.source, route.source if route else None)
        destinations = longer(rule.destination, route.destination if route else None)
        source = _within(random, sources) or self._address(family, own=0.7)
        destination = _within(random, destinations) or self._address(family, own=0.1)
        ports = tuple(random.choice((p.first, p.last)) if p else random.choice(self._ports)
                      for p in (rule.source_ports, rule.destination_ports))  # fmt: skip
        icmp = None
        if protocol in TYPES:
            icmp = random.choice(TYPES[Protocol(protocol)])
            if rule.destination_ports:
                icmp = divmod(rule.destination_ports.first, 256)
        one, two = (0, 0) if icmp else ports
        made = Packet(protocol, source, destination, one, two, icmp)
        # One field in a packet of its own, so that a rule that is too wide shows.
        if random.random() < 0.4 and packet.protocol == protocol:
            field = random.choice(("source", "destination", "source_port", "destination_port"))
            made = replace(made, **{field: getattr(packet, field)})
        turned = random.random() < 0.4
        if iif != LOOPBACK and not turned:
            return made, Ingress(iif)
        if turned:
            # As the return path, or its way through, sees it.
            made = replace(
                made,
                source=made.destination,
                destination=made.source or made.destination,
                source_port=made.destination_port,
                destination_port=made.source_port,
            )
            return made, Ingress(random.choice(self._devices))
        uid = random.choice((rule.uid, rule.uid, None))
        device = random.choice((None, None, *self._devices))
        uid = random.choice(self._uids) if uid is None else uid
        return made, Egress(uid, device, bound=random.random() < 0.6)

    def _route(self, rule: Rule) -> Route | None:
        """A route of the table that the rule looks up, at times."""
        known = self._routes.get((rule.family, rule.argument), [])
        return self._random.choice(known) if known and self._random.random() < 0.5 else None

    def draw(self, family: Family | None = None) -> tuple[Packet, Origin]:
        """One packet and its direction."""
        random = self._random
        family = family or random.choice(list(Family))
        icmp = Protocol.ICMP if family is Family.V4 else Protocol.ICMPV6
        protocol = random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.UDP, icmp))
        own, any_ = self._address(family, own=0.8), self._address(family, own=0.1)
        coming = random.random() < 0.5
        ends = (any_, own) if coming else (own, any_)
        ports = (random.choice(self._ports), random.choice(self._ports))
        kind = random.choice(TYPES[protocol]) if protocol in TYPES else None
        packet = Packet(protocol, *ends, *((0, 0) if kind else ports), icmp=kind)
        if coming:
            return packet, Ingress(random.choice(self._devices))
        device = random.choice((None, None, *self._devices))
        return packet, Egress(random.choice(self._uids), device, bound=random.random() < 0.6)

    def _address(self, family: Family, own: float) -> Address:
        mine = self._own[family]
        if mine and self._random.random() < own:
            return self._random.choice(mine)
        return self._random.choice(self._addresses[family])

    def __iter__(self) -> Iterator[tuple[Packet, Origin]]:
        while True:
            strange = not self._rules or self._random.random() < 0.4
            yield self.draw() if strange else self.near(self._random.choice(self._rules))


def _prefixes(plan: Plan) -> Iterator[Prefix | None]:
    """What the rules and routes of a plan are about."""
    for rule in plan.rules:
        yield from (rule.source, rule.destination)
    for link in plan.links:
        for route in (*link.preaddress_routes, *link.routes):
            yield from (route.source, route.destination)


def _address(family: Family, value: int) -> Address:
    return IPv4Address(value) if family is Family.V4 else IPv6Address(value)


def _within(random: Random, prefix: Prefix | None) -> Address | None:
    if prefix is None:
        return None
    return random.choice(
        (prefix.network_address, prefix.broadcast_address, prefix[prefix.num_addresses // 2])
    )


def _beside(rule: Rule) -> Iterator[dict[str, Any]]:
    """What is changed by each step that leads just out of a rule."""
    if rule.protocol in (Protocol.TCP, Protocol.UDP):
        other = Protocol.UDP if rule.protocol == Protocol.TCP else Protocol.TCP
        yield {"protocol": other}
    for field, prefix in (("source", rule.source), ("destination", rule.destination)):
        if prefix is not None:
            for value in (int(prefix.network_address) - 1, int(prefix.broadcast_address) + 1):
                if 0 <= value < 1 << prefix.max_prefixlen:
                    yield {field: _address(rule.family, value)}
    if rule.protocol in TYPES:
        return
    for field, ports in (
        ("source_port", rule.source_ports),
        ("destination_port", rule.destination_ports),
    ):
        if ports is not None:
            yield {field: ports.first - 1}
            yield {field: ports.last + 1}
