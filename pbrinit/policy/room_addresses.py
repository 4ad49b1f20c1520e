"""The inside addresses of rooms: rooms reach each other by them, and no other host has one.

In: a `Policy`.  Out: the address of each of its rooms.  It is part of what a policy means
(docs/meaning.md, "Rooms"), and so both the compiler and the semantics take it from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

from pbrinit.net.addresses import Address, Family, Prefix, family_of
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Program

ROOM_PREFIX: dict[Family, Prefix] = {
    Family.V4: IPv4Network("169.254.77.0/24"),
    Family.V6: IPv6Network("fd70:6272:696e:6974::/112"),
}
"""The prefixes of the inside addresses."""


def conflicting_interfaces(interfaces: Iterable[Interface]) -> Iterator[tuple[Interface, Address]]:
    """Interfaces that use an inside address already: for this machine, for a router, or as the
    first address of a route.
    """
    for interface in interfaces:
        own = (address.ip for address in interface.addresses)
        routed = (end for route in interface.routes
                  for end in (route.via, route.prefix.network_address) if end)  # fmt: skip
        for address in (*own, *interface.gateways, *routed):
            if address in ROOM_PREFIX[family_of(address)]:
                yield interface, address


def reserved_prefixes(policy: Policy, family: Family) -> tuple[Prefix, ...]:
    """The prefix that is reserved for rooms: none where no room may reach another."""
    return (ROOM_PREFIX[family],) if policy.room_allows else ()


def room_address(policy: Policy, program: Program, family: Family) -> Address:
    """The inside address of a program's room: the first room has the first address."""
    first = int(ROOM_PREFIX[family].network_address)
    return family.address(first + policy.rooms.index(program) + 1)
