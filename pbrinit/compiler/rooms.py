"""The rooms of a policy: who lives in each, by which addresses, and how it is set up.

In: a `Policy`.  Out: `Room` values for the plan, and the routes that lead into each.

A room has the machine's own addresses, so that what is sent there needs no translation; which
packets get there, and which of its own go on, is a matter of rules.  Its way out is a gateway
that nobody has: on a device without address resolution a frame reaches the other end, whatever
address the neighbour has (arp_constructor, net/ipv4/arp.c; ndisc_constructor, net/ipv6/ndisc.c).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from pbrinit.compiler import sysctls
from pbrinit.compiler.layout import TABLE_ROOMS
from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix
from pbrinit.plan.plan import TABLE_MAIN, Program, Room, Route, RouteKind
from pbrinit.policy import room_addresses
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Run

GATEWAY: dict[Family, Address] = {
    Family.V4: IPv4Address("169.254.0.1"),
    Family.V6: IPv6Address("fe80::1"),
}


def table(policy: Policy, run: Run) -> int:
    """The number of the table that leads into the room of a program."""
    return TABLE_ROOMS + policy.rooms.index(run)


def programs(policy: Policy) -> tuple[Program, ...]:
    """All programs, with the room of each that has one."""
    return tuple(Program(run, _room(policy, run) if run.isolated else None) for run in policy.runs)


def way_in(policy: Policy, run: Run) -> tuple[Route, ...]:
    """The routes into the room of a program, which its device holds."""
    return tuple(
        Route(Family.of(address), table(policy, run), RouteKind.UNICAST, address.network,
              note=f"into the room {run.name}")
        for address in _addresses(policy, run)
    )  # fmt: skip


def _room(policy: Policy, run: Run) -> Room:
    number = policy.rooms.index(run)
    return Room(
        device=run.device,
        mac=f"02:70:62:72:{number >> 8:02x}:{number & 255:02x}",
        clients=run.clients,
        sysctls=sysctls.room(run.clients),
        addresses=_addresses(policy, run),
        routes=tuple(_ways_out(policy, run)),
    )


def _addresses(policy: Policy, run: Run) -> tuple[InterfaceAddress, ...]:
    """The machine's own, and the one that only exists inside, each as one host's."""
    own: list[Address] = [a.ip for interface in policy.interfaces for a in interface.addresses]
    own += [room_addresses.address(policy, run, family)
            for family in Family if room_addresses.prefixes(policy, family)]  # fmt: skip
    return tuple(alone(address) for address in own)


def alone(address: Address) -> InterfaceAddress:
    """An address that has a prefix to itself."""
    return ipaddress.ip_interface(address)


def _ways_out(policy: Policy, run: Run) -> Iterator[Route]:
    """By the gateway that nobody has: to each link, and beyond its routers, from the machine's
    address there, to everybody else from the address on the link with the machine's gateway.
    """
    for family in Family:
        ways: list[tuple[Prefix | None, Address]] = []
        for interface in policy.interfaces:
            own = interface.own(family)
            ways += [(address.network, address.ip) for address in own]
            hops: list[tuple[Prefix | None, Address]] = [
                (route.prefix, route.via) for route in interface.routed(family)
            ]
            gateway = interface.gateway(family)
            hops += [(None, gateway)] if gateway else []
            for destination, hop in hops:
                ways += [(destination, a.ip) for a in own if _is_near(hop, a)][:1]
        ways += [(prefix, room_addresses.address(policy, run, family))
                 for prefix in room_addresses.prefixes(policy, family)]  # fmt: skip
        for destination, source in dict(ways).items():
            yield Route(family, TABLE_MAIN, RouteKind.UNICAST, destination, GATEWAY[family],
                        preferred=source, note="all ways lead through the machine")  # fmt: skip


def _is_near(hop: Address, own: InterfaceAddress) -> bool:
    """Whether it is on the link of an address: in its prefix, or known by the link's own."""
    return hop in own.network or hop.is_link_local
