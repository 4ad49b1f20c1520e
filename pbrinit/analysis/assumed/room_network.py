"""Whether each room has the machine's addresses, and routes that choose the right one of them.

In: a `Policy` and its `Plan`.  Out: `Claim` values.  The model does not look into a room: it asks
about what comes out of one. Definition: docs/meaning.md, "Rooms", and docs/rooms.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_interface

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.net.addresses import Address, AddressSet, Family, InterfaceAddress
from pbrinit.plan.plan import TABLE_MAIN, Plan, Room, Route, RouteType
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.semantics.topology import Topology

INSIDE: dict[Family, Address] = {
    Family.V4: IPv4Address("169.254.77.0"),
    Family.V6: IPv6Address("fd70:6272:696e:6974::"),
}
"""The first room has the address that follows."""

INSIDE_LENGTH = {Family.V4: 24, Family.V6: 112}


def claims(policy: Policy, plan: Plan) -> Iterator[Claim]:
    """Addresses and routes in each room."""
    rooms = {p.program.name: p.room for p in plan.programs if p.room is not None}
    names = [program.name for program in policy.rooms]
    strange = [*(n for n in names if n not in rooms), *(n for n in rooms if n not in names)]
    yield Claim("the programs that the policy isolates have a room, and no other",
                tuple(Flaw(name, "policy and plan differ") for name in strange))  # fmt: skip
    addresses, routes, devices = [], [], []
    for number, program in enumerate(policy.rooms, 1):
        room = rooms.get(program.name)
        if room is not None:
            addresses += list(_addresses(policy, program.label, room, number))
            routes += list(_routes(policy, program.label, room, number))
            if room.device != program.device:
                devices.append(Flaw(program.label, f"{room.device} leads into it"))
    yield Claim("each room is where the policy's device leads", tuple(devices))
    yield Claim("each room has the machine's addresses, each as a single host's", tuple(addresses))
    yield Claim("each room sends to whom it can reach, from the address that it has there",
                tuple(routes))  # fmt: skip


def _inside(policy: Policy, number: int, family: Family) -> Address | None:
    """The address by which other rooms reach the nth room, where any may reach another."""
    return family.address(int(INSIDE[family]) + number) if policy.room_allows else None


def _addresses(policy: Policy, name: str, room: Room, number: int) -> Iterator[Flaw]:
    needed: set[InterfaceAddress] = {
        ip_interface(address.ip) for i in policy.interfaces for address in i.addresses
    }
    inside = (_inside(policy, number, family) for family in Family)
    needed |= {ip_interface(address) for address in inside if address is not None}
    for address in sorted(map(str, needed - set(room.addresses))):
        yield Flaw(name, f"it does not have {address}")
    for address in sorted(map(str, set(room.addresses) - needed)):
        yield Flaw(name, f"it has {address}, which is not the machine's")


def _routes(policy: Policy, name: str, room: Room, number: int) -> Iterator[Flaw]:
    for route in room.routes:
        if (route.type, route.table) != (RouteType.UNICAST, TABLE_MAIN) or route.source is not None:
            yield Flaw(name, f"its route to {route.destination or 'all'} leads not to the machine")
    topology = Topology(policy)
    for family in Family:
        chosen = list(_chosen(room, family))
        for interface in policy.interfaces:
            for router, there in topology.routers(interface, family):
                for near, sources in _sources(interface, family, router, there):
                    yield from _compared(name, near, sources, chosen)
        inside = _inside(policy, number, family)
        if inside is not None:
            prefix = family.prefix(int(INSIDE[family]), INSIDE_LENGTH[family])
            others = AddressSet.from_prefixes(family, [prefix])
            yield from _compared(name, others, {inside}, chosen)


def _chosen(room: Room, family: Family) -> Iterator[tuple[Route | None, AddressSet]]:
    """Each route with the addresses that it is the longest for; None has what no route has."""
    left = AddressSet.everything(family)
    routes = (route for route in room.routes if route.family is family)
    for route in sorted(routes, key=lambda r: -(r.destination.prefixlen if r.destination else 0)):
        prefix = route.destination
        there = AddressSet.from_prefixes(family, [prefix]) if prefix else left
        yield route, there & left
        left = left - there
    yield None, left


def _sources(
    interface: Interface, family: Family, router: Address | None, there: AddressSet
) -> Iterator[tuple[AddressSet, set[Address]]]:
    """From which address of an interface those reached by a router are to be sent to: beyond a
    router from one whose prefix has the router, on the link from the one whose prefix has them, and
    from the first where none has.
    """
    own = interface.addresses_of(family)
    first = {address.ip for address in own[:1]}
    if router is not None:
        near_it = {a.ip for a in own if router in a.network or router.is_link_local}
        yield there, near_it or first
        return
    for network in {address.network for address in own}:
        near = there & AddressSet.from_prefixes(family, [network])
        there = there - near
        yield near, {a.ip for a in own if a.network == network}
    yield there, first


def _compared(
    name: str,
    there: AddressSet,
    sources: set[Address],
    chosen: list[tuple[Route | None, AddressSet]],
) -> Iterator[Flaw]:
    for route, reached in chosen:
        both = there & reached
        preferred = route.preferred if route is not None else None
        if both and preferred not in sources:
            wanted = " or ".join(sorted(map(str, sources))) or "no address"
            first = there.family.address(both.ranges[0][0])
            yield Flaw(name, f"to {first} it sends from {preferred}, and has to from {wanted}")
