"""Expectations, as the file has them.

In: the document, and the names that are defined in it.  Out: `Expectation` values; what is wrong
with one is noted.
"""

from __future__ import annotations

from collections.abc import Sequence

from pbrinit.policy.policy import ANYBODY, Direction, Expectation
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.entries import _check_ends, _ways
from pbrinit.policy.reader.keys import NO_USER
from pbrinit.policy.reader.names import Vocabulary


def read_expectations(words: Vocabulary, document: Node) -> tuple[Expectation, ...]:
    """What must hold of all packets."""
    return tuple(
        _expectation(words, node.node(kind), always=kind == "always")
        for node in document.nodes("expect")
        for kind in ("never", "always")
        if kind in node
    )


def _expectation(words: Vocabulary, node: Node, *, always: bool) -> Expectation:
    directions = _directions(node)
    forward = Direction.FORWARD in directions
    _fits(node, directions)
    if always and "service" not in node:
        node.problems.add(
            node.key, "no policy lets every packet of every protocol through", "name a service"
        )
    interfaces, ways_out = _ways(words, node) if forward else (words.interfaces_of(node, "on"), ())
    sources, destinations = words.peers_of(node, "from"), words.peers_of(node, "to")
    room, user = words.room_of(node)
    if always and forward:
        ends = (sources or ANYBODY, interfaces), (destinations or ANYBODY, ways_out)
        _check_ends(words, node, *ends)
    elif always:
        words.check_reach(node, "from", sources, interfaces)
        words.check_reach(node, "to", destinations, interfaces)
    return Expectation(
        key=node.key,
        always=always,
        directions=tuple(directions),
        interfaces=interfaces,
        ways_out=ways_out,
        sources=sources or ANYBODY,
        destinations=destinations or ANYBODY,
        services=words.services_of(node),
        user=user,
        room=room,
    )


def _directions(node: Node) -> Sequence[Direction]:
    """Which directions an expectation is about, by the keys it has."""
    if "in" in node or "out" in node or ("from" in node and "to" in node):
        return [Direction.FORWARD]
    if "from" in node:
        return [Direction.INPUT]
    if "to" in node or "user" in node or "run" in node:
        return [Direction.OUTPUT]
    return [Direction.INPUT, Direction.OUTPUT]


def _fits(node: Node, directions: Sequence[Direction]) -> None:
    """Note keys that have no meaning beside the others."""
    if Direction.FORWARD in directions:
        if "on" in node:
            node.problems.add(
                node.path("on"),
                "is about this machine, the other keys about what passes through it",
                "write in and out",
            )
        for key in ("user", "run"):
            if key in node:
                node.problems.add(node.path(key), NO_USER, f"leave the {key} out")
    elif Direction.INPUT in directions and "user" in node:
        node.problems.add(
            node.path("user"), "what others send has no user", "leave out user or from"
        )
