"""Entries that cannot both hold: two receivers of one packet, or answers that are also requests.

In: the entries of a policy, and who lives where.  Out: findings where the answers that one
entry lets through have the form of questions that another is to decide on.

Nothing here keeps state: an answer is whatever comes from a service's port to a client's
port. Where somebody listens on such a port, whoever may answer may also ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports, Service
from pbrinit.policy.policy import Direction, Entry
from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.reachability import Reach

WAY_OUT = "narrow clients so that this port is not in it, or move the service"


def check_answers(problems: Problems, entries: Sequence[Entry], reach: Reach) -> None:
    """Note forward entries whose answers would reach a service, of their own or of another.

    This machine's own services are kept apart from its clients' ports by themselves, and
    answers to others never get here.
    """
    forwards = [entry for entry in entries if entry.direction is Direction.FORWARD]
    sound = []
    for entry in forwards:
        among = [service for service, ports in _with_ports(entry) if _is_among(ports, entry)]
        for service in among:
            problems.add(
                f"{entry.key}.service",
                f"{service} is among the ports of clients ({entry.clients})",
                f"answers to clients would reach the service: {WAY_OUT}",
            )
        if not among:
            sound.append(entry)
    for asking in sound:
        for offering in forwards:
            reached = _reached(asking, offering)
            if reached and _meet(asking, offering, reach):
                problems.add(
                    f"{asking.key}.clients",
                    f"answers to ports {asking.clients} reach {reached[0]} of {offering.key},"
                    " which is to say who may ask there",
                    WAY_OUT,
                )


def _is_among(ports: Ports, entry: Entry) -> bool:
    """Whether they are clients' ports too; where both ends have the very same, that is meant."""
    return ports.overlaps(entry.clients) and ports != entry.clients


def _with_ports(entry: Entry) -> Iterator[tuple[Service, Ports]]:
    for service in entry.services:
        if service.ports is not None:
            yield service, service.ports


def _reached(asking: Entry, offering: Entry) -> list[Service]:
    """The services of `offering` that are on ports of `asking`'s clients."""
    return [
        offered
        for offered, ports in _with_ports(offering)
        for asked, _ in _with_ports(asking)
        if asked.protocol == offered.protocol and ports.overlaps(asking.clients)
    ]


def _meet(asking: Entry, offering: Entry, reach: Reach) -> bool:
    """Whether some who ask by the one entry are asked by the other, and those who answer
    the one may not ask by the other anyway.
    """
    return any(
        _sources(asking, reach, family) & _destinations(offering, reach, family)
        and not _may_anyway(asking, offering, reach, family)
        for family in Family
    )


def _may_anyway(asking: Entry, offering: Entry, reach: Reach, family: Family) -> bool:
    from_ports = all(ports in offering.clients for _, ports in _with_ports(asking))
    return from_ports and _destinations(asking, reach, family) <= _sources(offering, reach, family)


def _sources(entry: Entry, reach: Reach, family: Family) -> AddressSet:
    return entry.sources.of(family) & reach.behind(entry.interfaces, family)


def _destinations(entry: Entry, reach: Reach, family: Family) -> AddressSet:
    return entry.destinations.of(family) & reach.behind(entry.ways_out, family)


def check_takers(problems: Problems, entries: Sequence[Entry]) -> None:
    """Note services that by one interface would reach a room and somebody else."""
    asked = [entry for entry in entries if entry.direction is Direction.INPUT]
    for first, second in combinations(asked, 2):
        if first.room is second.room or not {*first.interfaces} & {*second.interfaces}:
            continue
        shared = _shared(first, second)
        if shared is not None:
            problems.add(
                f"{second.key}.service",
                f"{shared} goes to {_name(second)} here, and to {_name(first)} by {first.key}",
                "a packet has one taker: let one of them have another port, or name the same run",
            )


def _shared(first: Entry, second: Entry) -> Service | None:
    """A service of the second that is in part one of the first."""
    pairs = ((one, other) for other in second.services for one in first.services)
    for one, other in pairs:
        both = one.ports and other.ports and one.ports.overlaps(other.ports)
        if both and one.protocol == other.protocol:
            return other
    return None


def _name(entry: Entry) -> str:
    return f"the room {entry.room.name}" if entry.room else "the machine itself"
