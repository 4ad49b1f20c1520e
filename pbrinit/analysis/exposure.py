"""Answers that have the form of a question to somebody who did not offer it: remarks on them.

In: a `Policy` and its meaning.  Out: a remark for each entry of which this is true.  Nothing keeps
state, so whoever may answer may send the same packets unasked. Answers from a service's port to an
ephemeral port are no questions that programs ask: `explain --holes` lists them. Here are those that
reach ports where services listen, and those that come from the ports of clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pbrinit.analysis.cells import Cell, Grid, minus
from pbrinit.analysis.internet import is_the_internet
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ANY_PORT
from pbrinit.net.services import Ports, Service
from pbrinit.policy.policy import Allow, Direction, Policy
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Zone
from pbrinit.semantics.exchange import PacketPattern
from pbrinit.semantics.header_space import HeaderSpace
from pbrinit.semantics.paths import PolicySemantics

FIRST_UNPRIVILEGED = 1024
SERVED = Ports(1, 32767)
"""Where services listen."""

CLIENTS = Ports(32768, 65534)
"""Where clients ask from."""


def remark_on_exposures(policy: Policy, semantics: PolicySemantics, remarks: Problems) -> None:
    """Take note of each entry whose answers have the form of questions that no entry allows."""
    for entry in policy.allows:
        services = [service for service in entry.services if _is_open(entry, service)]
        if not services or not _exposes(entry, semantics):
            continue
        asked = _asked(entry, services)
        key, hint = "service", "name the services that are meant"
        if entry.client_ports.first < CLIENTS.first:
            key, hint = "clients", "leave clients out"
        if any(map(is_the_internet, entry.destinations.both)):
            hint += ", or name in to the few hosts that are meant"
        remarks.report(
            f"{entry.key}.{key}",
            f"whoever may answer, {_who(entry)}, may also ask {asked} of {_whom(entry)} unasked,"
            " and no entry offers that",
            hint,
        )


def _is_open(entry: Allow, service: Service) -> bool:
    """Whether answers of this service look like questions. Where both ends have one and the same
    port, and the other end is named, it is on purpose (WireGuard, IKE, NTP).
    """
    ports, clients = service.ports, entry.client_ports
    if ports is None or entry.direction is Direction.INPUT:
        return False
    one = ports.first == ports.last
    if one and ports == clients:
        return all(is_the_internet(peers) for peers in entry.destinations.both if peers)
    return clients.overlaps(SERVED) or (ports.overlaps(CLIENTS) and not one)


def _exposes(entry: Allow, semantics: PolicySemantics) -> bool:
    """Whether somebody can be asked who did not offer it. The Internet at large offers itself."""
    return any(
        not (entry.direction is Direction.FORWARD and is_the_internet(hosts))
        for ingress, egress in _paths(entry)
        for family in Family
        for hosts in _questions(entry, semantics, family, (ingress, egress))
    )


def _questions(
    entry: Allow,
    semantics: PolicySemantics,
    family: Family,
    path: tuple[Zone | None, Zone | None],
) -> Iterator[AddressSet]:
    """Who gets answers of the entry on a path that look like questions and are not allowed ones."""
    path_policy = semantics.path_policy(family, *path)
    (asks, not_asked), (_, not_answered) = path_policy.by_direction
    answers = [
        space
        for space in path_policy.allowed
        if space.key == entry.key and space.answer and space.pattern.source_ports != ANY_PORT
    ]
    if not answers:
        return
    everybody = AddressSet.everything(family)
    looks = [
        HeaderSpace(pattern, everybody, everybody, "")
        for pattern in (
            PacketPattern(None, destination_ports=(SERVED,)),
            PacketPattern(None, source_ports=(CLIENTS,)),
        )
    ]
    offered = [_from_any_port(space) for space in asks]
    grid = Grid(family, [*answers, *not_answered, *offered, *not_asked, *looks])
    allowed = minus(map(grid.cell, offered), map(grid.cell, not_asked))
    for cell in minus(map(grid.cell, answers), [*map(grid.cell, not_answered), *allowed]):
        shaped = [_common(cell, grid.cell(look)) for look in looks]
        if any(not each.empty for each in shaped):
            yield grid.addresses(cell.destinations)


def _from_any_port(space: HeaderSpace) -> HeaderSpace:
    """Who may ask from a port that every program can have may ask from any."""
    if any(ports.last >= FIRST_UNPRIVILEGED for ports in space.pattern.source_ports):
        return replace(space, pattern=replace(space.pattern, source_ports=ANY_PORT))
    return space


def _common(one: Cell, other: Cell) -> Cell:
    return Cell(
        one.protocol & other.protocol,
        one.sources & other.sources,
        one.destinations & other.destinations,
        one.destination_ports & other.destination_ports,
        one.source_ports & other.source_ports,
        one.uid & other.uid,
    )


def _paths(entry: Allow) -> Iterator[tuple[Zone | None, Zone | None]]:
    """The ways of answers."""
    if entry.direction is Direction.OUTPUT:
        yield from ((interface, entry.room) for interface in entry.interfaces)
        return
    for ingress in entry.egress_interfaces:
        yield from ((ingress, egress) for egress in entry.interfaces if egress is not ingress)


def _asked(entry: Allow, services: list[Service]) -> str:
    words = dict.fromkeys(str(replace(service, ports=entry.client_ports)) for service in services)
    return ", ".join(words)


def _who(entry: Allow) -> str:
    forwards = entry.direction is Direction.FORWARD
    interfaces = entry.egress_interfaces if forwards else entry.interfaces
    return f"{entry.destinations.text} by {', '.join(i.name for i in interfaces)}"


def _whom(entry: Allow) -> str:
    if entry.direction is Direction.FORWARD:
        names = ", ".join(interface.name for interface in entry.interfaces)
        hosts = "the hosts" if entry.sources.text == "anywhere" else entry.sources.text
        return f"{hosts} behind {names}"
    return entry.room.label if entry.room else "this machine"
