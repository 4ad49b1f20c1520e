"""Rules that select packets: by a tree of ports, and by the prefixes of an address.

In: an `Assembler`, a `PortTree`, the prefixes of a set.  Out: rules in the assembler.  A node of a
tree of ports has at most `FEW` rules, so that the cost grows with the logarithm of the number of
services.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pbrinit.compiler.assembler import Assembler, Label, Note
from pbrinit.compiler.flowspec import FlowSpec
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.port_tree import (
    Evaluate,
    PortIntervals,
    PortSide,
    PortTree,
    port_tree,
    protocols,
)
from pbrinit.compiler.prefix_cover import PrefixRule
from pbrinit.net.services import Ports
from pbrinit.plan.plan import Action

L = TypeVar("L", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True)
class Branch:
    """What happens to packets by one of their addresses: `then` writes the rule for an address in
    the set, from its selectors; for any other address there is a goto to `otherwise`.
    """

    then: Callable[..., None]
    otherwise: Label
    note: Note
    other_note: Note


def emit_protocol_tree(
    code: Assembler,
    flows: Sequence[FlowSpec],
    evaluate: Evaluate[L],
    write: Callable[[L], None],
    unnamed: Callable[[], None],
    *,
    within: str,
    first: PortSide = PortSide.DESTINATION,
    **selectors: Any,
) -> None:
    """Rules that lead a packet to a leaf by its protocol and ports.

    `evaluate` makes a leaf of flows, `write` its rules, and `unnamed` the rules for protocols that
    no flow names. The rules of both must be final: no packet gets past them. `selectors` are for
    the rules that match the protocol, `within` is the note of those that match ports: first those
    of the side `first`, then those of the other.
    """
    starts = {number: Label(f"protocol {number}") for number in protocols(flows)}
    for number, label in starts.items():
        code.goto(label, protocol=number, **selectors)
    unnamed()
    for number, label in starts.items():
        code.mark(label)
        tree = port_tree(flows, number, evaluate, first)
        emit_port_tree(code, number, tree, first, write, note=within)


def emit_port_tree(
    code: Assembler,
    protocol: int,
    tree: PortTree[L],
    first: PortSide,
    write: Callable[[L], None],
    *,
    note: str,
) -> None:
    """Rules that lead a packet of the protocol to a leaf by its ports; `write` writes the rules of
    a leaf, which no packet gets past.
    """
    rows: dict[PortIntervals[L], Label] = {}
    _emit_intervals(code, first, tree, rows, protocol=protocol, note=note)
    leaves: dict[L, Label] = {}
    for row, label in rows.items():
        code.mark(label)
        _emit_intervals(code, first.other, row, leaves, protocol=protocol, note=note)
    for leaf, label in leaves.items():
        code.mark(label)
        write(leaf)


def _emit_intervals(
    code: Assembler,
    side: PortSide,
    intervals: PortIntervals[V],
    labels: dict[V, Label],
    **selectors: Any,
) -> None:
    """Rules that lead a packet to the label of its interval of ports; missing labels are made."""
    others = labels.setdefault(intervals.others, Label("other ports"))
    waiting: list[tuple[Label, Sequence[tuple[Ports, V]]]] = [(Label("all ports"), intervals.named)]
    while waiting:
        label, node = waiting.pop(0)
        code.mark(label)
        if len(node) <= FEW:
            for ports, value in node:
                target = labels.setdefault(value, Label(f"port {ports}"))
                code.goto(target, **{**selectors, side.value: ports})
        else:
            size = -(-len(node) // FEW)
            for start in range(0, len(node), size):
                child = node[start : start + size]
                span = Ports(child[0][0].first, child[-1][0].last)
                waiting.append((Label(f"ports {span}"), child))
                code.goto(waiting[-1][0], **{**selectors, side.value: span})
        code.goto(others, note=selectors["note"])


def emit_prefixes(
    code: Assembler, rules: Iterable[PrefixRule], side: str, branch: Branch, **selectors: Any
) -> None:
    """A rule for each prefix of a set; `side` is `source` or `destination`."""
    for rule in rules:
        matched = {**selectors, side: rule.prefix}
        if rule.include:
            branch.then(note=branch.note, **matched)
        else:
            code.goto(branch.otherwise, note=branch.other_note, **matched)


def emit_pairs(
    code: Assembler,
    sources: Sequence[PrefixRule],
    destinations: Sequence[PrefixRule],
    then: Callable[..., None],
    notes: tuple[Note, Note],
    **selectors: Any,
) -> None:
    """Rules that do `then` for packets from the one set to the other; other packets go on to what
    is written next.
    """
    after = Label("the next alternative")
    if len(sources) == 1:
        matched = {**selectors, "source": sources[0].prefix}
        emit_prefixes(code, destinations, "destination", Branch(then, after, *notes), **matched)
    elif len(destinations) == 1:
        matched = {**selectors, "destination": destinations[0].prefix}
        emit_prefixes(code, sources, "source", Branch(then, after, *notes), **matched)
    else:
        source_matches = Label("a source of the set")

        def check_destination(**matched: Any) -> None:
            code.goto(source_matches, **matched)

        branch = Branch(check_destination, after, *notes)
        emit_prefixes(code, sources, "source", branch, **selectors)
        code.goto(after, note="another source")
        code.mark(source_matches)
        emit_prefixes(code, destinations, "destination", Branch(then, after, *notes), **selectors)
    code.mark(after)


def lookup_action(code: Assembler, table: int) -> Callable[..., None]:
    """What a `Branch` does for a packet of the set: look up a table."""

    def write(**selectors: Any) -> None:
        code.add(Action.LOOKUP, table, **selectors)

    return write
