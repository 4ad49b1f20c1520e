"""One family of a policy and its plan, with its addresses reduced to classes.

In: a `Policy`, its `Plan` and a family.  Out: `Case`: the parts of the meaning as conditions on
the same variables that the plan's look-ups have, as z3 expressions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial, reduce
from ipaddress import IPv6Address
from operator import or_

import z3

from pbrinit.analysis.address_classes import Classes
from pbrinit.analysis.proof.symbolic_fib import Rules
from pbrinit.analysis.proof.symbolic_kernel import Steps
from pbrinit.analysis.proof.terms import SPECIAL, Result, Variables, any_of, failed, in_ports
from pbrinit.model.tables import Kind, entries
from pbrinit.net.addresses import Address, AddressSet, Family
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES
from pbrinit.net.special_addresses import ARP, IGMP
from pbrinit.plan.plan import Plan, Route
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Way
from pbrinit.semantics.expectations import asked
from pbrinit.semantics.header_space import Box, Part
from pbrinit.semantics.paths import Meaning

NOTHING = Part(())
"""What passes where the policy says nothing: the path from one room to most others."""

OWN_LINK_LOCAL = 0xFE80 << 112 | 0x5EFE_C0FF_EE00_0000
"""From here on the link-local addresses that the interfaces are taken to have: the kernel
makes them up, and a plan cannot know them. Any address that no rule names stands for all."""


def link_local(policy: Policy) -> dict[str, IPv6Address]:
    """The link-local address that each device is taken to have."""
    return {
        interface.device: IPv6Address(OWN_LINK_LOCAL + number)
        for number, interface in enumerate(policy.interfaces, 1)
    }


def _leads_by(device: str, router: Address | None, result: Result) -> bool:
    return (result.kind, result.device, result.router) == (Kind.UNICAST, device, router)


def _path(way_in: Way | None, way_out: Way | None) -> tuple[str | None, str | None]:
    return way_in.device if way_in else None, way_out.device if way_out else None


def _of_family(plan: Plan, family: Family) -> Plan:
    """The plan without the routes of the other family, which may be many."""

    def of_it(routes: tuple[Route, ...]) -> tuple[Route, ...]:
        return tuple(route for route in routes if route.family is family)

    return replace(
        plan,
        links=tuple(
            replace(link, early_routes=of_it(link.early_routes), routes=of_it(link.routes))
            for link in plan.links
        ),
    )


class Case:
    """The meaning and the look-ups of one family."""

    def __init__(
        self,
        policy: Policy,
        plan: Plan,
        family: Family,
        link_local: Mapping[str, IPv6Address],
    ) -> None:
        self.family = family
        self.policy = policy
        plan = _of_family(plan, family)
        self.meaning = Meaning(policy)
        self.ways = policy.ways
        ends = (None, *self.ways)
        made = (
            (_path(way_in, way_out), self.meaning.part(family, way_in, way_out))
            for way_in in ends
            for way_out in ends
            if way_in is not way_out
        )
        self._parts = {path: part for path, part in made if part != NOTHING}
        self.here = self.meaning.here(family)
        self._routers = {
            interface.device: dict(self.meaning.homes.routers(interface, family))
            for interface in policy.interfaces
        }
        self.expected = tuple(asked(self.meaning, family))
        special = {name: AddressSet.of(family, values) for name, values in SPECIAL.items()}
        prefixes = {
            prefix: AddressSet.of(family, [prefix])
            for rule in plan.rules
            if rule.family is family
            for prefix in (rule.source, rule.destination)
            if prefix is not None
        }
        own = [AddressSet.of(family, [a.ip]) for i in policy.interfaces for a in i.addresses]
        self.classes = Classes(
            family,
            [*special.values(), *prefixes.values(), *own, *self._sets()],
            entries(plan, link_local),
        )
        self.rules = Rules(plan, family, self.classes, prefixes, link_local)
        self.steps = Steps(plan, self.rules, self.classes, special, link_local)

    def part(self, way_in: Way | None, way_out: Way | None) -> Part:
        """What passes on one path (`Meaning.part`)."""
        return self._parts.get(_path(way_in, way_out), NOTHING)

    def _sets(self) -> Iterator[AddressSet]:
        """Every set that the meaning speaks of."""
        yield self.here
        for routers in self._routers.values():
            yield from routers.values()
        for box in self._boxes():
            yield box.sources
            yield box.destinations

    def _boxes(self) -> Iterator[Box]:
        for part in self._parts.values():
            yield from (*part.always, *part.allowed, *part.denied, *part.logged)
        for way in self.ways:
            yield from self.meaning.hearing.spoken_of(self.family, way)
        yield from self.meaning.hearing.not_here(self.family)
        yield from (expected.box for expected in self.expected)

    @cached_property
    def protocols(self) -> list[frozenset[int]]:
        """Protocols in groups that neither the kernel nor the plan nor the policy tells apart."""
        named = {box.form.protocol for box in self._boxes() if box.form.protocol is not None}
        return self.rules.protocols({ARP, IGMP, *WITH_PORTS, *WITH_TYPES, *named})

    @cached_property
    def users(self) -> tuple[int, ...]:
        """Each user that the policy names, root, and one that it does not."""
        named = {0, *(box.uid for box in self._boxes() if box.uid is not None)}
        return (*sorted(named), next(uid for uid in range(1, len(named) + 2) if uid not in named))

    # The meaning as a condition

    def astray(
        self, found: z3.BitVecRef, device: str, packet: Variables, *, bound: bool = False
    ) -> z3.BoolRef:
        """Whether what leaves by a device is handed to another than leads to its destination. What
        is `bound` to it and finds no route IPv4 sends on the link (`Steps.sent`).
        """
        results, routers = self.rules.results, self._routers.get(device)
        if not routers:
            return z3.BoolVal(val=False)
        wrong = []
        for router in {None, *(r.router for r in results.known if r.device == device)}:
            others = (there for other, there in routers.items() if other != router)
            mask = reduce(or_, map(self.classes.mask, others), 0)
            by = results.among(found, partial(_leads_by, device, router))
            if bound and router is None and self.family is Family.V4:
                by = z3.Or(by, failed(results, found))
            wrong.append(z3.And(by, packet.destination.within(mask)))
        return any_of(wrong)

    def passes(
        self, part: Part, protocol: int, packet: Variables, *, outgoing: bool = False
    ) -> z3.BoolRef:
        """Whether a packet is to pass on the path of a part."""
        if part == NOTHING:
            return z3.BoolVal(val=False)
        return z3.Or(
            self.held(part.always, protocol, packet, outgoing=outgoing),
            self.granted(part, protocol, packet, outgoing=outgoing),
        )

    def granted(
        self, part: Part, protocol: int, packet: Variables, *, outgoing: bool = False
    ) -> z3.BoolRef:
        """Whether the entries allow a packet, what always passes apart."""
        return any_of(
            z3.And(
                self.held(allowed, protocol, packet, outgoing=outgoing),
                z3.Not(self.held(denied, protocol, packet, outgoing=outgoing)),
            )
            for allowed, denied in part.halves
        )

    def held(
        self, boxes: Iterable[Box], protocol: int, packet: Variables, *, outgoing: bool = False
    ) -> z3.BoolRef:
        """Whether a packet is in one of some boxes."""
        return any_of(self.box(box, protocol, packet, outgoing=outgoing) for box in boxes)

    def box(self, box: Box, protocol: int, packet: Variables, *, outgoing: bool) -> z3.BoolRef:
        """Whether a packet is in a box."""
        if box.form.protocol not in (None, protocol):
            return z3.BoolVal(val=False)
        unchosen = 1 << self.steps.unchosen if outgoing else 0
        parts = [
            packet.source.within(self.classes.mask(box.sources) | unchosen),
            packet.destination.within(self.classes.mask(box.destinations)),
            any_of(in_ports(packet.source_port, ports) for ports in box.form.source_ports),
            any_of(in_ports(packet.destination_port, p) for p in box.form.destination_ports),
        ]
        if box.uid is not None:
            parts.append(packet.uid == box.uid)
        return z3.And(*parts)
