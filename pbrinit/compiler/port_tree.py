"""The plane of source and destination ports, cut where what the flows decide changes.

In: the flows of one look-up.  Out: for each protocol a `PortTree`: intervals of the ports of one
side, in each the intervals of the other side, in each a leaf.  Which side comes first changes only
the number of leaves.  Packets that are sent go from a client port to one of n services, or from one
of m services to any port: by destination first that is n times m leaves.

No rule can match ports 0 and 65535.  So only intervals that differ from the one of port 0 are
matched by their ports.  What is left is the interval of port 0, and also of fragments and of
packets of protocols without ports.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pbrinit.compiler.flowspec import ANY_PORT, FlowSpec, Role
from pbrinit.net.services import Ports

L = TypeVar("L", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True)
class PortIntervals(Generic[V]):
    """Intervals of ports with values of their own, in order, and the value of all other ports."""

    named: tuple[tuple[Ports, V], ...]
    others: V


PortTree = PortIntervals[PortIntervals[L]]
"""By the port of one side, then by that of the other."""


class PortSide(enum.Enum):
    """Source or destination ports; the values are fields of `PortMatch` and of `Rule`."""

    SOURCE = "source_ports"
    DESTINATION = "destination_ports"

    @property
    def other(self) -> PortSide:
        """The other side."""
        return PortSide.SOURCE if self is PortSide.DESTINATION else PortSide.DESTINATION

    def ports_of(self, flow: FlowSpec) -> Ports:
        """The ports of this side of a flow."""
        match = flow.match
        return match.source_ports if self is PortSide.SOURCE else match.destination_ports


ALLOWING_ROLES = (Role.ALLOW, Role.KERNEL_ICMP, Role.RETURN_PATH_ALLOW, Role.REJECT)
"""The roles for which a protocol needs rules of its own."""

Evaluate = Callable[[tuple[FlowSpec, ...]], L]


def protocols(flows: Iterable[FlowSpec]) -> list[int]:
    """The protocols with flows of ALLOWING_ROLES: TCP and UDP first, which most packets have, then
    by number.
    """
    named = {flow.match.protocol for flow in flows if flow.role in ALLOWING_ROLES}
    numbers = {number for number in named if number is not None}
    common = [number for number in (6, 17) if number in numbers]
    return common + sorted(numbers - set(common))


def port_tree(
    flows: Sequence[FlowSpec],
    protocol: int | None,
    evaluate: Evaluate[L],
    first: PortSide = PortSide.DESTINATION,
) -> PortTree[L]:
    """The ports of one protocol; None is every protocol that has no flow of its own.

    `evaluate` makes a leaf of the flows that cover it, and is called once for each set of flows.
    """
    about = [flow for flow in flows if flow.match.protocol in (None, protocol)]
    leaves: dict[tuple[int, ...], L] = {}

    def leaf(numbers: Sequence[int]) -> L:
        key = tuple(numbers)
        if key not in leaves:
            leaves[key] = evaluate(tuple(about[number] for number in numbers))
        return leaves[key]

    def row(numbers: Sequence[int]) -> PortIntervals[L]:
        return _intervals(
            [(number, first.other.ports_of(about[number])) for number in numbers], leaf
        )

    numbered = [(number, first.ports_of(flow)) for number, flow in enumerate(about)]
    return _intervals(numbered, row)


def _intervals(
    flows: Sequence[tuple[int, Ports]], make: Callable[[Sequence[int]], V]
) -> PortIntervals[V]:
    """Cut all ports where a flow begins or ends, and join neighbours with equal values."""
    cuts = {ANY_PORT.first, ANY_PORT.last + 1}
    begin: dict[int, list[int]] = {}
    end: dict[int, list[int]] = {}
    for number, ports in flows:
        cuts |= {ports.first, ports.last + 1}
        begin.setdefault(ports.first, []).append(number)
        end.setdefault(ports.last + 1, []).append(number)
    ordered = sorted(cuts)
    open_flows: set[int] = set()
    intervals: list[tuple[int, int, V]] = []
    values: dict[tuple[int, ...], V] = {}
    for first, after in itertools.pairwise(ordered):
        open_flows -= set(end.get(first, ()))
        open_flows |= set(begin.get(first, ()))
        key = tuple(sorted(open_flows))
        if key not in values:
            values[key] = make(key)
        if intervals and intervals[-1][2] == values[key]:
            intervals[-1] = (intervals[-1][0], after - 1, values[key])
        else:
            intervals.append((first, after - 1, values[key]))
    others = intervals[0][2]
    if intervals[-1][2] != others:
        raise AssertionError("a flow has another value for port 65535 than for port 0")
    named = ((Ports(first, last), value) for first, last, value in intervals if value != others)
    return PortIntervals(tuple(named), others)
