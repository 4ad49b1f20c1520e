"""Addresses of both families, and sets of addresses.

In: addresses and prefixes.  Out: `AddressSet`, with union, intersection, difference, and its
prefixes.  An operation on sets of 100,000 prefixes takes tenths of a second.
"""

from __future__ import annotations

import enum
import socket
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from operator import itemgetter

Address = IPv4Address | IPv6Address
InterfaceAddress = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network


class Family(enum.IntEnum):
    """An address family by the kernel's number (AF_INET, AF_INET6)."""

    V4 = socket.AF_INET
    V6 = socket.AF_INET6

    @property
    def version(self) -> int:
        """4 or 6, as the `ip` command and the ipaddress module write it."""
        return 4 if self is Family.V4 else 6

    @property
    def bits(self) -> int:
        """The length of an address in bits."""
        return 32 if self is Family.V4 else 128

    def address(self, value: int) -> Address:
        """The address with this number."""
        return IPv4Address(value) if self is Family.V4 else IPv6Address(value)

    def prefix(self, first: int, length: int) -> Prefix:
        """The prefix of this length whose first address has the number `first`."""
        start = (first, length)
        return IPv4Network(start) if self is Family.V4 else IPv6Network(start)


def family_of(value: Address | InterfaceAddress | Prefix) -> Family:
    """The family of an address, with or without a prefix."""
    return Family.V4 if value.version == Family.V4.version else Family.V6


@dataclass(frozen=True)
class AddressSet:
    """Addresses of one family, as ranges that include both ends, are sorted and do not touch."""

    family: Family
    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def everything(cls, family: Family) -> AddressSet:
        """Every address of the family."""
        return cls(family, ((0, (1 << family.bits) - 1),))

    @classmethod
    def from_prefixes(cls, family: Family, values: Iterable[Prefix | Address]) -> AddressSet:
        """The addresses in `values`; values of the other family are left out."""
        ranges = []
        for value in values:
            if value.version != family.version:
                continue
            if isinstance(value, (IPv4Network, IPv6Network)):
                first = int(value.network_address)
                ranges.append((first, first + value.num_addresses - 1))
            else:
                ranges.append((int(value), int(value)))
        return cls(family, tuple(_joined(ranges)))

    @classmethod
    def from_ranges(cls, family: Family, ranges: Iterable[tuple[int, int]]) -> AddressSet:
        """The addresses of these ranges, which include both ends and come in any order."""
        return cls(family, tuple(_joined(list(ranges))))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, address: Address | int) -> bool:
        value = int(address)
        at = bisect_right(self._firsts, value) - 1
        return at >= 0 and value <= self.ranges[at][1]

    def __or__(self, other: AddressSet) -> AddressSet:
        if not other.ranges or self.is_everything:
            return self
        if not self.ranges or other.is_everything or self.ranges == other.ranges:
            return other
        return AddressSet(self.family, tuple(_joined([*self.ranges, *other.ranges])))

    def __and__(self, other: AddressSet) -> AddressSet:
        if not self.ranges or other.is_everything:
            return self
        if not other.ranges or self.is_everything:
            return other
        return AddressSet(self.family, tuple(_common(self.ranges, other.ranges)))

    def __sub__(self, other: AddressSet) -> AddressSet:
        if not self.ranges or not other.ranges:
            return self
        return self & ~other

    def overlaps(self, other: AddressSet) -> bool:
        """Whether some address is in both; the search ends at the first one."""
        return next(_common(self.ranges, other.ranges), None) is not None

    def __invert__(self) -> AddressSet:
        return self._complement

    def __le__(self, other: AddressSet) -> bool:
        return not self - other

    @property
    def is_everything(self) -> bool:
        """Whether it has every address of the family."""
        return self.ranges == ((0, (1 << self.family.bits) - 1),)

    @cached_property
    def prefixes(self) -> tuple[Prefix, ...]:
        """The fewest prefixes that contain exactly these addresses, in order."""
        return tuple(prefix for first, last in self.ranges for prefix in self._cut(first, last))

    @property
    def prefix_count(self) -> int:
        """The number of `prefixes`, computed without making them.

        A range is cut at the number in it that the highest power of two divides. Below the cut
        it takes a prefix for each bit that is set in the distance to its beginning, above the
        cut one for each bit that is set in the distance to its end.
        """
        count = 0
        for first, last in self.ranges:
            size = (first ^ last).bit_length()
            middle = last >> max(size - 1, 0) << max(size - 1, 0)
            one_prefix = last - first + 1 == 1 << size
            below, above = middle - first, last + 1 - middle
            count += 1 if one_prefix else below.bit_count() + above.bit_count()
        return count

    @cached_property
    def _complement(self) -> AddressSet:
        gaps = []
        after = 0
        for first, last in self.ranges:
            if first > after:
                gaps.append((after, first - 1))
            after = last + 1
        if after < 1 << self.family.bits:
            gaps.append((after, (1 << self.family.bits) - 1))
        return AddressSet(self.family, tuple(gaps))

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        return tuple(first for first, _ in self.ranges)

    def _cut(self, first: int, last: int) -> Iterator[Prefix]:
        """One range as prefixes, each as large as its first address and what is left allow."""
        bits = self.family.bits
        while first <= last:
            aligned = (first & -first).bit_length() - 1 if first else bits
            size = min(aligned, (last - first + 1).bit_length() - 1)
            yield self.family.prefix(first, bits - size)
            first += 1 << size


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same addresses in ranges that are sorted and do not touch."""
    ranges.sort()
    if not ranges:
        return
    first, last = ranges[0]
    for a, b in ranges[1:]:
        if a > last + 1:
            yield first, last
            first, last = a, b
        else:
            last = max(last, b)
    yield first, last


def _common(
    left: tuple[tuple[int, int], ...], right: tuple[tuple[int, int], ...]
) -> Iterator[tuple[int, int]]:
    """The intersection, in order: each range of the shorter one cuts a stretch from the longer."""
    short, long = sorted((left, right), key=len)
    for first, last in short:
        begin = bisect_left(long, first, key=itemgetter(1))
        stretch = list(long[begin : bisect_right(long, last, lo=begin, key=itemgetter(0))])
        if stretch:
            stretch[0] = (max(first, stretch[0][0]), stretch[0][1])
            stretch[-1] = (stretch[-1][0], min(last, stretch[-1][1]))
            yield from stretch


def host(address: InterfaceAddress) -> Prefix:
    """The address of an interface as a prefix of full length."""
    return (
        IPv4Network(address.ip.packed)
        if address.version == Family.V4.version
        else IPv6Network(address.ip.packed)
    )


def holds(wide: Prefix, narrow: Prefix) -> bool:
    """Whether `wide` contains all of `narrow`, a prefix of the same family."""
    shift = wide.max_prefixlen - wide.prefixlen
    same_bits = int(wide.network_address) >> shift == int(narrow.network_address) >> shift
    return wide.prefixlen <= narrow.prefixlen and same_bits
