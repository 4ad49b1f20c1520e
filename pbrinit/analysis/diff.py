"""`pbrctl diff`: what becomes reachable between two policies, and what no longer is.

In: two policies.  Out: `Change` values, packets that pass under one of them alone; both are
compared by their meaning, not by their text.  Exit status: 0 where nothing changes, 1 where
something does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

from pbrinit.analysis.cells import Cell, Grid, minus
from pbrinit.analysis.describe import FlowSet, flow_path, flow_set
from pbrinit.net.addresses import Family
from pbrinit.net.services import Protocol
from pbrinit.policy.assigned import with_example_assignments
from pbrinit.policy.policy import Deny, Policy
from pbrinit.policy.programs import Zone as End
from pbrinit.policy.reader.reader import read_policy
from pbrinit.semantics.header_space import HeaderSpace, PathPolicy
from pbrinit.semantics.paths import PolicySemantics

CHANGED = 1
OPENED, CLOSED = "now reachable", "no longer reachable"
NOW_LOGGED, NOT_LOGGED = "now logged", "no longer logged"
ASKED, ANSWER, ALWAYS, REFUSED = "asked", "answer", "always", "refused"
GROUPS = {
    (OPENED, ASKED): "now reachable:",
    (CLOSED, ASKED): "no longer reachable:",
    (OPENED, ANSWER): "let through as answers, also where nobody asked (explain --holes):",
    (CLOSED, ANSWER): "no longer let through as answers:",
    (OPENED, ALWAYS): "let through whatever the entries say:",
    (CLOSED, ALWAYS): "no longer let through whatever the entries say:",
    (NOW_LOGGED, REFUSED): "refused, and now logged:",
    (NOT_LOGGED, REFUSED): "no longer logged, or no longer refused:",
}
"""In the order in which they matter."""

LEFT_OUT = "what comes with every address and path (ARP, neighbour discovery, ICMP errors)"


@dataclass(frozen=True)
class Change:
    """Packets that pass under the one policy alone: as what asks, as answers alone, or as what
    no policy can do without (`kind`); or that are refused and logged under one alone.
    """

    what: str
    kind: str
    packets: FlowSet


class _Side:
    """One of the two policies."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.semantics = PolicySemantics(policy)
        self._ways = {way.label: way for way in policy.zones}
        self._logging = PolicySemantics(_each_by_a_deny(policy)) if policy.log else self.semantics

    def logged(
        self, family: Family, ingress: str | None, egress: str | None
    ) -> tuple[HeaderSpace, ...]:
        """What is logged of a path, where it is refused."""
        ends = self.ends(ingress, egress)
        return self._logging.path_policy(family, *ends).logged if ends else ()

    def through(self, family: Family, ingress: str, egress: str | None) -> Iterator[PathPolicy]:
        """What passes of it. What is for this machine may be a room's."""
        rooms = [room.label for room in self.policy.rooms] if egress is None else []
        yield from (self.path_policy(family, ingress, end) for end in (egress, *rooms))

    def ends(self, ingress: str | None, egress: str | None) -> tuple[End | None, End | None] | None:
        """The ends of a path by what they are called; None where there is no such path."""
        if any(name and name not in self._ways for name in (ingress, egress)):
            return None
        return self._ways.get(ingress or ""), self._ways.get(egress or "")

    def path_policy(self, family: Family, ingress: str | None, egress: str | None) -> PathPolicy:
        """What passes on a path; nothing where there is none."""
        ends = self.ends(ingress, egress)
        return self.semantics.path_policy(family, *ends) if ends else PathPolicy(())


def _each_by_a_deny(policy: Policy) -> Policy:
    """A policy that logs all who are refused, as one that logs each for a deny entry."""
    all_of_it = Deny("log", policy.interfaces, None, None, (), None, reject=False, log=True)
    return replace(policy, denies=(all_of_it,), log=False)


def changes(old: Policy, new: Policy) -> Iterator[Change]:
    """Everything that passes under one of two policies alone.

    Interfaces are the same where their names are, and so are rooms.
    """
    before, after = _Side(old), _Side(new)
    names = tuple(dict.fromkeys(way.label for side in (before, after) for way in side.policy.zones))
    ways: list[tuple[str | None, str | None]] = [(name, None) for name in names]
    ways += [(None, name) for name in names]
    ways += permutations(names, 2)
    for ingress, egress in ways:
        for family in Family:
            yield from _of_way(before, after, family, ingress, egress)
            if ingress is not None:
                yield from _logged(before, after, family, ingress, egress)


