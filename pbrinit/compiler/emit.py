"""How rules choose: the tree of ports, and the prefixes of an address.

In: an `Assembly`, a `Region`, pieces of a set.  Out: rules in the assembly.  A tree of ports has
at most `FEW` rules in each node, so that the cost grows with the logarithm of the number of
services.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pbrinit.compiler.assembler import Assembly, Label
from pbrinit.compiler.flowspec import Claim
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.port_tree import Evaluate, Region, Side, Strips, protocols, region
from pbrinit.compiler.prefix_cover import Piece
from pbrinit.net.services import Ports
from pbrinit.plan.plan import Action

L = TypeVar("L", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True)
class Choice:
    """What becomes of those who are meant: `then` writes the rule for them, from its selectors;
    the others go to `otherwise`.
    """

    then: Callable[..., None]
    otherwise: Label
    note: str
    other_note: str


def by_protocol(
    code: Assembly,
    claims: Sequence[Claim],
    evaluate: Evaluate[L],
    write: Callable[[L], None],
    unnamed: Callable[[], None],
    *,
    within: str,
    first: Side = Side.DESTINATION,
    **selectors: Any,
) -> None:
    """Rules that lead a packet by protocol and ports to its leaf: `evaluate` makes a leaf of
    claims, `write` its rules, and `unnamed` those for a protocol that no claim names; neither comes
    to its end. `selectors` are of the rules that ask for the protocol, `within` is the note of
    those that ask for ports, of the side that comes `first` and then of the other.
    """
    starts = {number: Label(f"protocol {number}") for number in protocols(claims)}
    for number, label in starts.items():
        code.goto(label, protocol=number, **selectors)
    unnamed()
    for number, label in starts.items():
        code.mark(label)
        ports = region(claims, number, evaluate, first)
        tree(code, number, ports, first, write, note=within)


def tree(
    code: Assembly,
    protocol: int,
    region: Region[L],
    first: Side,
    write: Callable[[L], None],
    *,
    note: str,
) -> None:
    """Rules that lead a packet of the protocol by its ports to its leaf; `write` writes a leaf,
    which never comes to its end.
    """
    rows: dict[Strips[L], Label] = {}
    _split(code, first, region, rows, protocol=protocol, note=note)
    leaves: dict[L, Label] = {}
    for row, label in rows.items():
        code.mark(label)
        _split(code, first.other, row, leaves, protocol=protocol, note=note)
    for leaf, label in leaves.items():
        code.mark(label)
        write(leaf)


def _split(
    code: Assembly, side: Side, strips: Strips[V], known: dict[V, Label], **selectors: Any
) -> None:
    """Rules that tell the strips apart by one port; what they hold gets a label in `known`."""
    others = known.setdefault(strips.others, Label("other ports"))
    waiting: list[tuple[Label, Sequence[tuple[Ports, V]]]] = [(Label("all ports"), strips.named)]
    while waiting:
        here, part = waiting.pop(0)
        code.mark(here)
        if len(part) <= FEW:
            for ports, value in part:
                target = known.setdefault(value, Label(f"port {ports}"))
                code.goto(target, **{side.value: ports}, **selectors)
        else:
            size = -(-len(part) // FEW)
            for start in range(0, len(part), size):
                below = part[start : start + size]
                span = Ports(below[0][0].first, below[-1][0].last)
                waiting.append((Label(f"ports {span}"), below))
                code.goto(waiting[-1][0], **{side.value: span}, **selectors)
        code.goto(others, note=selectors["note"])


def among(
    code: Assembly, found: Iterable[Piece], side: str, choice: Choice, **selectors: Any
) -> None:
    """A rule for each piece of a set; `side` is `source` or `destination`."""
    for piece in found:
        chosen = {**selectors, side: piece.prefix}
        if piece.yes:
            choice.then(note=choice.note, **chosen)
        else:
            code.goto(choice.otherwise, note=choice.other_note, **chosen)


def both(
    code: Assembly,
    sources: Sequence[Piece],
    destinations: Sequence[Piece],
    then: Callable[..., None],
    notes: tuple[str, str],
    **selectors: Any,
) -> None:
    """Rules that do `then` for packets from the one set to the other; others pass by."""
    after = Label("the next alternative")
    if len(sources) == 1:
        chosen = {**selectors, "source": sources[0].prefix}
        among(code, destinations, "destination", Choice(then, after, *notes), **chosen)
    elif len(destinations) == 1:
        chosen = {**selectors, "destination": destinations[0].prefix}
        among(code, sources, "source", Choice(then, after, *notes), **chosen)
    else:
        known = Label("a source that is meant")

        def lead(**chosen: Any) -> None:
            code.goto(known, **chosen)

        among(code, sources, "source", Choice(lead, after, *notes), **selectors)
        code.goto(after, note="another source")
        code.mark(known)
        among(code, destinations, "destination", Choice(then, after, *notes), **selectors)
    code.mark(after)


def to_table(code: Assembly, table: int) -> Callable[..., None]:
    """The rule for those who are meant: a look-up in a table."""

    def write(**selectors: Any) -> None:
        code.add(Action.LOOKUP, table, **selectors)

    return write
