"""Entries, deny entries and expectations, as the file has them.

In: the document, and the vocabulary that its names are taken from.  Out: `Entry`, `Deny` and
`Expectation` values; what is wrong with one is noted, and what is odd remarked.
"""

from __future__ import annotations

from collections.abc import Sequence

from pbrinit.atoms import ports
from pbrinit.document import Node
from pbrinit.keys import NO_USER
from pbrinit.policy import (
    ANYBODY,
    CLIENTS,
    EPHEMERAL,
    Deny,
    Direction,
    Entry,
    Expectation,
    Interface,
    Peers,
    Protocol,
)
from pbrinit.problems import Problems
from pbrinit.vocabulary import Vocabulary

End = tuple[Peers, tuple[Interface, ...]]
"""Those at one end of what is forwarded, and the interfaces that they live behind."""


def entries(words: Vocabulary, document: Node) -> tuple[Entry, ...]:
    """What is allowed, entry by entry."""
    incoming = [_incoming(words, node) for node in document.nodes("input")]
    outgoing = [_outgoing(words, node) for node in document.nodes("output")]
    passing = [_passing(words, node) for node in document.nodes("forward")]
    return (*incoming, *outgoing, *passing)


def _incoming(words: Vocabulary, node: Node) -> Entry:
    interfaces = words.interfaces_of(node, "on")
    sources = words.peers_of(node, "from") or ANYBODY
    words.check_reach(node, "from", sources, interfaces)
    services, user = words.services_of(node), words.user_of(node)
    for service in services:
        if service.ports is not None and service.ports.overlaps(EPHEMERAL):
            node.problems.add(
                node.path("service"),
                f"port {service.ports} is among the ports of clients ({EPHEMERAL})",
                "answers to clients reach them: let the service listen elsewhere",
            )
    if user and services and all(service.protocol == Protocol.ICMP for service in services):
        node.problems.add(
            node.path("user"), "the kernel answers ICMP, not a user", "leave the user out"
        )
    return Entry(
        key=node.key,
        direction=Direction.INPUT,
        interfaces=interfaces,
        ways_out=(),
        sources=sources,
        destinations=ANYBODY,
        services=services,
        clients=EPHEMERAL,
        user=user,
    )


def _outgoing(words: Vocabulary, node: Node) -> Entry:
    interfaces = words.interfaces_of(node, "on")
    destinations = words.peers_of(node, "to") or ANYBODY
    words.check_reach(node, "to", destinations, interfaces)
    return Entry(
        key=node.key,
        direction=Direction.OUTPUT,
        interfaces=interfaces,
        ways_out=(),
        sources=ANYBODY,
        destinations=destinations,
        services=words.services_of(node),
        clients=EPHEMERAL,
        user=words.user_of(node),
    )


def _passing(words: Vocabulary, node: Node) -> Entry:
    ways_in, ways_out = _ways(words, node)
    sources = words.peers_of(node, "from") or ANYBODY
    destinations = words.peers_of(node, "to") or ANYBODY
    _check_ends(words, node, (sources, ways_in), (destinations, ways_out))
    services = words.services_of(node)
    if "clients" in node and services and not any(service.ports for service in services):
        node.problems.add(node.path("clients"), "these services have no ports", "leave clients out")
    return Entry(
        key=node.key,
        direction=Direction.FORWARD,
        interfaces=ways_in,
        ways_out=ways_out,
        sources=sources,
        destinations=destinations,
        services=services,
        clients=node.atom("clients", ports) or CLIENTS,
        user=None,
    )


def _ways(words: Vocabulary, node: Node) -> tuple[tuple[Interface, ...], tuple[Interface, ...]]:
    """The interfaces that packets come by, and those they leave by: never the same one, so
    that an interface which could only lead back to itself is none of them.
    """
    ways_in, ways_out = words.interfaces_of(node, "in"), words.interfaces_of(node, "out")
    if len({*ways_in, *ways_out}) == 1 and ways_in and ways_out:
        node.problems.add(
            node.key,
            f"{ways_in[0].name} is the only interface in it",
            "what is forwarded comes by one interface and leaves by another",
        )
        return ways_in, ways_out
    return _other_than(ways_in, ways_out), _other_than(ways_out, ways_in)


def _other_than(
    these: tuple[Interface, ...], others: tuple[Interface, ...]
) -> tuple[Interface, ...]:
    return tuple(one for one in these if others != (one,))


def _check_ends(words: Vocabulary, node: Node, source: End, destination: End) -> None:
    """Note ends of what is forwarded that cannot be reached, or not from each other."""
    words.check_reach(node, "from", *source)
    words.check_reach(node, "to", *destination)
    asking, asked = words.reach.families(*source), words.reach.families(*destination)
    if asking and asked and not asking & asked:
        node.problems.add(
            node.key,
            "those who ask and those who are asked share no family",
            "the ones have IPv4 addresses only, the others IPv6",
        )


def denies(words: Vocabulary, document: Node, remarks: Problems) -> tuple[Deny, ...]:
    """What is taken away from all that is allowed."""
    passing = "forward" in document
    return tuple(_deny(words, node, remarks, passing=passing) for node in document.nodes("deny"))


def _deny(words: Vocabulary, node: Node, remarks: Problems, *, passing: bool) -> Deny:
    reject = node.flag("reject")
    if "user" in node and "from" in node:
        node.problems.add(
            node.path("user"),
            "what others send has no user",
            "leave out user or from; with from and to it is about forwarded packets",
        )
    if "user" in node and reject:
        node.problems.add(node.path("reject"), f"it is about forwarding, and {NO_USER}")
    if reject and not passing:
        remarks.add(node.path("reject"), "does nothing where nothing is forwarded")
    sources, destinations = words.peers_of(node, "from"), words.peers_of(node, "to")
    for key, peers in (("from", sources), ("to", destinations)):
        if peers and any(peers.both) and not words.reach.families(peers, words.reach.interfaces):
            remarks.add(node.path(key), f"nobody of {peers.text} can be reached or heard anyway")
    return Deny(
        key=node.key,
        interfaces=words.interfaces_of(node, "on"),
        sources=sources,
        destinations=destinations,
        services=words.services_of(node),
        user=words.user_of(node),
        reject=reject,
    )


def expectations(words: Vocabulary, document: Node) -> tuple[Expectation, ...]:
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
        user=words.user_of(node),
    )


def _directions(node: Node) -> Sequence[Direction]:
    """Which directions an expectation is about, by the keys it has."""
    if "in" in node or "out" in node or ("from" in node and "to" in node):
        return [Direction.FORWARD]
    if "from" in node:
        return [Direction.INPUT]
    if "to" in node or "user" in node:
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
        if "user" in node:
            node.problems.add(node.path("user"), NO_USER, "leave the user out")
    elif Direction.INPUT in directions and "user" in node:
        node.problems.add(
            node.path("user"), "what others send has no user", "leave out user or from"
        )
