"""Whether the kernel takes each route of a plan, and reads it as the plan means it.

In: a `Plan`.  Out: `Claim` values, about the machine's routes and those in rooms.  Functions named
are those of Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.analysis.wellformed.rule_form import LOCAL, MAIN, is_own_table
from pbrinit.net.addresses import Address, Family, InterfaceAddress
from pbrinit.plan.ip_commands import ROOM_END, route_command
from pbrinit.plan.plan import Plan, Route, RouteType

WITHOUT_WAY = frozenset({RouteType.THROW, RouteType.BLACKHOLE, RouteType.PROHIBIT})
TYPES = {
    Family.V4: frozenset({RouteType.UNICAST, RouteType.LOCAL, RouteType.BROADCAST}) | WITHOUT_WAY,
    Family.V6: frozenset({RouteType.UNICAST, RouteType.LOCAL}) | WITHOUT_WAY,
}
"""The types that a plan may write; the others the kernel makes by itself. IPv6 takes a broadcast
route and sends by it as by any other (rtm_to_fib6_config)."""

LAST_WITH_BROADCAST = 30
LAST_WITH_PREFIX_ROUTE = 31
"""The longest IPv4 prefix whose address brings a route to the prefix (fib_add_ifaddr)."""

Key = tuple[Family, int, object, object]


@dataclass(frozen=True)
class _Place:
    """One namespace: the machine, or a room; its routes, each with the device that holds it."""

    name: str
    addresses: tuple[InterfaceAddress, ...]
    routes: tuple[tuple[Route, str], ...]

    def flaws(self, why: Callable[[Route], str | None]) -> Iterator[Flaw]:
        for route, device in self.routes:
            reason = why(route)
            if reason is not None:
                yield self.flaw(route, device, reason)

    def flaw(self, route: Route, device: str, why: str) -> Flaw:
        return Flaw(f"{self.name}{route_command(route, device)}", why)


def claims(plan: Plan) -> Iterator[Claim]:
    """Everything that is to hold of the routes alone."""
    places = list(_places(plan))

    def claim(text: str, flaws: Callable[[_Place], Iterator[Flaw]]) -> Claim:
        return Claim(text, tuple(flaw for place in places for flaw in flaws(place)))

    yield claim("each route is of one family", lambda place: place.flaws(_family))
    yield claim(
        "each route is in main or in a table of the plan", lambda place: place.flaws(_table)
    )
    yield claim("each route has a type that its family has, and a gateway only where it leads on",
                lambda place: place.flaws(_type))  # fmt: skip
    yield claim("no route is there twice, nor where an address brings it", _twice)
    yield claim("each gateway is the address of another host", _gateways)
    yield claim("each route prefers a source that is an address of its machine or room", _preferred)


def _places(plan: Plan) -> Iterator[_Place]:
    yield _Place(
        "",
        tuple(address for link in plan.links for address in link.addresses),
        tuple(
            (route, link.device)
            for link in plan.links
            for route in (*link.preaddress_routes, *link.routes)
        ),
    )
    for planned in plan.programs:
        if planned.room is not None:
            routes = tuple((route, ROOM_END) for route in planned.room.routes)
            yield _Place(f"room {planned.program.name}: ", planned.room.addresses, routes)


def _family(route: Route) -> str | None:
    for value in (route.destination, route.gateway, route.source, route.preferred):
        if value is not None and value.version != route.family.version:
            return f"{value} is of the other family"
    if route.source is not None and route.family is Family.V4:
        return "IPv4 has no routes by source"
    return None


def _table(route: Route) -> str | None:
    if route.table == LOCAL:
        return "the kernel alone fills this table"
    return None if is_own_table(route.table) else "no plan has such a table"


def _type(route: Route) -> str | None:
    if route.type not in TYPES[route.family]:
        return f"a plan has no routes of the type {route.type.word} in IPv{route.family.version}"
    if route.gateway is not None and route.type is not RouteType.UNICAST:
        return f"a route of the type {route.type.word} has no gateway"
    return None


def _twice(place: _Place) -> Iterator[Flaw]:
    """IPv4 takes one route to a prefix in a table (fib_table_insert with NLM_F_EXCL), whatever its
    type, and the kernel's own count. IPv6 takes one with a source and a metric, and the kernel's
    own have other metrics (fib6_add_rt2node).
    """
    taken: set[Key] = {
        (Family.V4, MAIN, _ends(address.network), None)
        for address in place.addresses
        if isinstance(address.network, IPv4Network)
        and address.network.prefixlen <= LAST_WITH_PREFIX_ROUTE
    }
    for route, device in place.routes:
        source = _ends(route.source) if route.family is Family.V6 else None
        key = route.family, route.table, _ends(route.destination), source
        if key in taken:
            yield place.flaw(route, device, "its table has a route to this prefix already")
        taken.add(key)


def _ends(prefix: object) -> object:
    """The prefix; one of no length is the same as none."""
    return None if getattr(prefix, "prefixlen", 0) == 0 else prefix


def _gateways(place: _Place) -> Iterator[Flaw]:
    """fib_check_nh_v4_gw and ip6_route_check_nh_onlink refuse what is no other host's address; the
    unspecified one is no gateway at all.
    """
    own = {address.ip for address in place.addresses}
    broadcasts = {
        address.network.broadcast_address
        for address in place.addresses
        if address.version == Family.V4.version and address.network.prefixlen <= LAST_WITH_BROADCAST
    }

    def why(route: Route) -> str | None:
        gateway = route.gateway
        if gateway is None:
            return None
        if gateway in own or gateway in broadcasts or not _is_host(gateway):
            return f"{gateway} is no other host"
        return None

    return place.flaws(why)


def _is_host(address: Address) -> bool:
    if address == IPv4Address("255.255.255.255"):
        return False
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)


def _preferred(place: _Place) -> Iterator[Flaw]:
    """fib_valid_prefsrc, and ip6_route_info_create, refuse any other."""
    own = {address.ip for address in place.addresses}

    def why(route: Route) -> str | None:
        if route.preferred is None or route.preferred in own:
            return None
        return f"{route.preferred} is no address there"

    return place.flaws(why)
