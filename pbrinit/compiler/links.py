"""What each interface gets: sysctls, addresses and routes.

In: a `Policy`, and the `Tables` that its rules look up.  Out: `Link` values, loopback first.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.compiler import rooms, sysctls
from pbrinit.compiler.layout import TABLE_DHCP, TABLE_HAIRPIN, TABLE_LOG, TABLE_ROUTERS, TABLE_SINK
from pbrinit.compiler.set_tables import Tables
from pbrinit.net.addresses import Family
from pbrinit.net.special_addresses import ALL_ROUTERS
from pbrinit.plan.plan import LOOPBACK, TABLE_MAIN, Link, Route, RouteKind
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Run

HEARD = {Family.V4: RouteKind.BROADCAST, Family.V6: RouteKind.LOCAL}
"""How the kernel's word about who was refused comes back. No return path check is content with
these; and of a broadcast ICMP tells no socket that an error is about it (icmp_rcv), so that only
raw sockets hear it. IPv6 has none, and there everybody can send such errors anyway."""


def links(policy: Policy, tables: Tables) -> tuple[Link, ...]:
    """Loopback, then the interfaces in the order in which the policy names them, then what leads
    into the rooms.
    """
    return (
        _loopback(policy, tables),
        *(_link(policy, interface, tables) for interface in policy.interfaces),
        *(_door(policy, run, tables) for run in policy.rooms),
    )


def hairpins(policy: Policy) -> Iterator[tuple[str, int]]:
    """Each device, and the number of its table that turns back what a bound socket may not send."""
    devices = (*(i.device for i in policy.interfaces), *(run.device for run in policy.rooms))
    for number, device in enumerate(devices):
        yield device, TABLE_HAIRPIN + number


def _hairpin(policy: Policy, device: str) -> Route:
    table = dict(hairpins(policy))[device]
    note = "what a bound socket may not send comes back"
    return Route(Family.V4, table, RouteKind.LOCAL, note=note)


def _door(policy: Policy, run: Run, tables: Tables) -> Link:
    """The machine's end of a veth, which is there as long as the room. By it rooms reach each
    other in both families, whatever the interfaces speak.
    """
    six = any(interface.speaks(Family.V6) for interface in policy.interfaces) or policy.betweens
    return Link(
        name=f"room {run.name}",
        device=run.device,
        mac=None,
        sysctls=sysctls.room_device(run.device, six=bool(six)),
        early_routes=(_hairpin(policy, run.device), *rooms.way_in(policy, run)),
        addresses=(),
        routes=tables.routes(run.device),
    )


def _loopback(policy: Policy, tables: Tables) -> Link:
    """Loopback, and the sink: a default route into it is unicast, so that the return path
    check passes, and what is really sent by it leaves by no device: it comes back to this machine
    (tests/netns/test_sink.py). Where it is logged who was refused, the kernel's word about it is
    led there as well.
    """
    sink = Route(Family.V4, TABLE_SINK, RouteKind.UNICAST, note="the return path ends here")
    log = (
        Route(family, TABLE_LOG, kind, note="who was refused, told to ourselves")
        for family, kind in HEARD.items()
        if policy.logs
    )
    return Link(
        name=LOOPBACK,
        device=LOOPBACK,
        mac=None,
        sysctls=(),
        early_routes=(sink, *log, *tables.routes(LOOPBACK)),
        addresses=(),
        routes=(),
    )


def _link(policy: Policy, interface: Interface, tables: Tables) -> Link:
    gateways = (
        Route(family, TABLE_MAIN, RouteKind.UNICAST, gateway=gateway, note="gateway")
        for family in Family
        if (gateway := interface.gateway(family)) is not None
    )
    routed = (
        Route(family, TABLE_MAIN, RouteKind.UNICAST, route.prefix, route.via,
              note="beyond a router of this link")
        for family in Family
        for route in interface.routed(family)
    )  # fmt: skip
    return Link(
        name=interface.name,
        device=interface.device,
        mac=interface.mac,
        sysctls=sysctls.device(interface.device, six=interface.speaks(Family.V6)),
        early_routes=(_hairpin(policy, interface.device), *_to_routers(interface)),
        addresses=interface.addresses,
        routes=(*_to_servers(interface), *gateways, *routed, *tables.routes(interface.device)),
    )


def _to_servers(interface: Interface) -> Iterator[Route]:
    if interface.waits(Family.V4):
        yield Route(Family.V4, TABLE_DHCP, RouteKind.UNICAST, note="some server is on this link")


def _to_routers(interface: Interface) -> Iterator[Route]:
    if Family.V6 in interface.asks:
        yield Route(Family.V6, TABLE_ROUTERS, RouteKind.UNICAST, ALL_ROUTERS,
                    note="all routers of this link")  # fmt: skip
