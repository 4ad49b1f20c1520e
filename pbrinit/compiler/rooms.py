"""The rooms of a policy: the program in each, its addresses, and how it is set up.

In: a `Policy`.  Out: `Room` values for the plan, and the routes into each room.

A room has the machine's own addresses, so that its packets need no translation. Rules decide which
packets reach it and which of its own go on.  Its default route has a gateway address that no host
has: on a device without address resolution a frame reaches the other end, whatever the address of
the neighbour is (arp_constructor, net/ipv4/arp.c; ndisc_constructor, net/ipv6/ndisc.c).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from pbrinit.compiler import sysctls
from pbrinit.compiler.layout import TABLE_ROOMS
from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix, family_of
from pbrinit.plan.plan import TABLE_MAIN, PlannedProgram, Room, Route, RouteType
from pbrinit.policy import room_addresses, room_ids
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Program

GATEWAY: dict[Family, Address] = {
    Family.V4: IPv4Address("169.254.0.1"),
    Family.V6: IPv6Address("fe80::1"),
}


def table(policy: Policy, program: Program) -> int:
    """The number of the table that leads into the room of a program."""
    return TABLE_ROOMS + policy.rooms.index(program)


def programs(policy: Policy) -> tuple[PlannedProgram, ...]:
    """All programs, with the room of each that has one."""
    return tuple(
        PlannedProgram(program, _room(policy, program) if program.isolated else None)
        for program in policy.programs
    )


def room_routes(policy: Policy, program: Program) -> tuple[Route, ...]:
    """The routes into the room of a program, which its device holds."""
    return tuple(
        Route(family_of(address), table(policy, program), RouteType.UNICAST, address.network,
              note=f"into the room {program.name}")
        for address in _addresses(policy, program)
    )  # fmt: skip


def _room(policy: Policy, program: Program) -> Room:
    number = policy.rooms.index(program)
    return Room(
        device=program.device,
        mac=f"02:70:62:72:{number >> 8:02x}:{number & 255:02x}",
        client_ports=program.client_ports,
        first_id=room_ids.first(policy, program),
        sysctls=sysctls.room(program.client_ports),
        addresses=_addresses(policy, program),
        routes=tuple(_outgoing_routes(policy, program)),
    )


def _addresses(policy: Policy, program: Program) -> tuple[InterfaceAddress, ...]:
    """The machine's own addresses and the inside address, each with a prefix of full length."""
    own: list[Address] = [a.ip for interface in policy.interfaces for a in interface.addresses]
    own += [room_addresses.room_address(policy, program, family)
            for family in Family if room_addresses.reserved_prefixes(policy, family)]  # fmt: skip
    return tuple(host_address(address) for address in own)


def host_address(address: Address) -> InterfaceAddress:
    """An address with a prefix of full length."""
    return ipaddress.ip_interface(address)


def _outgoing_routes(policy: Policy, program: Program) -> Iterator[Route]:
    """Routes by the gateway that no host has, each with its source address: to a link and to what
    is behind its routers from the machine's address on that link, and by default from the address
    on the link of the machine's gateway.
    """
    for family in Family:
        sources: list[tuple[Prefix | None, Address]] = []
        for interface in policy.interfaces:
            own = interface.addresses_of(family)
            sources += [(address.network, address.ip) for address in own]
            routers: list[tuple[Prefix | None, Address | None]] = [
                (route.prefix, route.via) for route in interface.active_routes(family)
            ]
            gateway = interface.gateway(family)
            routers += [(None, gateway)] if gateway else []
            for destination, router in routers:
                source = interface.source_for(router, family)
                sources += [(destination, source)] if source else []
        sources += [(prefix, room_addresses.room_address(policy, program, family))
                    for prefix in room_addresses.reserved_prefixes(policy, family)]  # fmt: skip
        for destination, chosen in dict(sources).items():
            yield Route(family, TABLE_MAIN, RouteType.UNICAST, destination, GATEWAY[family],
                        preferred=chosen, note="everything goes by the machine")  # fmt: skip
