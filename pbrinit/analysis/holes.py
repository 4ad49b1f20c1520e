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
from pbrinit.analysis.describe import Packets, Way, packets, path
from pbrinit.net.addresses import Family
from pbrinit.net.packet import WITH_TYPES
from pbrinit.net.services import Protocol
from pbrinit.policy.assigned import whole
from pbrinit.policy.policy import Between, Direction, Entry, Policy
from pbrinit.policy.programs import Way as End
from pbrinit.policy.reader.reader import read
from pbrinit.semantics.header_space import Box, Part
from pbrinit.semantics.paths import Meaning

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
    packets: Packets
    why: str

    def __str__(self) -> str:
        return f"{self.packets}: {self.why}"


class _Holes:
    """The holes of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._meaning = Meaning(policy)

    def of_entry(self, entry: Entry | Between) -> Iterator[Hole]:
        """What one entry opens, path by path."""
        for way_in, way_out in self._paths(entry):
            for family in Family:
                part = self._meaning.part(family, way_in, way_out)
                named = [box for box in part.allowed if box.key == entry.key]
                if named:
                    way = path(self._meaning, family, way_in, way_out)
                    yield from self._of_path(entry, part, named, way)

    def _paths(self, entry: Entry | Between) -> list[tuple[End | None, End | None]]:
        """Those on which an entry may say something."""
        if isinstance(entry, Between):
            return [(entry.asking, entry.asked), (entry.asked, entry.asking)]
        interfaces = self._policy.interfaces
        if entry.direction is Direction.FORWARD:
            return [*permutations(interfaces, 2)]
        return [
            *((interface, entry.room) for interface in interfaces),
            *((entry.room, interface) for interface in interfaces),
        ]

    def _of_path(
        self, entry: Entry | Between, part: Part, named: list[Box], way: Way
    ) -> Iterator[Hole]:
        users = self._policy.users
        grid = Grid(way.family, [*part.allowed, *part.denied, *part.always])
        (asks, not_asked), (_, not_answered) = part.halves
        denied = {False: [*map(grid.cell, not_asked)], True: [*map(grid.cell, not_answered)]}
        asked = [*minus(map(grid.cell, asks), denied[False]), *map(grid.cell, part.always)]
        answers = [grid.cell(box) for box in named if box.answer and not _is_icmp(box)]

        def left(boxes: list[Box]) -> Iterator[Cell]:
            for answer, taken in denied.items():
                same = (grid.cell(box) for box in boxes if box.answer is answer)
                yield from minus(same, taken)

        why = _why(way)
        for cell in minus(answers, [*denied[True], *asked]):
            yield Hole(entry.key, packets(cell, grid, way, users), why)
        if way.way_in is None:
            return
        types = [box for box in named if _is_icmp(box)] if _of_echo(entry) else []
        for cell in joined(left(types)):
            yield Hole(entry.key, packets(cell, grid, way, users), EVERY_TYPE)
        if way.family is Family.V4 and way.way_out is None:
            heard = [box for box in named if box.form.protocol != Protocol.TCP]
            for cell in joined(left(heard)):
                yield Hole(entry.key, packets(cell, grid, way, users), TO_ALL)

    def always(self) -> Iterator[Hole]:
        """What no entry says and no policy can do without."""
        for interface in self._policy.interfaces:
            for family in Family:
                part = self._meaning.part(family, interface, None)
                grid = Grid(family, part.always)
                way = path(self._meaning, family, interface, None)
                for box in part.always:
                    found = packets(grid.cell(box), grid, way, ())
                    yield Hole("always", found, f"{ALWAYS} ({box.key})")


def _why(way: Way) -> str:
    """What is open where something has the form of an answer and is none."""
    if way.way_in is None:
        return ANYWHERE
    if way.ours[0]:
        return ANYWHERE_FROM_ROOM
    if way.way_out is None:
        return UNASKED
    return UNASKED_IN_ROOM if way.ours[1] else THROUGH


def _is_icmp(box: Box) -> bool:
    return box.form.protocol in WITH_TYPES


def _of_echo(entry: Entry | Between) -> bool:
    return any(service.echo for service in entry.services)


def holes(policy: Policy) -> Iterator[Hole]:
    """Everything, in the order of the entries, and at the end what always passes."""
    found = _Holes(policy)
    for entry in policy.allowing:
        yield from found.of_entry(entry)
    yield from found.always()


def lines(policy: Policy) -> Iterator[str]:
    """For a person: entry by entry; what is the same in both families is said once."""
    entries = {entry.key: str(entry) for entry in policy.allowing}
    told: dict[str, dict[str, list[int]]] = {key: {} for key in (*entries, "always")}
    for hole in holes(policy):
        told[hole.key].setdefault(str(hole), []).append(hole.packets.way.family.version)
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
    policy = whole(read(file))
    if as_json:
        told = [
            {"entry": hole.key, "why": hole.why, **hole.packets.as_json()} for hole in holes(policy)
        ]
        print(json.dumps({"holes": told}, indent=1))
    else:
        print("\n".join(lines(policy)))
    return 0
