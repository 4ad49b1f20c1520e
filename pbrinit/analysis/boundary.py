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

from pbrinit.analysis.conformance import Judge
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ECHO_REQUEST
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES, Direction, In, Out, Packet
from pbrinit.net.services import PortSet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import ROOT, Way
from pbrinit.semantics.decision import HERE, seen
from pbrinit.semantics.expectations import Asked, asked
from pbrinit.semantics.header_space import Box, Part
from pbrinit.semantics.paths import Meaning

RANGES = 2
"""Of the ranges of a set so many from the beginning and from the end."""

MOST = 48
"""As many addresses and ports are put in the place of each."""

NO_PROTOCOL = 253
"""One that nobody names (RFC 3692)."""

STRANGER = 65533
"""The user of a packet that is anybody's."""

LAST_PORT = 65535
Question = tuple[Packet, Direction]


@dataclass(frozen=True)
class Corners:
    """How many packets were asked about, and what is wrong with some of them, a sentence each."""

    count: int
    wrong: tuple[str, ...]


class _Pools:
    """What each thing that a packet has can be, in one family: whatever the policy names of it."""

    def __init__(self, policy: Policy, boxes: Sequence[Box], family: Family) -> None:
        sets = [found for box in boxes for found in (box.sources, box.destinations)]
        ports = [found for b in boxes for found in (b.form.source_ports, b.form.destination_ports)]
        own = [int(a.ip) for i in policy.interfaces for a in i.own(family)]
        sets += [AddressSet.of(family, [route.prefix])
                 for i in policy.interfaces for route in i.routes_of(family)]  # fmt: skip
        protocols = (box.form.protocol for box in boxes if box.form.protocol is not None)
        self.addresses = _some([*own, *(end for found in sets for end in _ends(found))])
        self.ports = _some([port for found in ports for port in _edges(found)])
        self.protocols = list(dict.fromkeys([*protocols, *WITH_PORTS, NO_PROTOCOL]))
        self.users = [ROOT, STRANGER, *(user.uid for user in policy.users)]
        self.devices = [way.device for way in policy.ways]


def check(policy: Policy, plan: Plan) -> Corners:
    """Ask about every corner."""
    judge, meaning = Judge(policy, plan, {}), Meaning(policy)
    wrong: dict[str, None] = {}
    count = 0
    for family in Family:
        boxes = [(way_in, box) for way_in, part in _parts(meaning, family)
                 for box in (*part.allowed, *part.denied, *part.always)]  # fmt: skip
        expected = list(asked(meaning, family))
        boxes += [(way_in, one.box) for one in expected for way_in, _ in one.paths]
        pools = _Pools(policy, [box for _, box in boxes], family)
        questions = {q for way_in, box in boxes for q in _around(way_in, box, family, pools)}
        for packet, direction in questions:
            count += 1
            found = judge.judge(packet, direction)
            told = _told(packet, direction)
            if found.wrong or found.mistold:
                means = "another answer" if found.mistold else found.means.where
                means = "by another router" if found.astray else means
                wrong[f"{told}: {found.does}, and it should be {means}"] = None
            for one in expected:
                if _breaks(meaning, one, packet, direction, found.does):
                    wrong[f"{one.key}: {told}: {found.does}"] = None
    return Corners(count, tuple(wrong))


def _parts(meaning: Meaning, family: Family) -> Iterator[tuple[Way | None, Part]]:
    ways = meaning.policy.ways
    for way in ways:
        yield None, meaning.part(family, None, way)
        yield way, meaning.part(family, way, None)
    for way_in, way_out in permutations(ways, 2):
        yield way_in, meaning.part(family, way_in, way_out)


def _breaks(
    meaning: Meaning, expected: Asked, packet: Packet, direction: Direction, does: str
) -> bool:
    """Whether this packet shows that an expectation does not hold. What always passes, but from
    one of several ways in, is shown by no single packet; and what passes whatever entries say, such
    as neighbour discovery, breaks none.
    """
    if isinstance(direction, Out) and direction.device is not None:
        return False
    came = direction.device if isinstance(direction, In) else None
    ways_in = {way_in.device if way_in else None for way_in, _ in expected.paths}
    ends = {
        way_out.label if way_out else HERE
        for way_in, way_out in expected.paths
        if (way_in.device if way_in else None) == came
    }
    if not ends or (does in ends) == expected.always:
        return False
    if expected.always and (expected.anybody or len(ways_in) > 1):
        return False
    packet_seen = seen(packet, direction)
    parts = (meaning.part(packet.family, *path) for path in expected.paths)
    unasked = any(box.holds(packet_seen) for part in parts for box in part.always)
    return expected.box.holds(packet_seen) and (expected.always or not unasked)


def _first(way_in: Way | None, box: Box, family: Family) -> Question | None:
    """A packet that is in the box."""
    if not box.sources or not box.destinations:
        return None
    protocol = NO_PROTOCOL if box.form.protocol is None else box.form.protocol
    ports = (box.form.source_ports[0].first, box.form.destination_ports[0].first)
    source, destination = (
        family.address(found.ranges[0][0]) for found in (box.sources, box.destinations)
    )
    packet = _shaped(Packet(protocol, source, destination, *ports), sent=way_in is None)
    if way_in is not None:
        return packet, In(way_in.device)
    return packet, Out(STRANGER if box.uid is None else box.uid, bound=True)


def _around(way_in: Way | None, box: Box, family: Family, pools: _Pools) -> Iterator[Question]:
    """A packet of the box, and those that differ from it in one thing, in the box or not."""
    first = _first(way_in, box, family)
    if first is None:
        return
    packet, direction = first
    sent = isinstance(direction, Out)
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
    if isinstance(direction, In):
        yield from ((packet, In(device)) for device in pools.devices)
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


def _told(packet: Packet, direction: Direction) -> str:
    way = f"in {direction.device}" if isinstance(direction, In) else f"out, user {direction.uid}"
    ends = f"{packet.source} {packet.source_port} > {packet.destination} {packet.destination_port}"
    return f"{way}, protocol {packet.protocol}: {ends}"
