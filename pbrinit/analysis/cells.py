"""Sets of packets that can be subtracted from each other, for what takes no proof.

In: boxes of the meaning, all of one family and path.  Out: `Grid`, which cuts each field where
a box begins or ends, and makes of a box a `Cell`: for each field a set of pieces, as the bits of
an integer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pbrinit.analysis.address_classes import AddressClasses
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports, PortSet
from pbrinit.semantics.header_space import HeaderSpace, PathPolicy

FIELDS = ("protocol", "sources", "destinations", "destination_ports", "source_ports", "uid")
LAST_PORT = 65535


@dataclass(frozen=True)
class Cell:
    """Packets that have each field among these pieces."""

    protocol: int
    sources: int
    destinations: int
    destination_ports: int
    source_ports: int
    uid: int

    @property
    def empty(self) -> bool:
        """Whether there is no such packet."""
        return not all(getattr(self, field) for field in FIELDS)

    def minus(self, other: Cell) -> Iterator[Cell]:
        """The packets that are not in the other, in cells that have nothing in common."""
        rest = self
        for field in FIELDS:
            mine, theirs = getattr(rest, field), getattr(other, field)
            if not mine & theirs:
                yield rest
                return
            if mine & ~theirs:
                yield replace(rest, **{field: mine & ~theirs})
                rest = replace(rest, **{field: mine & theirs})


def minus(cells: Iterable[Cell], others: Iterable[Cell]) -> list[Cell]:
    """The packets of the ones that are in none of the others."""
    left = joined(cell for cell in cells if not cell.empty)
    for other in others:
        left = joined(piece for cell in left for piece in cell.minus(other))
    return left


def joined(cells: Iterable[Cell]) -> list[Cell]:
    """The same packets in fewer cells: those that differ in one field alone are one."""
    left = list(dict.fromkeys(cells))
    while True:
        before = len(left)
        for field in FIELDS:
            alike: dict[Cell, int] = {}
            for cell in left:
                key = replace(cell, **{field: 0})
                alike[key] = alike.get(key, 0) | getattr(cell, field)
            left = [replace(key, **{field: found}) for key, found in alike.items()]
        if len(left) == before:
            return left


class Grid:
    """Where each field is cut, for some header spaces."""

    def __init__(self, family: Family, spaces: Sequence[HeaderSpace]) -> None:
        self._classes = AddressClasses(
            family, [found for space in spaces for found in (space.sources, space.destinations)]
        )
        # The last piece of these two is everything that no box names.
        self.protocols = sorted(
            {b.pattern.protocol for b in spaces if b.pattern.protocol is not None}
        )
        self.uids = sorted({space.uid for space in spaces if space.uid is not None})
        ports = {0, LAST_PORT + 1}
        for space in spaces:
            for found in (*space.pattern.source_ports, *space.pattern.destination_ports):
                ports |= {found.first, found.last + 1}
        self._ports = sorted(ports)

    def cell(self, space: HeaderSpace) -> Cell:
        """A box as a cell."""
        form = space.pattern
        return Cell(
            _one(self.protocols, form.protocol),
            self._classes.mask(space.sources),
            self._classes.mask(space.destinations),
            self._of_ports(form.destination_ports),
            self._of_ports(form.source_ports),
            _one(self.uids, space.uid),
        )

    def passing(self, path_policy: PathPolicy) -> list[Cell]:
        """What passes on a path."""
        return joined([*map(self.cell, path_policy.always), *self.granted(path_policy)])

    def granted(self, path_policy: PathPolicy) -> list[Cell]:
        """What the entries let pass on a path."""
        return [
            cell
            for allowed, denied in path_policy.by_direction
            for cell in minus(map(self.cell, allowed), map(self.cell, denied))
        ]

    def addresses(self, mask: int) -> AddressSet:
        """The addresses of some pieces."""
        return self._classes.addresses(mask)

    def ports(self, mask: int) -> PortSet:
        """The ports of some pieces."""
        found: list[Ports] = []
        for number, first in enumerate(self._ports[:-1]):
            last = self._ports[number + 1] - 1
            if not mask >> number & 1:
                continue
            if found and found[-1].last == first - 1:
                found[-1] = Ports(found[-1].first, last)
            else:
                found.append(Ports(first, last))
        return tuple(found)

    def _of_ports(self, ports: PortSet) -> int:
        mask = 0
        for found in ports:
            first = bisect_right(self._ports, found.first) - 1
            after = bisect_left(self._ports, found.last + 1)
            mask |= (1 << after) - (1 << first)
        return mask


def _one(known: list[int], value: int | None) -> int:
    """The piece of a value, or all of them, with the last for what nobody names."""
    return (1 << len(known) + 1) - 1 if value is None else 1 << known.index(value)
