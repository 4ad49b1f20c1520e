"""Entries that contradict each other: answers that look like requests, two receivers of a packet.

In: the allow entries of a policy, and the addresses behind its interfaces.  Out: a problem where
the answers that one entry allows have the form of requests that another entry decides about, and
where two entries send the same packets to different receivers.

Nothing here keeps state: an answer is any packet from a service's port to a client's port. If a
program listens on such a port, hosts that may send answers can also send requests to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports, Service
from pbrinit.policy.policy import Allow, Direction
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Program
from pbrinit.policy.reader.reachability import Reachability

FIRST_UNPRIVILEGED = 1024
"""From here on every program can have a port (ip_unprivileged_port_start, ip-sysctl.rst)."""

HINT = "narrow clients so that this port is not in it, or move the service"


def check_answers(problems: Problems, allows: Sequence[Allow], reachability: Reachability) -> None:
    """Report entries whose answers would reach a service: a forward entry's those of its own or of
    another, an output entry's those of an input entry.

    `check_not_ephemeral` keeps this machine's own services out of its ephemeral ports, so only
    `clients` brings an output entry into conflict.
    """
    forwards = [allow for allow in allows if allow.direction is Direction.FORWARD]
    separate = []
    for allow in forwards:
        overlapping = [
            service for service, ports in _with_ports(allow) if _is_client_port(ports, allow)
        ]
        for service in overlapping:
            problems.report(
                f"{allow.key}.service",
                f"{service} is among the ports of its clients ({allow.client_ports})",
                f"answers to clients would reach the service: {HINT}",
            )
        if not overlapping:
            separate.append(allow)
    inputs = [allow for allow in allows if allow.direction is Direction.INPUT]
    outputs = [
        allow
        for allow in allows
        if allow.direction is Direction.OUTPUT and allow.client_ports not in LOCAL_EPHEMERAL_PORTS
    ]
    for clients, servers in ((separate, forwards), (outputs, inputs)):
        _check_pairs(problems, clients, servers, reachability)


def _check_pairs(
    problems: Problems,
    clients: Sequence[Allow],
    servers: Sequence[Allow],
    reachability: Reachability,
) -> None:
    """Report answers to one of `clients` that reach a service of one of `servers`."""
    near: dict[Ports, list[Allow]] = {}
    for client in clients:
        ports = client.client_ports
        if ports not in near:
            near[ports] = [
                s for s in servers if any(found.overlaps(ports) for _, found in _with_ports(s))
            ]
        for server in near[ports]:
            services = _services_on_client_ports(client, server)
            same_room = client.room is server.room
            if services and same_room and _answers_arrive(client, server, reachability):
                problems.report(
                    f"{client.key}.clients",
                    f"answers to ports {ports} reach {services[0]} of {server.key},"
                    " which decides who may send requests there",
                    HINT,
                )


def _is_client_port(ports: Ports, allow: Allow) -> bool:
    """Whether some port of the service is a client port too. Where both ends use one and the same
    port, this is on purpose. Of a range every port would be open to every other one.
    """
    one = ports.first == ports.last and ports == allow.client_ports
    return ports.overlaps(allow.client_ports) and not one


def _with_ports(allow: Allow) -> Iterator[tuple[Service, Ports]]:
    for service in allow.services:
        if service.ports is not None:
            yield service, service.ports


def _services_on_client_ports(client: Allow, server: Allow) -> list[Service]:
    """The services of the entry `server` that are on client ports of the entry `client`."""
    return [
        offered
        for offered, ports in _with_ports(server)
        for requested, _ in _with_ports(client)
        if requested.protocol == offered.protocol and ports.overlaps(client.client_ports)
    ]


def _answers_arrive(client: Allow, server: Allow, reachability: Reachability) -> bool:
    """Whether some hosts send requests by the one entry and get requests by the other, and the
    hosts that answer them may not send such requests anyway.
    """
    return any(
        _share_hosts(client, server, reachability, family)
        and not _allowed_anyway(client, server, reachability, family)
        for family in Family
    )


def _share_hosts(client: Allow, server: Allow, reachability: Reachability, family: Family) -> bool:
    """Whether a host sends requests by the one entry and gets some by the other. This machine does,
    where answers and requests arrive by one interface.
    """
    if server.direction is Direction.INPUT:
        shared = [i for i in client.interfaces if i in server.interfaces]
        behind = reachability.hosts_behind(shared, family)
        return bool(client.destinations.in_family(family) & behind)
    asking = _sources(client, reachability, family)
    return bool(asking & _destinations(server, reachability, family))


def _allowed_anyway(
    client: Allow, server: Allow, reachability: Reachability, family: Family
) -> bool:
    """Whether those who answer may request the services anyway: from the ports of their answers, or
    from ports that every program of theirs can have.
    """
    ports_match = all(ports in server.client_ports for _, ports in _with_ports(client))
    anybody_there = server.client_ports.last >= FIRST_UNPRIVILEGED
    answering = _destinations(client, reachability, family)
    asking = _sources(server, reachability, family)
    return (ports_match or anybody_there) and answering <= asking


def _sources(allow: Allow, reachability: Reachability, family: Family) -> AddressSet:
    return allow.sources.in_family(family) & reachability.hosts_behind(allow.interfaces, family)


def _destinations(allow: Allow, reachability: Reachability, family: Family) -> AddressSet:
    forwards = allow.direction is Direction.FORWARD
    ends = allow.egress_interfaces if forwards else allow.interfaces
    behind = reachability.hosts_behind(ends, family)
    return allow.destinations.in_family(family) & behind


def check_receivers(problems: Problems, allows: Sequence[Allow]) -> None:
    """Report services that would reach two receivers by one interface: two rooms, or a room and
    the machine itself.
    """
    inputs = [allow for allow in allows if allow.direction is Direction.INPUT]
    for first, second in combinations(inputs, 2):
        if first.room is second.room or not {*first.interfaces} & {*second.interfaces}:
            continue
        service = _shared_service(first, second)
        if service is not None:
            problems.report(
                f"{second.key}.service",
                f"{service} goes to {_receiver(second)} here, and to {_receiver(first)} by"
                f" {first.key}",
                "a packet has one receiver: use another port for one of them, or name the same run",
            )


def check_client_ports(
    problems: Problems, allows: Sequence[Allow], rooms: Sequence[Program]
) -> None:
    """Report `clients` of this machine that are a room's ports: answers had two receivers."""
    outputs = [a for a in allows if a.direction is Direction.OUTPUT and a.room is None]
    served = [a for a in allows if a.direction is Direction.INPUT and a.room is not None]
    for allow in outputs:
        names = [room.name for room in rooms if room.client_ports.overlaps(allow.client_ports)]
        names += [
            server.room.name
            for server in served
            if server.room and _services_on_client_ports(allow, server)
            and {*allow.interfaces} & {*server.interfaces}
        ]  # fmt: skip
        for name in dict.fromkeys(names):
            problems.report(
                f"{allow.key}.clients",
                f"ports {allow.client_ports} belong to the room {name} as well",
                "a packet has one receiver: use other ports",
            )


def _shared_service(first: Allow, second: Allow) -> Service | None:
    """A service of the second entry that shares ports with one of the first."""
    pairs = ((mine, theirs) for theirs in second.services for mine in first.services)
    for mine, theirs in pairs:
        overlap = mine.ports and theirs.ports and mine.ports.overlaps(theirs.ports)
        if overlap and mine.protocol == theirs.protocol:
            return theirs
    return None


def _receiver(allow: Allow) -> str:
    return f"the room {allow.room.name}" if allow.room else "the machine itself"
