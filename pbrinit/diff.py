"""`pbrctl diff`: what becomes reachable between two policies, and what no longer is.

In: two policies.  Out: `Change` values, packets that pass under one of them alone; both are
compared by their meaning, not by their text.  Exit status: 0 where nothing changes, 1 where
something does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from pbrinit.addresses import AddressSet, Family
from pbrinit.boxes import Part
from pbrinit.cells import Grid, minus
from pbrinit.language import read
from pbrinit.meaning import Meaning
from pbrinit.policy import Interface, Policy
from pbrinit.wording import Packets, Way, packets

CHANGED = 1
OPENED, CLOSED = "now reachable", "no longer reachable"


@dataclass(frozen=True)
class Change:
    """Packets that pass under the one policy alone."""

    what: str
    packets: Packets

    def __str__(self) -> str:
        return f"{self.packets}: {self.what}"


class _Side:
    """One of the two policies."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.meaning = Meaning(policy)
        self._interfaces = {interface.name: interface for interface in policy.interfaces}

    def part(self, family: Family, way_in: str | None, way_out: str | None) -> Part:
        """What passes on a path; nothing where there is no such interface."""
        ways = [self._interfaces.get(name) if name else None for name in (way_in, way_out)]
        if any(name and way is None for name, way in zip((way_in, way_out), ways, strict=True)):
            return Part(())
        return self.meaning.part(family, *ways)

    def own(self, family: Family, name: str | None) -> AddressSet:
        """Our addresses on an interface."""
        return self._set(family, name, self.meaning.own)

    def behind(self, family: Family, name: str | None) -> AddressSet:
        """Those who live behind an interface."""
        return self._set(family, name, self.meaning.behind)

    def _set(self, family: Family, name: str | None, of: Any) -> AddressSet:
        interface: Interface | None = self._interfaces.get(name or "")
        found: AddressSet = of(interface, family) if interface else AddressSet(family)
        return found


def changes(old: Policy, new: Policy) -> Iterator[Change]:
    """Everything that passes under one of two policies alone.

    Interfaces are the same where their names are.
    """
    before, after = _Side(old), _Side(new)
    names = tuple(dict.fromkeys(i.name for policy in (old, new) for i in policy.interfaces))
    ways: list[tuple[str | None, str | None]] = [(name, None) for name in names]
    ways += [(None, name) for name in names]
    ways += permutations(names, 2)
    for way_in, way_out in ways:
        for family in Family:
            yield from _of_way(before, after, family, way_in, way_out)


def _of_way(
    before: _Side, after: _Side, family: Family, way_in: str | None, way_out: str | None
) -> Iterator[Change]:
    parts = [side.part(family, way_in, way_out) for side in (before, after)]
    if parts[0] == parts[1]:
        return
    boxes = [b for part in parts for b in (*part.always, *part.allowed, *part.denied)]
    grid = Grid(family, boxes)
    passed, passes = (grid.passing(part) for part in parts)
    for what, side, found in (
        (OPENED, after, minus(passes, passed)),
        (CLOSED, before, minus(passed, passes)),
    ):
        way = Way(
            family,
            way_in,
            way_out,
            side.own(family, way_in if way_out is None else way_out),
            (side.behind(family, way_in), side.behind(family, way_out)),
        )
        for cell in found:
            yield Change(what, packets(cell, grid, way, side.policy.users))


def lines(found: list[Change]) -> Iterator[str]:
    """The changes for a person; what is the same in both families is said once."""
    families: dict[str, list[int]] = {}
    for change in found:
        families.setdefault(str(change), []).append(change.packets.way.family.version)
    for text, versions in families.items():
        yield text if len(versions) > 1 else f"IPv{versions[0]} {text}"


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """The command's place on the command line."""
    parser = commands.add_parser(
        "diff", help="say what becomes reachable between two policies, and what no longer is"
    )
    parser.add_argument("old", type=Path, help="the policy file before")
    parser.add_argument("new", type=Path, help="the policy file after")
    parser.add_argument("--json", action="store_true", help="the changes as JSON")
    parser.set_defaults(command=_command)


def _command(options: argparse.Namespace) -> int:
    found = list(changes(read(options.old), read(options.new)))
    if options.json:
        told = [{"change": change.what, **change.packets.as_json()} for change in found]
        print(json.dumps({"changes": told}, indent=1))
    else:
        print("\n".join(lines(found)) or "nothing changes")
    return CHANGED if found else 0
