"""The addresses by which rooms reach each other: they exist inside of the machine alone.

In: a `Policy`.  Out: the address of each of its rooms.  It is part of what a policy means
(docs/meaning.md, "Rooms"), and so both the compiler and the meaning have it from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

from pbrinit.net.addresses import Address, Family, Prefix
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Run

INSIDE: dict[Family, Prefix] = {
    Family.V4: IPv4Network("169.254.77.0/24"),
    Family.V6: IPv6Network("fd70:6272:696e:6974::/112"),
}
"""Where rooms have these addresses; nobody outside has one."""


def taken(interfaces: Iterable[Interface]) -> Iterator[tuple[Interface, Address]]:
    """Interfaces that have such an address already, for this machine, a router, or the first of
    those beyond one.
    """
    for interface in interfaces:
        own = (address.ip for address in interface.addresses)
        beyond = (end for one in interface.routes for end in (one.via, one.prefix.network_address))
        for there in (*own, *interface.gateways, *beyond):
            if there in INSIDE[Family.of(there)]:
                yield interface, there


def prefixes(policy: Policy, family: Family) -> tuple[Prefix, ...]:
    """What is kept for rooms: nothing where none of them asks another."""
    return (INSIDE[family],) if policy.betweens else ()


def address(policy: Policy, run: Run, family: Family) -> Address:
    """The address by which other rooms know this one: the first is that of the first room."""
    first = int(INSIDE[family].network_address)
    return family.address(first + policy.rooms.index(run) + 1)
