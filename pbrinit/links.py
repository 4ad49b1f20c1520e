"""What each interface gets: sysctls, addresses and routes.

In: a `Policy`.  Out: `Link` values, loopback first.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit import sysctls
from pbrinit.addresses import Family
from pbrinit.layout import LOOPBACK, TABLE_BY, TABLE_HAIRPIN, TABLE_SINK
from pbrinit.plan import TABLE_MAIN, Link, Route, RouteKind
from pbrinit.policy import Interface, Policy


def links(policy: Policy) -> tuple[Link, ...]:
    """Loopback, then the interfaces in the order in which the policy names them."""
    return (_loopback(), *(_link(policy, interface) for interface in policy.interfaces))


def _loopback() -> Link:
    """Loopback, and the sink: a default route into it is unicast, so that the return path
    check passes, and what is really sent by it is discarded on arrival, because the route
    it carries along was made for output (ip_rcv_finish_core keeps it; its input is
    dst_discard, rt_dst_alloc).
    """
    return Link(
        name=LOOPBACK,
        device=LOOPBACK,
        mac=None,
        sysctls=(),
        early_routes=(
            Route(Family.V4, TABLE_SINK, RouteKind.UNICAST, note="the return path ends here"),
        ),
        addresses=(),
        routes=(),
    )


def _link(policy: Policy, interface: Interface) -> Link:
    number = policy.interfaces.index(interface)
    hairpin = Route(
        Family.V4,
        TABLE_HAIRPIN + number,
        RouteKind.LOCAL,
        note="what a bound socket may not send comes back",
    )
    routes = []
    for family in Family:
        gateway = interface.gateway(family)
        if gateway is not None:
            routes.append(
                Route(family, TABLE_MAIN, RouteKind.UNICAST, gateway=gateway, note="gateway")
            )
    if len(policy.interfaces) > 1:
        routes += _routes_by(policy, interface)
    return Link(
        name=interface.name,
        device=interface.device,
        mac=interface.mac,
        sysctls=sysctls.device(interface),
        early_routes=(hairpin,),
        addresses=interface.addresses,
        routes=tuple(routes),
    )


def _routes_by(policy: Policy, interface: Interface) -> Iterator[Route]:
    """The table for what may leave by this interface only: main's routes, in which those of
    the other interfaces are `throw`, so that the look-up goes on with the next rule.
    """
    table = TABLE_BY + policy.interfaces.index(interface)
    for other in policy.interfaces:
        kind = RouteKind.UNICAST if other is interface else RouteKind.THROW
        for prefix in dict.fromkeys(address.network for address in other.addresses):
            family = Family.of(prefix)
            yield Route(family, table, kind, destination=prefix, note=f"of {other.name}")
    for family in Family:
        gateway = interface.gateway(family)
        if gateway is not None:
            yield Route(family, table, RouteKind.UNICAST, gateway=gateway, note="gateway")
