"""A set of addresses as prefixes of which the longest match decides: some include, some exclude.

In: the addresses that are wanted, and those that can occur at all.  Out: `PrefixRule` values,
longest prefix first. The first that contains an address decides; if none does, it is excluded.

"All addresses but these 100,000" is one prefix that includes and 100,000 that exclude.  For a small
set the number of prefixes is the smallest possible: the two upper passes of ORTC (R. Draves et al.,
"Constructing Optimal IP Routing Tables", 1999) with two values, either of which is good for
addresses that cannot occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from pbrinit.net.addresses import AddressSet, Family, Prefix

INCLUDE, EXCLUDE = 1, 2
EITHER = INCLUDE | EXCLUDE
OPTIMAL_UP_TO = 4096
"""With more ranges than these the smaller of two plain forms is taken: the prefixes that are
wanted, or one for all addresses and those that are not wanted."""


@dataclass(frozen=True)
class PrefixRule:
    """A prefix, None for all addresses, and whether it includes those of its addresses that are in
    no longer prefix.
    """

    prefix: Prefix | None
    include: bool


ANY_ADDRESS = (PrefixRule(None, include=True),)


@lru_cache(maxsize=256)
def cover(wanted: AddressSet, universe: AddressSet) -> tuple[PrefixRule, ...]:
    """Few prefixes that tell `wanted` from the rest of `universe`."""
    included, excluded = wanted & universe, universe - wanted
    if not included:
        return ()
    if not excluded:
        return ANY_ADDRESS
    if len(included.ranges) + len(excluded.ranges) <= OPTIMAL_UP_TO:
        rules = list(_Trie(wanted.family, included, excluded).rules())
    elif included.prefix_count <= excluded.prefix_count + 1:
        rules = [PrefixRule(prefix, include=True) for prefix in included.prefixes]
    else:
        rules = [PrefixRule(prefix, include=False) for prefix in excluded.prefixes]
        rules += ANY_ADDRESS
    return tuple(sorted(rules, key=_longest_first))


def _longest_first(rule: PrefixRule) -> tuple[int, int]:
    prefix = rule.prefix
    return (-prefix.prefixlen, int(prefix.network_address)) if prefix else (0, 0)


class _Trie:
    """The binary trie over the ranges of both sets, as deep as they differ."""

    def __init__(self, family: Family, included: AddressSet, excluded: AddressSet) -> None:
        self._bits = family.bits
        self._family = family
        ranges = sorted(
            [(*r, INCLUDE) for r in included.ranges] + [(*r, EXCLUDE) for r in excluded.ranges]
        )
        self._ranges = ranges
        includes = (value == INCLUDE for _, _, value in ranges)
        self._included_before = list(accumulate(includes, initial=0))
        self._values: dict[tuple[int, int], int] = {}
        self._root = self._value(0, 0, 0, len(ranges))

    def rules(self) -> Iterator[PrefixRule]:
        """The rules from the root on; what no rule contains is excluded."""
        yield from self._rules(0, 0, EXCLUDE)

    def _value(self, first: int, length: int, low: int, high: int) -> int:
        """What the addresses of a prefix can inherit; `low` to `high` are ranges that touch it."""
        last = first + (1 << (self._bits - length)) - 1
        while low < high and self._ranges[low][1] < first:
            low += 1
        while low < high and self._ranges[high - 1][0] > last:
            high -= 1
        if low == high:
            return EITHER
        included = self._included_before[high] - self._included_before[low]
        if included in (0, high - low):
            return INCLUDE if included else EXCLUDE
        half = 1 << (self._bits - length - 1)
        lower = self._value(first, length + 1, low, high)
        upper = self._value(first + half, length + 1, low, high)
        value = lower & upper or lower | upper
        self._values[first, length] = value
        self._values[first, length + 1] = lower
        self._values[first + half, length + 1] = upper
        return value

    def _rules(self, first: int, length: int, inherited: int) -> Iterator[PrefixRule]:
        value = self._values.get((first, length), self._root if length == 0 else EITHER)
        if not value & inherited:
            inherited = value
            prefix = self._family.prefix(first, length) if length else None
            yield PrefixRule(prefix, include=value == INCLUDE)
        if (first, length + 1) in self._values:
            half = 1 << (self._bits - length - 1)
            yield from self._rules(first, length + 1, inherited)
            yield from self._rules(first + half, length + 1, inherited)
