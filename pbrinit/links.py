"""What each interface gets: sysctls, addresses and routes.

In: a `Policy`, and the `Tables` that its rules look up.  Out: `Link` values, loopback first.
"""

from __future__ import annotations

from pbrinit import sysctls
from pbrinit.addresses import Family
from pbrinit.layout import LOOPBACK, TABLE_HAIRPIN, TABLE_SINK
from pbrinit.plan import TABLE_MAIN, Link, Route, RouteKind
from pbrinit.policy import Interface, Policy
from pbrinit.tables import Tables


def links(policy: Policy, tables: Tables) -> tuple[Link, ...]:
    """Loopback, then the interfaces in the order in which the policy names them."""
    numbered = enumerate(policy.interfaces)
    return (_loopback(tables), *(_link(number, i, tables) for number, i in numbered))


def _loopback(tables: Tables) -> Link:
    """Loopback, and the sink: a default route into it is unicast, so that the return path
    check passes, and what is really sent by it leaves by no device: it comes back to this machine
    (tests/kernel/test_sink.py).
    """
    sink = Route(Family.V4, TABLE_SINK, RouteKind.UNICAST, note="the return path ends here")
    return Link(
        name=LOOPBACK,
        device=LOOPBACK,
        mac=None,
        sysctls=(),
        early_routes=(sink, *tables.routes(LOOPBACK)),
        addresses=(),
        routes=(),
    )


def _link(number: int, interface: Interface, tables: Tables) -> Link:
    hairpin = Route(
        Family.V4,
        TABLE_HAIRPIN + number,
        RouteKind.LOCAL,
        note="what a bound socket may not send comes back",
    )
    gateways = (
        Route(family, TABLE_MAIN, RouteKind.UNICAST, gateway=gateway, note="gateway")
        for family in Family
        if (gateway := interface.gateway(family)) is not None
    )
    return Link(
        name=interface.name,
        device=interface.device,
        mac=interface.mac,
        sysctls=sysctls.device(interface),
        early_routes=(hairpin,),
        addresses=interface.addresses,
        routes=(*gateways, *tables.routes(interface.device)),
    )
