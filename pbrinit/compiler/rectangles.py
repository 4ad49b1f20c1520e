"""Products of two sets: every source of the one to every destination of the other.

In: products that are allowed, and products that are denied.  Out: products that hold just what is
left, and whether two of them would be mixed where each side is looked up by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pbrinit.net.addresses import AddressSet


@dataclass(frozen=True)
class Product:
    """All packets from one set to another; `keys` are the entries that name them."""

    sources: AddressSet
    destinations: AddressSet
    keys: str

    def __bool__(self) -> bool:
        return bool(self.sources) and bool(self.destinations)

    def minus(self, other: Product) -> list[Product]:
        """What is left without another, as at most two products."""
        common = self.sources & other.sources
        if not common or not self.destinations & other.destinations:
            return [self]
        parts = (
            Product(self.sources - other.sources, self.destinations, self.keys),
            Product(common, self.destinations - other.destinations, self.keys),
        )
        return [part for part in parts if part]


def without(allowed: Iterable[Product], denied: Iterable[Product]) -> tuple[Product, ...]:
    """What is allowed and not denied. Products with one side in common are joined."""
    left = [product for product in allowed if product]
    for other in denied:
        left = [part for product in left for part in product.minus(other)]
    by_sources: dict[AddressSet, Product] = {}
    for product in left:
        known = by_sources.get(product.sources)
        joined = _with_destinations(known, product) if known else product
        by_sources[product.sources] = joined
    by_destinations: dict[AddressSet, Product] = {}
    for product in by_sources.values():
        known = by_destinations.get(product.destinations)
        joined = _with_sources(known, product) if known else product
        by_destinations[product.destinations] = joined
    found = list(by_destinations.values())
    return tuple(
        p for p in found
        if not any(p is not q and p.sources <= q.sources and p.destinations <= q.destinations
                   for q in found)
    )  # fmt: skip


def _with_destinations(one: Product, other: Product) -> Product:
    return Product(one.sources, one.destinations | other.destinations, _keys(one, other))


def _with_sources(one: Product, other: Product) -> Product:
    return Product(one.sources | other.sources, one.destinations, _keys(one, other))


def _keys(one: Product, other: Product) -> str:
    return ", ".join(dict.fromkeys([*one.keys.split(", "), *other.keys.split(", ")]))


def mixed(
    by_destination: Sequence[Product], by_source: Sequence[Product], whole: Sequence[Product]
) -> tuple[Product, Product] | None:
    """Two products of which the destinations of the one and the sources of the other make
    packets that are in no product, where only those two sides are looked at; None if none do.
    """
    for one in by_destination:
        for other in by_source:
            crossed = Product(other.sources, one.destinations, "")
            if one is not other and without([crossed], whole):
                return one, other
    return None
