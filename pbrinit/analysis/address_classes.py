"""Addresses of one family reduced to classes: those that no question asked here tells apart.

In: sets of addresses, and what is in routing tables.  Out: `AddressClasses`: what each set is as a
set of classes (the bits of an integer), and an address of each class.  docs/proof.md has the
argument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import groupby, pairwise

from pbrinit.model.tables import FibEntry
from pbrinit.net.addresses import Address, AddressSet, Family, Prefix

EXAMPLES: dict[Family, tuple[Address, ...]] = {
    Family.V4: tuple(map(IPv4Address, ("203.0.113.9", "198.51.100.9", "192.0.2.9"))),
    Family.V6: tuple(map(IPv6Address, ("2001:db8:9::9", "2001:db8::9"))),
}
"""Hosts of the prefixes for documentation (RFC 5737, RFC 3849)."""

NINTH = 9
"""Counted from the network's own address."""

Chain = tuple[object, ...]
"""What one table has for an address, the longest prefix first."""


@dataclass(frozen=True)
class _Nested:
    """Prefixes of one table, or of the sources of one of its routes, and what stands there."""

    values: dict[Prefix, object]


class AddressClasses:
    """Addresses are of one class where they are in the same sets, and have the same routes, of
    the same kind by the same device in the same order of lengths, in every table.

    A sweep over all ends of all sets, each looked at once: 100,000 prefixes are 200,000 ends.
    """

    def __init__(
        self, family: Family, sets: Iterable[AddressSet], entries: Iterable[FibEntry] = ()
    ) -> None:
        self.family = family
        self._sets = {id(found): found for found in sets if found.family is family}
        self._bits = {key: 1 << number for number, key in enumerate(self._sets)}
        self._starts: list[int] = []
        self._at: list[int] = []
        self._members: list[int] = []
        known: dict[tuple[int, tuple[Chain, ...]], int] = {}
        for start, members, chains in self._sweep(list(_tables(family, entries))):
            number = known.setdefault((members, chains), len(known))
            if number == len(self._members):
                self._members.append(members)
            if not self._at or self._at[-1] != number:
                self._starts.append(start)
                self._at.append(number)
        self._masks: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._members)

    @property
    def everything(self) -> int:
        """All classes."""
        return (1 << len(self)) - 1

    def mask(self, addresses: AddressSet) -> int:
        """The classes that make up a set, which must be one of those given at the start."""
        key = id(addresses)
        if key not in self._masks:
            bit = self._bits[key]
            self._masks[key] = sum(1 << n for n, m in enumerate(self._members) if m & bit)
        return self._masks[key]

    def number(self, address: Address) -> int:
        """The class of an address."""
        return self._at[bisect_right(self._starts, int(address)) - 1]

    def example(self, number: int) -> Address:
        """The first address of a class."""
        return self.family.address(self._starts[self._at.index(number)])

    def representative(self, number: int) -> Address:
        """An address of a class as people have them in examples: one of those that are kept for
        that, else the ninth of its widest range.
        """
        for address in EXAMPLES[self.family]:
            if self.number(address) == number:
                return address
        first, last = max(self._ranges(1 << number), key=lambda ends: ends[1] - ends[0])
        return self.family.address(min(first + NINTH, last))

    def addresses(self, mask: int) -> AddressSet:
        """The addresses of some classes."""
        return AddressSet(self.family, tuple(_touching(self._ranges(mask))))

    def _ranges(self, mask: int) -> Iterator[tuple[int, int]]:
        """Where the addresses of some classes are."""
        ends = [*self._starts, 1 << self.family.bits]
        for (first, after), number in zip(pairwise(ends), self._at, strict=True):
            if mask >> number & 1:
                yield first, after - 1

    def _sweep(self, tables: list[_Nested]) -> Iterator[tuple[int, int, tuple[Chain, ...]]]:
        """Each place where something begins or ends, with the sets and routes from there on."""
        end = 1 << self.family.bits
        events: list[tuple[int, int, int, object]] = [(0, 0, -1, 0)]
        for key, found in self._sets.items():
            for first, last in found.ranges:
                events.append((first, 0, -1, self._bits[key]))
                events.append((last + 1, 0, -1, self._bits[key]))
        for number, table in enumerate(tables):
            for prefix, value in table.values.items():
                first = int(prefix.network_address)
                events.append((first, 1 + prefix.prefixlen, number, value))
                events.append((first + prefix.num_addresses, 0, number, None))
        events.sort(key=lambda event: event[:2])
        members = 0
        stacks: list[list[Chain]] = [[()] for _ in tables]
        for start, group in groupby(events, key=lambda event: event[0]):
            for _, _, number, value in group:
                if number < 0:
                    members ^= value  # type: ignore[operator]
                elif value is None:
                    stacks[number].pop()
                else:
                    stacks[number].append(_before(value, stacks[number][-1]))
            if start < end:
                yield start, members, tuple(stack[-1] for stack in stacks)


def _before(value: object, chain: Chain) -> Chain:
    """A longer prefix in front of shorter ones. What is there again, further on, is never
    reached: whoever is not content with it the first time is not content with it later.
    """
    return (value, *(other for other in chain if other != value))


def _tables(family: Family, entries: Iterable[FibEntry]) -> Iterator[_Nested]:
    """What there is to be told apart by routes: by each table's destinations, and by the
    sources of each destination that has such (IPV6_SUBTREES).
    """
    tables: dict[int, dict[Prefix, list[object]]] = {}
    sources: dict[tuple[int, Prefix], dict[Prefix, list[object]]] = {}
    for entry in entries:
        destination = entry.destination
        if destination.version != family.version:
            continue
        node = tables.setdefault(entry.table, {}).setdefault(destination, [])
        group = destination.network_address.is_multicast
        does = (entry.type, entry.device, entry.gateway, entry.metric, group)
        if entry.source is None:
            node.append(does)
            continue
        if (entry.table, destination) not in sources:
            node.append(destination)  # with sources of its own: like no other
        known = sources.setdefault((entry.table, destination), {})
        known.setdefault(entry.source, []).append(does)
    for nested in (*tables.values(), *sources.values()):
        yield _Nested({prefix: tuple(found) for prefix, found in nested.items()})


def _touching(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in order, those that touch made one."""
    held: tuple[int, int] | None = None
    for first, last in ranges:
        if held is not None and first == held[1] + 1:
            held = (held[0], last)
            continue
        if held is not None:
            yield held
        held = (first, last)
    if held is not None:
        yield held
