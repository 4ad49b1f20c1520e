"""The neighbours that the machine and a room know for good: each other.

In: the link that leads into a room, or the room.  Out: `Neighbour` values.

A device without address resolution knows its neighbours by itself, but each stands in the table
that all devices share, and strangers fill it: the kernel then removes these first, and makes no new
ones while the others are young (neigh_forced_gc and neigh_alloc, net/core/neighbour.c). Entries
that are set for good do not count, and are not removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pbrinit.net.addresses import Address
from pbrinit.plan.plan import Link, Room, Route, RouteType


@dataclass(frozen=True)
class Neighbour:
    """An address, and the MAC address of the device that has it."""

    address: Address
    mac: str


def into_room(link: Link, room: Room) -> tuple[Neighbour, ...]:
    """The addresses that the routes into a room lead to."""
    hosts = (
        route.destination.network_address
        for route in link.preaddress_routes
        if route.type is RouteType.UNICAST and route.destination is not None
    )
    return tuple(_unique(hosts, room.mac))


def out_of_room(room: Room) -> tuple[Neighbour, ...]:
    """The gateways of the routes in a room."""
    return tuple(_unique(_gateways(room.routes), room.mac))


def _gateways(routes: Iterable[Route]) -> Iterator[Address]:
    for route in routes:
        if route.gateway is not None:
            yield route.gateway


def _unique(addresses: Iterable[Address], mac: str) -> Iterator[Neighbour]:
    for address in dict.fromkeys(addresses):
        yield Neighbour(address, mac)
