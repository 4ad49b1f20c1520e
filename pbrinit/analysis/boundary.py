"""A plan held to its policy at the corners of what the policy names: what can be done without z3.

In: a `Policy` and its `Plan`.  Out: how many packets were asked about, and those that the plan
treats otherwise than the policy means or expects.  It is no proof: `pbrctl prove`, on the machine
that builds images, is about every packet.  Mistakes of a compiler are at edges: the first and the
last address of a set, the ports on both sides of a range, and what is just beyond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from pbrinit.analysis.conformance import ConformanceChecker
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ECHO_REQUEST
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES, Egress, Ingress, Origin, Packet
from pbrinit.net.services import PortSet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import ROOT, Zone
from pbrinit.semantics.decision import LOCAL, lookup_flow
from pbrinit.semantics.expectations import ExpectedFlows, expected_flows
from pbrinit.semantics.header_space import Flow, HeaderSpace, PathPolicy
from pbrinit.semantics.paths import PolicySemantics

RANGES = 2
"""Of the ranges of a set so many from the beginning and from the end."""

MOST = 48
"""As many addresses and ports are put in the place of each."""

NO_PROTOCOL = 253
"""One that nobody names (RFC 3692)."""

STRANGER = 65533
"""The user of a packet that is anybody's."""

LAST_PORT = 65535
Question = tuple[Packet, Origin]


@dataclass(frozen=True)
class BoundaryCheck:
    """How many packets were asked about, and what is wrong with some of them, a sentence each."""

    count: int
    wrong: tuple[str, ...]


class _Pools:
    """What each thing that a packet has can be, in one family: whatever the policy names of it."""

    def __init__(self, policy: Policy, spaces: Sequence[HeaderSpace], family: Family) -> None:
        sets = [found for space in spaces for found in (space.sources, space.destinations)]
        ports = [
            found for b in spaces for found in (b.pattern.source_ports, b.pattern.destination_ports)
        ]
        own = [int(a.ip) for i in policy.interfaces for a in i.addresses_of(family)]
        sets += [AddressSet.from_prefixes(family, [route.prefix])
                 for i in policy.interfaces for route in i.routes_of(family)]  # fmt: skip
        protocols = (
            space.pattern.protocol for space in spaces if space.pattern.protocol is not None
        )
        self.addresses = _some([*own, *(end for found in sets for end in _ends(found))])
        self.ports = _some([port for found in ports for port in _edges(found)])
        self.protocols = list(dict.fromkeys([*protocols, *WITH_PORTS, NO_PROTOCOL]))
        self.users = [ROOT, STRANGER, *(user.uid for user in policy.users)]
        self.devices = [way.device for way in policy.zones]


def check(policy: Policy, plan: Plan) -> BoundaryCheck:
    """Ask about every corner."""
    checker, semantics = ConformanceChecker(policy, plan, {}), PolicySemantics(policy)
    wrong: dict[str, None] = {}
    count = 0
    for family in Family:
        spaces = [
            (ingress, space)
            for ingress, path_policy in _path_policies(semantics, family)
            for space in (*path_policy.allowed, *path_policy.denied, *path_policy.always)
        ]
        expected = list(expected_flows(semantics, family))
        spaces += [(ingress, one.space) for one in expected for ingress, _ in one.paths]
        pools = _Pools(policy, [space for _, space in spaces], family)
        questions = {q for ingress, space in spaces for q in _around(ingress, space, family, pools)}
        for packet, direction in questions:
            count += 1
            found = checker.check(packet, direction)
            told = _told(packet, direction)
            if found.wrong or found.wrong_notice:
                means = "another answer" if found.wrong_notice else found.intended.where
                means = "by another router" if found.wrong_next_hop else means
                wrong[f"{told}: {found.actual}, and it should be {means}"] = None
            for one in expected:
                if _breaks(semantics, one, packet, direction, found.actual):
                    wrong[f"{one.key}: {told}: {found.actual}"] = None
    return BoundaryCheck(count, tuple(wrong))


def _path_policies(
    semantics: PolicySemantics, family: Family
) -> Iterator[tuple[Zone | None, PathPolicy]]:
    ways = semantics.policy.zones
    for way in ways:
        yield None, semantics.path_policy(family, None, way)
        yield way, semantics.path_policy(family, way, None)
    for ingress, egress in permutations(ways, 2):
        yield ingress, semantics.path_policy(family, ingress, egress)


