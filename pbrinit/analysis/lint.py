"""Entries of a sound policy that do nothing, and expectations that say nothing.

In: a `Policy`.  Out: for each entry of which deny entries leave nothing, or that allows nothing
which another one does not, and each expectation that is about nobody, what is odd about it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.analysis.cells import Grid, minus
from pbrinit.net.addresses import Family
from pbrinit.net.services import Service
from pbrinit.policy.policy import Deny, Direction, Entry, Policy
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Way
from pbrinit.semantics.expectations import asked
from pbrinit.semantics.header_space import Part
from pbrinit.semantics.paths import Meaning

Path = tuple[Family, Part]


def remark(policy: Policy, remarks: Problems) -> None:
    """Take note of the entries of a policy that do nothing, and of empty expectations."""
    meaning = Meaning(policy)
    _empty(policy, meaning, remarks)
    for number, entry in enumerate(policy.entries):
        paths = list(_asking(entry, policy, meaning))
        if takers := _takers(entry, policy, paths):
            keys = ", ".join(deny.key for deny in takers)
            remarks.add(entry.key, f"does nothing: what it lets be asked is taken away by {keys}")
            continue
        for other_number, other in enumerate(policy.entries):
            same = _within(other, entry)
            if other is not entry and _within(entry, other) and (other_number < number or not same):
                remarks.add(entry.key, f"allows nothing that {other.key} does not allow as well")
                break


def _empty(policy: Policy, meaning: Meaning, remarks: Problems) -> None:
    """Who lives behind an interface that is to be given its address shows when it is."""
    if any(interface.asks for interface in policy.interfaces):
        return
    boxes = [(one.key, one.box) for family in Family for one in asked(meaning, family)]
    about = {key for key, box in boxes if box.sources and box.destinations}
    for expected in policy.expectations:
        if expected.key not in about:
            remarks.add(
                expected.key, "holds whatever is allowed: nobody it names is where it looks"
            )


def _takers(entry: Entry, policy: Policy, paths: list[Path]) -> tuple[Deny, ...]:
    """The deny entries that leave nothing of what an entry lets be asked: one where one alone
    does, else all that take some of it; none where something is left.
    """
    near = [deny for deny in policy.denies if any(_meets(entry, deny, part) for _, part in paths)]
    if not near or not _take_all(entry, near, paths):
        return ()
    alone = next((deny for deny in near if _take_all(entry, [deny], paths)), None)
    return (alone,) if alone else tuple(near)


def _meets(entry: Entry, deny: Deny, part: Part) -> bool:
    """Whether a deny entry may take something of an entry on a path, services apart."""
    asks, denied = part.halves[0]
    return any(
        box.sources.meets(mine.sources) and box.destinations.meets(mine.destinations)
        for box in denied
        if box.key == deny.key
        for mine in asks
        if mine.key == entry.key and box.form.protocol in (None, mine.form.protocol)
    )


def _take_all(entry: Entry, denies: list[Deny], paths: list[Path]) -> bool:
    """Whether nothing is left on any path."""
    keys = {deny.key for deny in denies}
    for family, part in paths:
        asks, denied = part.halves[0]
        mine = [box for box in asks if box.key == entry.key]
        taken = [box for box in denied if box.key in keys]
        grid = Grid(family, [*mine, *taken])
        if minus(map(grid.cell, mine), map(grid.cell, taken)):
            return False
    return True


def _asking(entry: Entry, policy: Policy, meaning: Meaning) -> Iterator[Path]:
    """The paths of what asks for an entry; none where there is nothing to take it away."""
    ways: list[tuple[Way | None, Way | None]]
    if entry.direction is Direction.INPUT:
        ways = [(way, entry.room) for way in entry.interfaces]
    elif entry.direction is Direction.OUTPUT:
        ways = [(entry.room, way) for way in entry.interfaces]
    else:
        ways = [(i, o) for i in entry.interfaces for o in entry.ways_out if i is not o]
    for way_in, way_out in ways if policy.denies else ():
        for family in Family:
            yield family, meaning.part(family, way_in, way_out)


def _within(entry: Entry, other: Entry) -> bool:
    """Whether all that an entry allows, answers included, another one does: each of what it names
    is among what the other names, and it is about the same room, or both about none.
    """
    return (
        entry.direction is other.direction
        and entry.room == other.room
        and set(entry.interfaces) <= set(other.interfaces)
        and set(entry.ways_out) <= set(other.ways_out)
        and other.user in (None, entry.user)
        and entry.clients in other.clients
        and all(any(_serves(wide, one) for wide in other.services) for one in entry.services)
        and all(
            mine.of(family) <= theirs.of(family)
            for mine, theirs in (
                (entry.sources, other.sources),
                (entry.destinations, other.destinations),
            )
            for family in Family
        )
    )


def _serves(wide: Service, narrow: Service) -> bool:
    """Whether the one service is all of the other."""
    if wide.protocol != narrow.protocol or (wide.echo and not narrow.echo):
        return False
    return wide.ports is None or (narrow.ports is not None and narrow.ports in wide.ports)
