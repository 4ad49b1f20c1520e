"""Rectangles of addresses: every source of one set to every destination of another.

In: rectangles that are allowed, and rectangles that are denied.  Out: rectangles that contain
exactly what is left, and whether two of them would be mixed where each side has a look-up of its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pbrinit.net.addresses import AddressSet


@dataclass(frozen=True)
class AddressPair:
    """All packets from one set to another; `keys` are those of the entries that name them."""

    sources: AddressSet
    destinations: AddressSet
    keys: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.sources) and bool(self.destinations)

    def minus(self, other: AddressPair) -> list[AddressPair]:
        """What is left without another rectangle, as at most two rectangles."""
        common = self.sources & other.sources
        if not common or not self.destinations & other.destinations:
            return [self]
        parts = (
            AddressPair(self.sources - other.sources, self.destinations, self.keys),
            AddressPair(common, self.destinations - other.destinations, self.keys),
        )
        return [part for part in parts if part]


def without(
    allowed: Iterable[AddressPair], denied: Iterable[AddressPair]
) -> tuple[AddressPair, ...]:
    """What is allowed and not denied. Rectangles that have one side in common are joined."""
    left = [pair for pair in allowed if pair]
    for other in denied:
        left = [part for pair in left for part in pair.minus(other)]
    by_sources: dict[AddressSet, AddressPair] = {}
    for pair in left:
        same = by_sources.get(pair.sources)
        by_sources[pair.sources] = _with_destinations(same, pair) if same else pair
    by_destinations: dict[AddressSet, AddressPair] = {}
    for pair in by_sources.values():
        same = by_destinations.get(pair.destinations)
        by_destinations[pair.destinations] = _with_sources(same, pair) if same else pair
    joined = list(by_destinations.values())
    return tuple(
        p for p in joined
        if not any(p is not q and p.sources <= q.sources and p.destinations <= q.destinations
                   for q in joined)
    )  # fmt: skip


def _with_destinations(pair: AddressPair, other: AddressPair) -> AddressPair:
    return AddressPair(pair.sources, pair.destinations | other.destinations, _keys(pair, other))


def _with_sources(pair: AddressPair, other: AddressPair) -> AddressPair:
    return AddressPair(pair.sources | other.sources, pair.destinations, _keys(pair, other))


def _keys(pair: AddressPair, other: AddressPair) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*pair.keys, *other.keys]))


def cross_product_leak(
    by_destination: Sequence[AddressPair],
    by_source: Sequence[AddressPair],
    allowed: Sequence[AddressPair],
) -> tuple[AddressPair, AddressPair] | None:
    """Two rectangles, the first looked up by destination alone and the second by source alone,
    that together would accept a packet of no allowed rectangle; None if there are none.
    """
    for first in by_destination:
        for second in by_source:
            crossed = AddressPair(second.sources, first.destinations, ())
            if first is not second and without([crossed], allowed):
                return first, second
    return None
