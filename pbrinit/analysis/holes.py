"""`pbrctl explain --holes`: what is reached because nothing keeps state, entry by entry.

In: a `Policy`.  Out: `Hole` values.  An answer is whatever has the ports of one, so that whoever
may answer may send the same unasked. All of it is computed from the meaning: what an entry lets
through as an answer and no entry lets through as a question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from pbrinit.analysis.cells import Cell, Grid, joined, minus
from pbrinit.analysis.describe import FlowPath, FlowSet, flow_path, flow_set
from pbrinit.net.addresses import Family
from pbrinit.net.packet import WITH_TYPES
from pbrinit.net.services import Protocol
from pbrinit.policy.assigned import with_example_assignments
from pbrinit.policy.policy import Allow, Direction, Policy, RoomAllow
from pbrinit.policy.programs import Zone as End
from pbrinit.policy.reader.reader import read_policy
from pbrinit.semantics.header_space import HeaderSpace, PathPolicy
from pbrinit.semantics.paths import PolicySemantics

UNASKED_IN_ROOM = "reaches the room without having been asked; the ports are only its clients'"
ANYWHERE_FROM_ROOM = "may be sent by its program without having been asked"
UNASKED = "reaches us without having been asked; nothing that the policy serves listens there"
ANYWHERE = "may be sent by whoever holds that port here, without having been asked"
THROUGH = "passes without having been asked for"
EVERY_TYPE = "in every type, not echoes alone: no rule sees ICMP's types where a packet arrives"
TO_ALL = "arrives as well by multicast and broadcast, by any interface, where a program listens"
ALWAYS = "is heard whatever the entries say"


@dataclass(frozen=True)
class Hole:
    """What an entry opens besides what it says; `key` is the entry's."""

    key: str
    packets: FlowSet
    why: str

    def __str__(self) -> str:
        return f"{self.packets}: {self.why}"


class _Holes:
    """The holes of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._semantics = PolicySemantics(policy)

    def of_entry(self, entry: Allow | RoomAllow) -> Iterator[Hole]:
        """What one entry opens, path by path."""
        for ingress, egress in self._paths(entry):
            for family in Family:
                path_policy = self._semantics.path_policy(family, ingress, egress)
                named = [space for space in path_policy.allowed if space.key == entry.key]
                if named:
                    way = flow_path(self._semantics, family, ingress, egress)
                    yield from self._of_path(entry, path_policy, named, way)

    def _paths(self, entry: Allow | RoomAllow) -> list[tuple[End | None, End | None]]:
        """Those on which an entry may say something."""
        if isinstance(entry, RoomAllow):
            return [(entry.client, entry.server), (entry.server, entry.client)]
        interfaces = self._policy.interfaces
        if entry.direction is Direction.FORWARD:
            return [*permutations(interfaces, 2)]
        return [
            *((interface, entry.room) for interface in interfaces),
            *((entry.room, interface) for interface in interfaces),
        ]

    def _of_path(
        self,
        entry: Allow | RoomAllow,
        path_policy: PathPolicy,
        named: list[HeaderSpace],
        way: FlowPath,
    ) -> Iterator[Hole]:
        users = self._policy.users
        grid = Grid(way.family, [*path_policy.allowed, *path_policy.denied, *path_policy.always])
        (asks, not_asked), (_, not_answered) = path_policy.by_direction
        denied = {False: [*map(grid.cell, not_asked)], True: [*map(grid.cell, not_answered)]}
        asked = [*minus(map(grid.cell, asks), denied[False]), *map(grid.cell, path_policy.always)]
        answers = [grid.cell(space) for space in named if space.answer and not _is_icmp(space)]

        def left(spaces: list[HeaderSpace]) -> Iterator[Cell]:
            for answer, taken in denied.items():
                same = (grid.cell(space) for space in spaces if space.answer is answer)
                yield from minus(same, taken)

        why = _why(way)
        for cell in minus(answers, [*denied[True], *asked]):
            yield Hole(entry.key, flow_set(cell, grid, way, users), why)
        if way.ingress is None:
            return
        types = [space for space in named if _is_icmp(space)] if _of_echo(entry) else []
        for cell in joined(left(types)):
            yield Hole(entry.key, flow_set(cell, grid, way, users), EVERY_TYPE)
        if way.family is Family.V4 and way.egress is None:
            heard = [space for space in named if space.pattern.protocol != Protocol.TCP]
            for cell in joined(left(heard)):
                yield Hole(entry.key, flow_set(cell, grid, way, users), TO_ALL)

    def always(self) -> Iterator[Hole]:
        """What no entry says and no policy can do without."""
        for interface in self._policy.interfaces:
            for family in Family:
                path_policy = self._semantics.path_policy(family, interface, None)
                grid = Grid(family, path_policy.always)
                way = flow_path(self._semantics, family, interface, None)
                for space in path_policy.always:
                    found = flow_set(grid.cell(space), grid, way, ())
                    yield Hole("always", found, f"{ALWAYS} ({space.key})")


def _why(way: FlowPath) -> str:
    """What is open where something has the form of an answer and is none."""
    if way.ingress is None:
        return ANYWHERE
    if way.ours[0]:
        return ANYWHERE_FROM_ROOM
    if way.egress is None:
        return UNASKED
    return UNASKED_IN_ROOM if way.ours[1] else THROUGH


def _is_icmp(space: HeaderSpace) -> bool:
    return space.pattern.protocol in WITH_TYPES


def _of_echo(entry: Allow | RoomAllow) -> bool:
    return any(service.echo for service in entry.services)


def holes(policy: Policy) -> Iterator[Hole]:
    """Everything, in the order of the entries, and at the end what always passes."""
    found = _Holes(policy)
    for entry in policy.all_allows:
        yield from found.of_entry(entry)
    yield from found.always()


def lines(policy: Policy) -> Iterator[str]:
    """For a person: entry by entry; what is the same in both families is said once."""
    entries = {entry.key: str(entry) for entry in policy.all_allows}
    told: dict[str, dict[str, list[int]]] = {key: {} for key in (*entries, "always")}
    for hole in holes(policy):
        told[hole.key].setdefault(str(hole), []).append(hole.packets.path.family.version)
    for key, said in told.items():
        yield f"{key}: {entries[key]}" if key in entries else "whatever the entries say:"
        for text, versions in said.items():
            yield f"  {text}" if len(versions) > 1 else f"  IPv{versions[0]} {text}"
        if not said:
            yield "  nothing besides"
    yield from BEYOND


BEYOND = (
    "  IPv4 from 0.0.0.0 to 255.255.255.255 and 224.0.0.0/24: arrives, no look-up is made",
    "  IPv4 multicast and limited broadcast from a socket with an address or a device: is sent,"
    " no look-up is made",
)
"""What no rule decides: docs/meaning.md, its last part."""


def command(file: Path, *, as_json: bool) -> int:
    """Print the holes of a policy file; returns the exit status."""
    policy = with_example_assignments(read_policy(file))
    if as_json:
        told = [
            {"entry": hole.key, "why": hole.why, **hole.packets.as_json()} for hole in holes(policy)
        ]
        print(json.dumps({"holes": told}, indent=1))
    else:
        print("\n".join(lines(policy)))
    return 0
