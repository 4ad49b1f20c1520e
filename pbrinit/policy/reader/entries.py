"""Entries that allow and entries that deny, as the file has them.

In: the document, and the names that are defined in it.  Out: `Entry`, `Between` and `Deny` values;
what is wrong with one is an error, and what is odd a remark.
"""

from __future__ import annotations

from collections.abc import Sequence

from pbrinit.net.addresses import Family
from pbrinit.net.services import CLIENTS, EPHEMERAL, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, Between, Deny, Direction, Entry, Peers
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Run
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.keys import NO_USER
from pbrinit.policy.reader.names import Vocabulary
from pbrinit.policy.reader.services import ports


def read_denies(words: Vocabulary, document: Node, remarks: Problems) -> tuple[Deny, ...]:
    """What is taken away from all that is allowed."""
    passing = "forward" in document
    found = tuple(_deny(words, node, remarks, passing=passing) for node in document.nodes("deny"))
    for deny in (deny for deny in found if deny.log):
        key = f"{deny.key}.log"
        if document.flag("log"):
            remarks.add(key, "does nothing: all who are refused are logged, as the policy says")
            continue
        for other in (other for other in found if other.reject and passing and other is not deny):
            if _asks_alike(deny, other):
                document.problems.add(
                    key,
                    f"{other.key} has some of these told what would be logged",
                    "the kernel speaks of a packet once: leave log here or reject there out",
                )
    return found


def _asks_alike(one: Deny, other: Deny) -> bool:
    """Whether somebody is among those who ask in both."""
    ends = (one.sources or ANYBODY, other.sources or ANYBODY)
    return any(ends[0].of(family).meets(ends[1].of(family)) for family in Family)


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
    log = node.flag("log")
    if log:
        _logged(node, passing=passing)
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
        log=log,
    )


def _logged(node: Node, *, passing: bool) -> None:
    """Note what is refused so that the log does not hear of it."""
    told = "of what is sent from here the program is told at once, and not the log"
    if "user" in node:
        node.problems.add(node.path("log"), told, "leave log or user out")
    if node.flag("reject"):
        node.problems.add(
            node.path("log"),
            "the kernel speaks of a packet once: to who sent it, or to the log",
            "leave log or reject out",
        )
    if "to" in node and not passing:
        about = "nothing passes through" if "from" in node else told
        node.problems.add(node.path("log"), about, "leave log or to out")


End = tuple[Peers, tuple[Interface, ...]]
"""Those at one end of what is forwarded, and the interfaces that they live behind."""


def read_entries(words: Vocabulary, document: Node) -> tuple[Entry, ...]:
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


def read_betweens(words: Vocabulary, document: Node) -> tuple[Between, ...]:
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
