"""A set of addresses as longest prefixes: which of them say yes, and which say no within those.

In: the addresses that are meant, and those that matter at all.  Out: `Piece` values, the
longest first, of which the first that holds an address decides; where none does, it is no.

"Everybody but these 100,000" is one prefix that says yes and 100,000 that say no.  The pieces
of a small set are the fewest possible: the two upper passes of ORTC (R. Draves et al.,
"Constructing Optimal IP Routing Tables", 1999) with two values, either of which will do for
addresses that do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from pbrinit.net.addresses import AddressSet, Family, Prefix

YES, NO = 1, 2
EITHER = YES | NO
BEST_UP_TO = 4096
"""With more ranges than these the better of two plain forms is taken: the prefixes that are
meant, or one for everybody with those that are not meant."""


@dataclass(frozen=True)
class Piece:
    """One prefix, None for all, and whether addresses in it, and in no longer one, are meant."""

    prefix: Prefix | None
    yes: bool


@lru_cache(maxsize=256)
def pieces(meant: AddressSet, matter: AddressSet) -> tuple[Piece, ...]:
    """Few prefixes that tell `meant` from the rest of `matter`."""
    yes, no = meant & matter, matter - meant
    if not yes:
        return ()
    if not no:
        return (Piece(None, yes=True),)
    if len(yes.ranges) + len(no.ranges) <= BEST_UP_TO:
        found = list(_Trie(meant.family, yes, no).pieces())
    elif yes.prefix_count <= no.prefix_count + 1:
        found = [Piece(prefix, yes=True) for prefix in yes.prefixes]
    else:
        found = [Piece(prefix, yes=False) for prefix in no.prefixes] + [Piece(None, yes=True)]
    return tuple(sorted(found, key=_longest_first))


def _longest_first(piece: Piece) -> tuple[int, int]:
    prefix = piece.prefix
    return (-prefix.prefixlen, int(prefix.network_address)) if prefix else (0, 0)


class _Trie:
    """The binary trie over the ranges of both sets, as far as they differ."""

    def __init__(self, family: Family, yes: AddressSet, no: AddressSet) -> None:
        self._bits = family.bits
        self._family = family
        ranges = sorted([(*r, YES) for r in yes.ranges] + [(*r, NO) for r in no.ranges])
        self._ranges = ranges
        said = (value == YES for _, _, value in ranges)
        self._yes_before = list(accumulate(said, initial=0))
        self._values: dict[tuple[int, int], int] = {}
        self._root = self._value(0, 0, 0, len(ranges))

    def pieces(self) -> Iterator[Piece]:
        """What has to be said, from the root on, where nothing said is no."""
        yield from self._said(0, 0, NO)

    def _value(self, first: int, length: int, low: int, high: int) -> int:
        """What the addresses of a prefix can inherit; `low` to `high` are ranges that touch it."""
        last = first + (1 << (self._bits - length)) - 1
        while low < high and self._ranges[low][1] < first:
            low += 1
        while low < high and self._ranges[high - 1][0] > last:
            high -= 1
        if low == high:
            return EITHER
        said = self._yes_before[high] - self._yes_before[low]
        if said in (0, high - low):
            return YES if said else NO
        half = 1 << (self._bits - length - 1)
        one = self._value(first, length + 1, low, high)
        other = self._value(first + half, length + 1, low, high)
        value = one & other or one | other
        self._values[first, length] = value
        self._values[first, length + 1] = one
        self._values[first + half, length + 1] = other
        return value

    def _said(self, first: int, length: int, inherited: int) -> Iterator[Piece]:
        value = self._values.get((first, length), self._root if length == 0 else EITHER)
        if not value & inherited:
            inherited = value
            prefix = self._family.prefix(first, length) if length else None
            yield Piece(prefix, yes=value == YES)
        if (first, length + 1) in self._values:
            half = 1 << (self._bits - length - 1)
            yield from self._said(first, length + 1, inherited)
            yield from self._said(first + half, length + 1, inherited)
