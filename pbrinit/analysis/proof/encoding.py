"""One family of a policy and its plan, with its addresses reduced to classes.

In: a `Policy`, its `Plan` and a family.  Out: `FamilyEncoding`: the parts of the meaning as
conditions on the same variables that the plan's look-ups have, as z3 expressions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial, reduce
from ipaddress import IPv6Address
from operator import or_

import z3

from pbrinit.analysis.address_classes import AddressClasses
from pbrinit.analysis.proof.symbolic_fib import SymbolicRules
from pbrinit.analysis.proof.symbolic_kernel import SymbolicKernel
from pbrinit.analysis.proof.terms import SPECIAL, PacketVars, Result, any_of, failed, in_ports
from pbrinit.model.tables import entries
from pbrinit.net.addresses import Address, AddressSet, Family
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES
from pbrinit.net.special_addresses import ARP, IGMP
from pbrinit.plan.plan import Plan, Route, RouteType
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Zone
from pbrinit.semantics.expectations import expected_flows
from pbrinit.semantics.header_space import HeaderSpace, PathPolicy
from pbrinit.semantics.paths import PolicySemantics

NOTHING = PathPolicy(())
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
    return (result.type, result.device, result.router) == (RouteType.UNICAST, device, router)


def _path(ingress: Zone | None, egress: Zone | None) -> tuple[str | None, str | None]:
    return ingress.device if ingress else None, egress.device if egress else None


def _of_family(plan: Plan, family: Family) -> Plan:
    """The plan without the routes of the other family, which may be many."""

    def of_it(routes: tuple[Route, ...]) -> tuple[Route, ...]:
        return tuple(route for route in routes if route.family is family)

    return replace(
        plan,
        links=tuple(
            replace(
                link, preaddress_routes=of_it(link.preaddress_routes), routes=of_it(link.routes)
            )
            for link in plan.links
        ),
    )


class FamilyEncoding:
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
        self.semantics = PolicySemantics(policy)
        self.zones = policy.zones
        ends = (None, *self.zones)
        made = (
            (_path(ingress, egress), self.semantics.path_policy(family, ingress, egress))
            for ingress in ends
            for egress in ends
            if ingress is not egress
        )
        self._path_policies = {
            path: path_policy for path, path_policy in made if path_policy != NOTHING
        }
        self.local_addresses = self.semantics.local_addresses(family)
        self._routers = {
            interface.device: dict(self.semantics.topology.routers(interface, family))
            for interface in policy.interfaces
        }
        self.expected = tuple(expected_flows(self.semantics, family))
        special = {
            name: AddressSet.from_prefixes(family, values) for name, values in SPECIAL.items()
        }
        prefixes = {
            prefix: AddressSet.from_prefixes(family, [prefix])
            for rule in plan.rules
            if rule.family is family
            for prefix in (rule.source, rule.destination)
            if prefix is not None
        }
        own = [
            AddressSet.from_prefixes(family, [a.ip]) for i in policy.interfaces for a in i.addresses
        ]
        self.classes = AddressClasses(
            family,
            [*special.values(), *prefixes.values(), *own, *self._sets()],
            entries(plan, link_local),
        )
        self.rules = SymbolicRules(plan, family, self.classes, prefixes, link_local)
        self.kernel = SymbolicKernel(plan, self.rules, self.classes, special, link_local)

    def path_policy(self, ingress: Zone | None, egress: Zone | None) -> PathPolicy:
        """What passes on one path (`PolicySemantics.path_policy`)."""
        return self._path_policies.get(_path(ingress, egress), NOTHING)

    def _sets(self) -> Iterator[AddressSet]:
        """Every set that the meaning speaks of."""
        yield self.local_addresses
        for routers in self._routers.values():
            yield from routers.values()
        for space in self._spaces():
            yield space.sources
            yield space.destinations

    def _spaces(self) -> Iterator[HeaderSpace]:
        for path_policy in self._path_policies.values():
            yield from (
                *path_policy.always,
                *path_policy.allowed,
                *path_policy.denied,
                *path_policy.logged,
                *path_policy.all_logged,
                *path_policy.missed,
            )
        for way in self.zones:
            yield from self.semantics.refusal_log.loggable(self.family, way)
        yield from self.semantics.refusal_log.log_only(self.family)
        yield from (expected.space for expected in self.expected)

    @cached_property
    def protocols(self) -> list[frozenset[int]]:
        """Protocols in groups that neither the kernel nor the plan nor the policy tells apart."""
        named = {
            space.pattern.protocol for space in self._spaces() if space.pattern.protocol is not None
        }
        return self.rules.protocols({ARP, IGMP, *WITH_PORTS, *WITH_TYPES, *named})

    @cached_property
    def users(self) -> tuple[int, ...]:
        """Each user that the policy names, root, and one that it does not."""
        named = {0, *(space.uid for space in self._spaces() if space.uid is not None)}
        return (*sorted(named), next(uid for uid in range(1, len(named) + 2) if uid not in named))

    # The meaning as a condition

    def wrong_next_hop(
        self, found: z3.BitVecRef, device: str, packet: PacketVars, *, bound: bool = False
    ) -> z3.BoolRef:
        """Whether what leaves by a device is handed to another than leads to its destination. What
        is `bound` to it and finds no route IPv4 sends on the link (`SymbolicKernel.sent`).
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
        self, path_policy: PathPolicy, protocol: int, packet: PacketVars, *, outgoing: bool = False
    ) -> z3.BoolRef:
        """Whether a packet is to pass on a path."""
        if path_policy == NOTHING:
            return z3.BoolVal(val=False)
        return z3.Or(
            self.in_any_space(path_policy.always, protocol, packet, outgoing=outgoing),
            self.granted(path_policy, protocol, packet, outgoing=outgoing),
        )

    def granted(
        self, path_policy: PathPolicy, protocol: int, packet: PacketVars, *, outgoing: bool = False
    ) -> z3.BoolRef:
        """Whether the entries allow a packet, what always passes apart."""
        return any_of(
            z3.And(
                self.in_any_space(allowed, protocol, packet, outgoing=outgoing),
                z3.Not(self.in_any_space(denied, protocol, packet, outgoing=outgoing)),
            )
            for allowed, denied in path_policy.by_direction
        )

    def in_any_space(
        self,
        spaces: Iterable[HeaderSpace],
        protocol: int,
        packet: PacketVars,
        *,
        outgoing: bool = False,
    ) -> z3.BoolRef:
        """Whether a packet is in one of some header spaces."""
        return any_of(self.in_space(space, protocol, packet, outgoing=outgoing) for space in spaces)

    def in_space(
        self, space: HeaderSpace, protocol: int, packet: PacketVars, *, outgoing: bool
    ) -> z3.BoolRef:
        """Whether a packet is in a header space."""
        if space.pattern.protocol not in (None, protocol):
            return z3.BoolVal(val=False)
        unchosen = 1 << self.kernel.unchosen if outgoing else 0
        path_policies = [
            packet.source.within(self.classes.mask(space.sources) | unchosen),
            packet.destination.within(self.classes.mask(space.destinations)),
            any_of(in_ports(packet.source_port, ports) for ports in space.pattern.source_ports),
            any_of(in_ports(packet.destination_port, p) for p in space.pattern.destination_ports),
        ]
        if space.uid is not None:
            path_policies.append(packet.uid == space.uid)
        return z3.And(*path_policies)
