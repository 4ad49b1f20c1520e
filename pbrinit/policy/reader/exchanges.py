"""Entries and expectations, as the file has them.

In: the document, and the vocabulary that its names are taken from.  Out: `Entry`, `Between` and
`Expectation` values; what is wrong with one is noted.
"""

from __future__ import annotations

from collections.abc import Sequence

from pbrinit.net.services import CLIENTS, EPHEMERAL, Protocol, Service
from pbrinit.policy.interfaces import Interface, Run
from pbrinit.policy.policy import ANYBODY, Between, Direction, Entry, Expectation, Peers
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.keys import NO_USER
from pbrinit.policy.reader.names import Vocabulary
from pbrinit.policy.reader.services import ports

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
    services, (room, user) = words.services_of(node), words.room_of(node)
    _listens(node, services)
    _has_ports(node, services, room)
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
        clients=words.clients,
        user=user,
        room=room,
    )


def _listens(node: Node, services: Sequence[Service]) -> None:
    """Note services that stand where clients take their ports."""
    for service in services:
        if service.ports is not None and service.ports.overlaps(EPHEMERAL):
            node.problems.add(
                node.path("service"),
                f"port {service.ports} is among the ports of clients ({EPHEMERAL})",
                "answers to clients reach them: let the service listen elsewhere",
            )


def _has_ports(node: Node, services: Sequence[Service], room: Run | None) -> None:
    """Note what has no ports, which alone tell one room's packets from another's."""
    for service in services if room is not None else ():
        if service.ports is None:
            node.problems.add(
                node.path("service"),
                f"{service} has no ports, and only these tell whose packets they are",
                "leave run out: the machine itself speaks it",
            )


def _outgoing(words: Vocabulary, node: Node) -> Entry:
    interfaces = words.interfaces_of(node, "on")
    destinations = words.peers_of(node, "to") or ANYBODY
    words.check_reach(node, "to", destinations, interfaces)
    services, (room, user) = words.services_of(node), words.room_of(node)
    _has_ports(node, services, room)
    return Entry(
        key=node.key,
        direction=Direction.OUTPUT,
        interfaces=interfaces,
        ways_out=(),
        sources=ANYBODY,
        destinations=destinations,
        services=services,
        clients=room.clients if room else words.clients,
        user=user,
        room=room,
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


def betweens(words: Vocabulary, document: Node) -> tuple[Between, ...]:
    """What programs may ask of each other."""
    found = (_between(words, node) for node in document.nodes("between"))
    return tuple(between for between in found if between is not None)


def _between(words: Vocabulary, node: Node) -> Between | None:
    asking, asked = words.run_of(node, "from"), words.run_of(node, "to")
    services = words.services_of(node)
    _listens(node, services)
    for key, run in (("from", asking), ("to", asked)):
        if run is not None and not run.isolated:
            node.problems.add(
                node.path(key), f"{run.name} has no room", "between is about two rooms"
            )
    if asking is None or asked is None:
        return None
    if asking is asked:
        node.problems.add(node.path("to"), "is the same program", "it has a loopback of its own")
    _has_ports(node, services, asked)
    return Between(node.key, asking, asked, services)


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
