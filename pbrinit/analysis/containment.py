"""Entries that allow nothing that another one does not allow as well.

In: the allow entries of a policy.  Out: for each of which this is true, another one that holds it.
Not every entry is compared with every other one: an index by direction, room, service and prefix
leaves those that may hold it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Service
from pbrinit.policy.policy import AddressGroup, Allow

FEW = 64
"""A group of more ranges is not found by its prefixes, but always looked at."""


class Containment:
    """The allow entries of one policy, ready to be asked which holds one of them."""

    def __init__(self, entries: Sequence[Allow]) -> None:
        self._entries = entries
        self._lengths: dict[Family, set[int]] = {family: set() for family in Family}
        self._index: dict[Hashable, list[int]] = {}
        for number, entry in enumerate(entries):
            for key in self._keys(entry):
                self._index.setdefault(key, []).append(number)

    def holder(self, number: int) -> Allow | None:
        """The first entry that holds this one. Of two that hold each other, the first is kept."""
        entry = self._entries[number]
        found = {other for key in self._probes(entry) for other in self._index.get(key, ())}
        for other_number in sorted(found - {number}):
            other = self._entries[other_number]
            if _within(entry, other) and (other_number < number or not _within(other, entry)):
                return other
        return None

    def _keys(self, entry: Allow) -> Iterator[Hashable]:
        """Under which keys it is kept: for each service, by the prefixes of one end."""
        by_source = not all(found.is_everything for found in entry.sources.both)
        group = entry.sources if by_source else entry.destinations
        for service in entry.services:
            kept = _kept(entry, service, by_source=by_source)
            for family in Family:
                addresses = group.in_family(family)
                if len(addresses.ranges) > FEW:
                    yield (*kept, family, None)
                    continue
                for prefix in addresses.prefixes:
                    length = prefix.prefixlen
                    self._lengths[family].add(length)
                    first = int(prefix.network_address)
                    yield (*kept, family, (length, first >> (family.bits - length)))

    def _probes(self, entry: Allow) -> Iterator[Hashable]:
        """The keys of all that may hold it: those whose prefixes hold one of its addresses, and
        that have a service which is one of its services or a range.
        """
        for service in entry.services[:1]:
            for by_source in (True, False):
                first = _first(entry.sources if by_source else entry.destinations)
                if first is None:
                    continue
                family, address = first
                for kept in {
                    _kept(entry, service, by_source=by_source),
                    (entry.direction, _room(entry), by_source, service.protocol, None),
                }:
                    yield (*kept, family, None)
                    for length in self._lengths[family]:
                        yield (*kept, family, (length, address >> (family.bits - length)))


def _kept(entry: Allow, service: Service, *, by_source: bool) -> tuple[Hashable, ...]:
    """What an entry is kept by besides its addresses. Ranges of ports are kept together."""
    ports = service.ports
    one = ports.first if ports is not None and ports.first == ports.last else None
    return entry.direction, _room(entry), by_source, service.protocol, one


def _room(entry: Allow) -> str | None:
    return entry.room.name if entry.room else None


def _first(group: AddressGroup) -> tuple[Family, int] | None:
    """An address of the group."""
    for family in Family:
        ranges = group.in_family(family).ranges
        if ranges:
            return family, ranges[0][0]
    return None


def _within(entry: Allow, other: Allow) -> bool:
    """Whether all that an entry allows, answers included, another one does: each of what it names
    is among what the other names, and it is about the same room, or both about none.
    """
    return (
        entry.direction is other.direction
        and entry.room == other.room
        and other.user in (None, entry.user)
        and entry.client_ports in other.client_ports
        and all(any(_serves(wide, one) for wide in other.services) for one in entry.services)
        and set(entry.interfaces) <= set(other.interfaces)
        and set(entry.egress_interfaces) <= set(other.egress_interfaces)
        and all(
            _holds(theirs.in_family(family), mine.in_family(family))
            for mine, theirs in (
                (entry.sources, other.sources),
                (entry.destinations, other.destinations),
            )
            for family in Family
        )
    )


def _holds(wide: AddressSet, narrow: AddressSet) -> bool:
    return wide.is_everything or narrow <= wide


def _serves(wide: Service, narrow: Service) -> bool:
    """Whether the one service is all of the other."""
    if wide.protocol != narrow.protocol or (wide.echo and not narrow.echo):
        return False
    return wide.ports is None or (narrow.ports is not None and narrow.ports in wide.ports)