def _of_way(
    before: _Side, after: _Side, family: Family, ingress: str | None, egress: str | None
) -> Iterator[Change]:
    path_policies = [side.path_policy(family, ingress, egress) for side in (before, after)]
    if path_policies[0] == path_policies[1]:
        return
    grid = Grid(family, [space for path_policy in path_policies for space in _spaces(path_policy)])
    passed, passes = (grid.passing(path_policy) for path_policy in path_policies)
    for what, side, found in (
        (OPENED, after, minus(passes, passed)),
        (CLOSED, before, minus(passed, passes)),
    ):
        ends = side.ends(ingress, egress)
        if ends is None:
            continue
        way = flow_path(side.semantics, family, *ends)
        for kind, cells in _by_kind(found, grid, side.path_policy(family, ingress, egress)):
            for cell in cells:
                yield Change(what, kind, flow_set(cell, grid, way, side.policy.users))


def _logged(
    before: _Side, after: _Side, family: Family, ingress: str, egress: str | None
) -> Iterator[Change]:
    """What is refused and logged under the one policy alone."""
    logs = [side.logged(family, ingress, egress) for side in (before, after)]
    path_policies = [list(side.through(family, ingress, egress)) for side in (before, after)]
    if logs == [(), ()]:
        return
    through = [
        space for side in path_policies for path_policy in side for space in _spaces(path_policy)
    ]
    grid = Grid(family, [*through, *(space for log in logs for space in log)])
    was, now = (
        minus(
            map(grid.cell, log),
            (cell for path_policy in side for cell in grid.passing(path_policy)),
        )
        for log, side in zip(logs, path_policies, strict=True)
    )
    for what, side, cells in (
        (NOW_LOGGED, after, minus(now, was)),
        (NOT_LOGGED, before, minus(was, now)),
    ):
        ends = side.ends(ingress, egress)
        for cell in cells if ends else ():
            way = flow_path(side.semantics, family, *(ends or (None, None)))
            yield Change(what, REFUSED, flow_set(cell, grid, way, side.policy.users))


def _spaces(path_policy: PathPolicy) -> tuple[HeaderSpace, ...]:
    return (*path_policy.always, *path_policy.allowed, *path_policy.denied)


def _by_kind(
    found: list[Cell], grid: Grid, path_policy: PathPolicy
) -> Iterator[tuple[str, list[Cell]]]:
    """Packets that pass on a path, by what they pass as: the first of the three that they can."""
    (asks, not_asked), _ = path_policy.by_direction
    others = minus(found, minus(map(grid.cell, asks), map(grid.cell, not_asked)))
    yield ASKED, minus(found, others)
    rest = minus(others, grid.granted(path_policy))
    yield ANSWER, minus(others, rest)
    yield ALWAYS, rest


def lines(found: list[Change], *, everything: bool = False) -> Iterator[str]:
    """The changes for a person, what matters most first; what is the same in both families is
    said once, and what no policy can do without is only counted.
    """
    groups: dict[tuple[str, str], dict[str, list[FlowSet]]] = {key: {} for key in GROUPS}
    for change in sorted(found, key=_place):
        same = groups[change.what, change.kind]
        same.setdefault(str(change.packets), []).append(change.packets)
    left_out = 0
    for key, said in groups.items():
        if key[1] == ALWAYS and not everything:
            left_out += len(said)
        elif said:
            yield GROUPS[key]
            for text, alike in said.items():
                family = f"IPv{alike[0].path.family.version} " if len(alike) == 1 else ""
                yield f"  {family}{text}"
    if left_out:
        yield f"left out: {left_out} line{'s' if left_out > 1 else ''} of {LEFT_OUT}; see --all"


def _place(change: Change) -> tuple[bool, bool, str, tuple[int, ...], int]:
    """Where a change stands: in, through and out; each path by service, families side by side."""
    found = change.packets
    way = found.path
    through = way.ingress is not None and way.egress is not None
    protocols = tuple(Protocol.ICMP if p == Protocol.ICMPV6 else p for p in found.protocols)
    both = (*found.destination_ports, *found.source_ports)
    ports = () if Protocol.ICMP in protocols else tuple(p.first for p in both)
    return way.ingress is None, through, str(way), (*protocols, *ports), way.family.version


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """The command's place on the command line."""
    parser = commands.add_parser(
        "diff", help="say what becomes reachable between two policies, and what no longer is"
    )
    parser.add_argument("old", type=Path, help="the policy file before")
    parser.add_argument("new", type=Path, help="the policy file after")
    parser.add_argument("--all", action="store_true", help=f"also {LEFT_OUT}")
    parser.add_argument("--json", action="store_true", help="the changes as JSON")
    parser.set_defaults(command=_command)


def _command(options: argparse.Namespace) -> int:
    found = list(
        changes(
            with_example_assignments(read_policy(options.old)),
            with_example_assignments(read_policy(options.new)),
        )
    )
    if options.json:
        told = [
            {"change": change.what, "as": change.kind, **change.packets.as_json()}
            for change in found
        ]
        print(json.dumps({"changes": told}, indent=1))
    else:
        print("\n".join(lines(found, everything=options.all)) or "nothing changes")
    return CHANGED if found else 0