def _breaks(
    semantics: PolicySemantics,
    expected: ExpectedFlows,
    packet: Packet,
    direction: Origin,
    does: str,
) -> bool:
    """Whether this packet shows that an expectation does not hold. What always passes, but from
    one of several ways in, is shown by no single packet; and what passes whatever entries say, such
    as neighbour discovery, breaks none.
    """
    if isinstance(direction, Egress) and direction.device is not None:
        return False
    came = direction.device if isinstance(direction, Ingress) else None
    ingress_interfaces = {ingress.device if ingress else None for ingress, _ in expected.paths}
    ends = {
        egress.label if egress else LOCAL
        for ingress, egress in expected.paths
        if (ingress.device if ingress else None) == came
    }
    if not ends or (does in ends) == expected.always:
        return False
    if expected.always and (expected.any_user or len(ingress_interfaces) > 1):
        return False
    flow = lookup_flow(packet, direction)
    path_policies = [semantics.path_policy(packet.family, *path) for path in expected.paths]
    unasked = any(
        space.holds(flow) for path_policy in path_policies for space in path_policy.always
    )
    if not expected.space.holds(flow):
        return False
    return expected.always or not (unasked or _is_let_pass(expected, path_policies, flow))


def _is_let_pass(expected: ExpectedFlows, path_policies: Sequence[PathPolicy], flow: Flow) -> bool:
    """Whether an expectation lets this pass, since it does as an answer alone."""
    kinds = {
        space.answer
        for path_policy in path_policies
        for space in path_policy.allowed
        if space.holds(flow)
    }
    return expected.answers and kinds == {True}


def _first(ingress: Zone | None, space: HeaderSpace, family: Family) -> Question | None:
    """A packet that is in the box."""
    if not space.sources or not space.destinations:
        return None
    protocol = NO_PROTOCOL if space.pattern.protocol is None else space.pattern.protocol
    ports = (space.pattern.source_ports[0].first, space.pattern.destination_ports[0].first)
    source, destination = (
        family.address(found.ranges[0][0]) for found in (space.sources, space.destinations)
    )
    packet = _shaped(Packet(protocol, source, destination, *ports), sent=ingress is None)
    if ingress is not None:
        return packet, Ingress(ingress.device)
    return packet, Egress(STRANGER if space.uid is None else space.uid, bound=True)


def _around(
    ingress: Zone | None, space: HeaderSpace, family: Family, pools: _Pools
) -> Iterator[Question]:
    """A packet of the box, and those that differ from it in one thing, in the box or not."""
    first = _first(ingress, space, family)
    if first is None:
        return
    packet, direction = first
    sent = isinstance(direction, Egress)
    changes: list[dict[str, Any]] = [{}]
    changes += [{"source": family.address(value)} for value in pools.addresses]
    changes += [{"destination": family.address(value)} for value in pools.addresses]
    changes += [{"source_port": port} for port in pools.ports]
    changes += [{"destination_port": port} for port in pools.ports]
    changes += [{"protocol": protocol} for protocol in pools.protocols]
    for change in changes:
        # Only IPv4 has ARP, which is no packet: no program sends it.
        if not sent or change.get("protocol") != ARP:
            yield _shaped(replace(packet, **change), sent=sent), direction
    if isinstance(direction, Ingress):
        yield from ((packet, Ingress(device)) for device in pools.devices)
    else:
        yield from ((packet, replace(direction, uid=uid)) for uid in pools.users)
        yield from ((packet, replace(direction, device=device)) for device in pools.devices)


def _shaped(packet: Packet, *, sent: bool) -> Packet:
    """With type and code where it is ICMP, which stand for a port where it is sent."""
    if packet.protocol not in WITH_TYPES:
        return replace(packet, icmp=None)
    asking = ECHO_REQUEST[packet.family]
    return replace(packet, icmp=divmod(packet.destination_port, 256) if sent else asking)


def _ends(found: AddressSet) -> Iterator[int]:
    """The ends of some ranges, and what is beyond them."""
    ranges = dict.fromkeys((*found.ranges[:RANGES], *found.ranges[-RANGES:]))
    ends = (end for first, last in ranges for end in (first, last, first - 1, last + 1))
    return (end for end in ends if 0 <= end < 1 << found.family.bits)


def _edges(found: PortSet) -> Iterator[int]:
    ends = (end for p in found for end in (p.first, p.last, p.first - 1, p.last + 1))
    return (end for end in ends if 0 <= end <= LAST_PORT)


def _some(found: Sequence[int]) -> list[int]:
    """Each once, and of very many only some, all over."""
    values = sorted(dict.fromkeys(found))
    return values[:: len(values) // MOST + 1]


def _told(packet: Packet, direction: Origin) -> str:
    way = (
        f"in {direction.device}" if isinstance(direction, Ingress) else f"out, user {direction.uid}"
    )
    ends = f"{packet.source} {packet.source_port} > {packet.destination} {packet.destination_port}"
    return f"{way}, protocol {packet.protocol}: {ends}"
