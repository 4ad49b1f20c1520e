"""What each interface gets: sysctls, addresses and routes.

In: a `Policy`, and the `SetTables` that its rules look up.  Out: `Link` values, loopback first.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.compiler import rooms, sysctls
from pbrinit.compiler.layout import TABLE_DHCP, TABLE_HAIRPIN, TABLE_LOG, TABLE_ROUTERS, TABLE_SINK
from pbrinit.compiler.set_tables import SetTables
from pbrinit.net.addresses import Family, Prefix
from pbrinit.net.special_addresses import ALL_ROUTERS
from pbrinit.plan.plan import LOOPBACK, TABLE_MAIN, Link, Route, RouteType
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Program

LOG_ROUTE_TYPE = {Family.V4: RouteType.BROADCAST, Family.V6: RouteType.LOCAL}
"""The types of the routes by which ICMP errors for the log come back to this machine. The return
path check accepts none of them. An ICMP error that was broadcast reaches no socket but raw ones
(icmp_rcv). IPv6 has no broadcast, and there every host can send such errors anyway."""


def links(policy: Policy, tables: SetTables) -> tuple[Link, ...]:
    """Loopback, then the interfaces in the order of the policy, then the devices of rooms."""
    return (
        _loopback(policy, tables),
        *(_link(policy, interface, tables) for interface in policy.interfaces),
        *(_room_veth(policy, program, tables) for program in policy.rooms),
    )


def arp_beyond(interface: Interface) -> tuple[Prefix, ...]:
    """The prefixes from which ARP requests are answered besides those of the interface's addresses:
    what a route without a router puts on the link, and what the policy names.
    """
    on_link = (r.prefix for r in interface.active_routes(Family.V4) if r.via is None)
    return (*on_link, *interface.arp_from)


def hairpin_tables(policy: Policy) -> Iterator[tuple[str, int]]:
    """Each device with the number of its hairpin table: packets that a bound socket may not send
    come back by it.
    """
    devices = (
        *(interface.device for interface in policy.interfaces),
        *(program.device for program in policy.rooms),
    )
    for number, device in enumerate(devices):
        yield device, TABLE_HAIRPIN + number


def _hairpin(policy: Policy, device: str) -> Route:
    table = dict(hairpin_tables(policy))[device]
    note = "what a bound socket may not send comes back"
    return Route(Family.V4, table, RouteType.LOCAL, note=note)


def _room_veth(policy: Policy, program: Program, tables: SetTables) -> Link:
    """The machine's end of a veth, which exists as long as the room. Rooms reach each other by it
    in both families, whatever families the interfaces have.
    """
    six = (
        any(interface.has_family(Family.V6) for interface in policy.interfaces)
        or policy.room_allows
    )
    return Link(
        name=f"room {program.name}",
        device=program.device,
        mac=None,
        sysctls=sysctls.room_device(program.device, six=bool(six)),
        preaddress_routes=(_hairpin(policy, program.device), *rooms.room_routes(policy, program)),
        addresses=(),
        routes=tables.routes(program.device),
    )


def _loopback(policy: Policy, tables: SetTables) -> Link:
    """Loopback, with the sink: a default route into it is of type unicast, which is enough for the
    return path check. A packet that is really sent by it leaves by no device and comes back to
    this machine (tests/netns/test_sink.py). Where refused packets are logged, ICMP errors for the
    log are routed into loopback too.
    """
    sink = Route(Family.V4, TABLE_SINK, RouteType.UNICAST, note="the return path ends here")
    log = (
        Route(family, TABLE_LOG, type_, note="ICMP errors for the log")
        for family, type_ in LOG_ROUTE_TYPE.items()
        if policy.logs
    )
    return Link(
        name=LOOPBACK,
        device=LOOPBACK,
        mac=None,
        sysctls=(),
        preaddress_routes=(sink, *log, *tables.routes(LOOPBACK)),
        addresses=(),
        routes=(),
    )


def _link(policy: Policy, interface: Interface, tables: SetTables) -> Link:
    gateways = (
        Route(family, TABLE_MAIN, RouteType.UNICAST, gateway=gateway, note="gateway")
        for family in Family
        if (gateway := interface.gateway(family)) is not None
    )
    static_routes = (
        Route(family, TABLE_MAIN, RouteType.UNICAST, route.prefix, route.via,
              note="through a router of this link" if route.via else "on this link")
        for family in Family
        for route in interface.active_routes(family)
    )  # fmt: skip
    return Link(
        name=interface.name,
        device=interface.device,
        mac=interface.mac,
        sysctls=sysctls.device(
            interface.device,
            six=interface.has_family(Family.V6),
            beyond=bool(arp_beyond(interface)),
        ),
        preaddress_routes=(
            _hairpin(policy, interface.device),
            *_router_solicitation_route(interface),
        ),
        addresses=interface.addresses,
        routes=(
            *_dhcp_route(interface),
            *gateways,
            *static_routes,
            *tables.routes(interface.device),
        ),
    )


def _dhcp_route(interface: Interface) -> Iterator[Route]:
    if interface.awaiting_address(Family.V4):
        note = "a DHCP server may be on this link"
        yield Route(Family.V4, TABLE_DHCP, RouteType.UNICAST, note=note)


def _router_solicitation_route(interface: Interface) -> Iterator[Route]:
    if Family.V6 in interface.dynamic_families:
        yield Route(Family.V6, TABLE_ROUTERS, RouteType.UNICAST, ALL_ROUTERS,
                    note="all routers of this link")  # fmt: skip
