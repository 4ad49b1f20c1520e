"""The plane of source and destination ports, cut where what claims say of it changes.

In: the claims of one look-up.  Out: for each protocol a `Region` tree: strips of the ports of one
side, in each strips of those of the other, in each a leaf.  Which side comes first changes nothing
but how many leaves there are: what leaves comes from a client's port to one of n services, or from
one of m services to any port, and by destination first that is n times m.

No rule can name port 0 and port 65535.  So a strip is named by its ports only where it differs
from the strip at port 0, which is what is left when none of the named ones fits; fragments, and
packets of protocols without ports, are there too.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pbrinit.compiler.flowspec import ANY_PORT, Claim, Role
from pbrinit.net.services import Ports

L = TypeVar("L", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True)
class Strips(Generic[V]):
    """Ports that have something of their own, in order, and what all others have."""

    named: tuple[tuple[Ports, V], ...]
    others: V


Region = Strips[Strips[L]]
"""By the port of one side, then by that of the other."""


class Side(enum.Enum):
    """Whose ports; the values are fields of `Shape` and of `Rule`."""

    SOURCE = "source_ports"
    DESTINATION = "destination_ports"

    @property
    def other(self) -> Side:
        """The other side."""
        return Side.SOURCE if self is Side.DESTINATION else Side.DESTINATION

    def of(self, claim: Claim) -> Ports:
        """This side's ports of a claim."""
        shape = claim.shape
        return shape.source_ports if self is Side.SOURCE else shape.destination_ports


NAMING = (Role.ALLOW, Role.TOLD, Role.HEARD, Role.REJECT)
Evaluate = Callable[[tuple[Claim, ...]], L]


def protocols(claims: Iterable[Claim]) -> list[int]:
    """The protocols of which something is allowed, told or heard, in the order of their numbers,
    but TCP and UDP first, since most packets are theirs.
    """
    found = {c.shape.protocol for c in claims if c.role in NAMING}
    numbers = {number for number in found if number is not None}
    common = [number for number in (6, 17) if number in numbers]
    return common + sorted(numbers - set(common))


def region(
    claims: Sequence[Claim],
    protocol: int | None,
    evaluate: Evaluate[L],
    first: Side = Side.DESTINATION,
) -> Region[L]:
    """The ports of one protocol; None is every protocol that has no claim of its own.

    `evaluate` makes a leaf of the claims that are about it; it is asked once for each set of them.
    """
    about = [c for c in claims if c.shape.protocol in (None, protocol)]
    known: dict[tuple[int, ...], L] = {}

    def leaf(found: Sequence[int]) -> L:
        key = tuple(found)
        if key not in known:
            known[key] = evaluate(tuple(about[number] for number in found))
        return known[key]

    def row(found: Sequence[int]) -> Strips[L]:
        return _strips([(number, first.other.of(about[number])) for number in found], leaf)

    numbered = [(number, first.of(claim)) for number, claim in enumerate(about)]
    return _strips(numbered, row)


def _strips(claims: Sequence[tuple[int, Ports]], make: Callable[[Sequence[int]], V]) -> Strips[V]:
    """Cut all ports where a claim begins or ends; neighbours that are equal are one strip."""
    cuts = {ANY_PORT.first, ANY_PORT.last + 1}
    begin: dict[int, list[int]] = {}
    end: dict[int, list[int]] = {}
    for number, ports in claims:
        cuts |= {ports.first, ports.last + 1}
        begin.setdefault(ports.first, []).append(number)
        end.setdefault(ports.last + 1, []).append(number)
    ordered = sorted(cuts)
    alive: set[int] = set()
    found: list[tuple[int, int, V]] = []
    made: dict[tuple[int, ...], V] = {}
    for first, after in itertools.pairwise(ordered):
        alive -= set(end.get(first, ()))
        alive |= set(begin.get(first, ()))
        key = tuple(sorted(alive))
        if key not in made:
            made[key] = make(key)
        if found and found[-1][2] == made[key]:
            found[-1] = (found[-1][0], after - 1, made[key])
        else:
            found.append((first, after - 1, made[key]))
    others = found[0][2]
    if found[-1][2] != others:
        raise AssertionError("no rule can tell port 0 from port 65535, but a claim does")
    named = ((Ports(first, last), value) for first, last, value in found if value != others)
    return Strips(tuple(named), others)
