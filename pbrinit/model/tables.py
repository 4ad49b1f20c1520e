"""Routing tables as the kernel holds them, and the search in one of them.

In: a `Plan`, whose addresses bring routes of their own.  Out: `Tables`, and from them the `Entry`
that an address leads to.  All links are taken to be up.  Functions named are those of Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix, family_of, host
from pbrinit.plan.plan import (
    LOOPBACK,
    TABLE_LOCAL,
    TABLE_MAIN,
    WITHOUT_DEVICE,
    Link,
    Plan,
    Route,
    RouteType,
)

LAST_WITH_BROADCAST = 30
"""The longest prefix that has a broadcast address (RFC 3021)."""

LAST_WITH_ANYCAST = 126
"""The longest prefix whose routers share an address (RFC 6164, addrconf_join_anycast)."""

ALL: dict[Family, Prefix] = {
    Family.V4: IPv4Network("0.0.0.0/0"),
    Family.V6: IPv6Network("::/0"),
}
LOOPBACK_NETWORK = IPv4Network("127.0.0.0/8")
LOOPBACK_6 = IPv6Network("::1/128")
LINK_LOCAL = IPv6Network("fe80::/64")
LINK_LOCAL_ROUTERS = IPv6Network("fe80::/128")
MULTICAST_6 = IPv6Network("ff00::/8")

OF_USER, OF_ADDRESS, OF_HOST = 1024, 256, 0
"""IPv6's metrics: a route that was asked for, one that comes with an address (IP6_RT_PRIO_USER
and IP6_RT_PRIO_ADDRCONF, net/ip6_fib.h), and that of the address itself. IPv4 has one alone."""


V = TypeVar("V")


NO_WAY = (RouteType.THROW, RouteType.BLACKHOLE, RouteType.PROHIBIT)
"""The kinds that lead nowhere."""


@dataclass(frozen=True)
class FibEntry:
    """One route in a table. Routes without a device have the device lo, as IPv6 has it
    (fib6_nh_init, net/ipv6/route.c); to IPv4 it means nothing.
    """

    table: int
    type: RouteType
    destination: Prefix
    device: str
    gateway: Address | None = None
    source: Prefix | None = None
    metric: int = OF_USER

    def __str__(self) -> str:
        kind = "" if self.type is RouteType.UNICAST else f"{self.type.word} "
        source = f" from {self.source}" if self.source else ""
        via = f" via {self.gateway}" if self.gateway else ""
        return f"{kind}{self.destination}{source}{via} dev {self.device}"


@dataclass
class _Node:
    """The routes to one prefix: from anywhere, and, longest prefix first, from some sources.

    `of_source` has for each mask the routes by the value of what it covers.
    """

    own: list[FibEntry] = field(default_factory=list)
    of_source: list[tuple[int, dict[int, list[FibEntry]]]] = field(default_factory=list)

    def add(self, entry: FibEntry) -> None:
        """Put it behind those of its metric (fib6_add_rt2node, net/ipv6/ip6_fib.c)."""
        routes = self.own
        if entry.source is not None and entry.source.prefixlen:
            mask, value = _masked(entry.source)
            routes = _of_mask(self.of_source, mask).setdefault(value, [])
        routes.append(entry)
        routes.sort(key=lambda route: route.metric)


_Key = tuple[Family, int]
_Table = list[tuple[int, dict[int, _Node]]]
"""For each mask, longest first, the nodes by the value of what it covers."""


class Tables:
    """All tables of both families; each is put in order when it is first searched.

    `routes` are a plan's, each with the device of its link; they are in their tables behind
    the `entries`.
    """

    def __init__(
        self, entries: Iterable[FibEntry], routes: Iterable[tuple[Route, str]] = ()
    ) -> None:
        self._tables: dict[_Key, _Table] = {}
        self._entries: dict[_Key, list[FibEntry]] = {}
        self._routes: dict[_Key, list[tuple[Route, str]]] = {}
        for entry in entries:
            key = family_of(entry.destination), entry.table
            self._entries.setdefault(key, []).append(entry)
        for route, device in routes:
            self._routes.setdefault((route.family, route.table), []).append((route, device))

    def _table(self, family: Family, table: int) -> _Table:
        key = family, table
        if key not in self._tables:
            made: _Table = []
            for entry in self._entries.get(key, ()):
                _add(made, entry)
            for route, device in self._routes.get(key, ()):
                _add(made, _entry(route, device))
            self._tables[key] = made
        return self._tables[key]

    def search_4(self, table: int, destination: int, device: str | None) -> FibEntry | None:
        """The longest prefix that holds the destination, by a device that will do.

        fib_table_lookup (net/ipv4/fib_trie.c): what is no way at all ends the search at once; of
        the rest only what leaves by `device`, where there is one, counts (fib_lookup_good_nhc).
        """
        for mask, nodes in self._table(Family.V4, table):
            node = nodes.get(destination & mask)
            for entry in node.own if node else ():
                if device is None or entry.device == device or entry.type in NO_WAY:
                    return entry
        return None

    def search_6(
        self, table: int, destination: int, source: int, device: str | None, *, strict: bool
    ) -> FibEntry | None:
        """The first node with a route that will do (fib6_table_lookup, net/ipv6/route.c).

        `device`, where there is one, is a must if `strict`, else a preference; what is no way
        at all has the device lo.
        """
        for routes in self._nodes(table, destination, source):
            chosen = _selected(routes, device, strict=strict)
            if chosen is not None:
                return chosen
        return None

    def _nodes(self, table: int, destination: int, source: int) -> Iterator[list[FibEntry]]:
        """The nodes in the order in which they are asked: fib6_node_lookup_1, which finds the
        first, and fib6_backtrack (net/ipv6/ip6_fib.c and route.c).

        A node that has routes from sources, but none from this one, is no first node, not even
        for its routes from anywhere; the root, which is last, always is.
        """
        found = False
        for mask, nodes in self._table(Family.V6, table):
            node = nodes.get(destination & mask)
            if node is None:
                continue
            of_source = [
                by_value[source & source_mask]
                for source_mask, by_value in node.of_source
                if source & source_mask in by_value
            ]
            found = found or bool(of_source) or not node.of_source or mask == 0
            if found:
                yield from of_source
                yield node.own


def _selected(routes: list[FibEntry], device: str | None, *, strict: bool) -> FibEntry | None:
    """One route of a node: find_rr_leaf and rt6_score_route (net/ipv6/route.c).

    The best of the lowest metric, else of all others.
    """
    lowest = sum(route.metric == routes[0].metric for route in routes)
    for group in (routes[:lowest], routes[lowest:]):
        fitting = [route for route in group if device is None or route.device == device]
        if fitting or (group and not strict):
            return (fitting or group)[0]
    return None


def _masked(prefix: Prefix) -> tuple[int, int]:
    return int(prefix.netmask), int(prefix.network_address)


def _of_mask(groups: list[tuple[int, dict[int, V]]], mask: int) -> dict[int, V]:
    """What is known of a mask, in a list that stays sorted, longest first."""
    for known, found in groups:
        if known == mask:
            return found
    made: dict[int, V] = {}
    groups.append((mask, made))
    groups.sort(key=lambda group: -group[0])
    return made


def _add(table: _Table, entry: FibEntry) -> None:
    mask, value = _masked(entry.destination)
    nodes = _of_mask(table, mask)
    if value not in nodes:
        nodes[value] = _Node()
    nodes[value].add(entry)


def _entry(route: Route, device: str) -> FibEntry:
    return FibEntry(
        route.table,
        route.type,
        ALL[route.family] if route.destination is None else route.destination,
        LOOPBACK if route.type in WITHOUT_DEVICE else device,
        route.gateway,
        route.source,
    )


def tables(plan: Plan, link_local: Mapping[str, IPv6Address]) -> Tables:
    """The tables of a machine on which a plan is in force."""
    return Tables(dict.fromkeys(_of_kernel(plan, link_local)), _of_plan(plan))


def entries(plan: Plan, link_local: Mapping[str, IPv6Address]) -> Iterator[FibEntry]:
    """What the kernel puts into its tables for the addresses, and the plan's own routes."""
    yield from dict.fromkeys(_of_kernel(plan, link_local))
    yield from (_entry(route, device) for route, device in _of_plan(plan))


def _of_plan(plan: Plan) -> Iterator[tuple[Route, str]]:
    for link in plan.links:
        for route in (*link.preaddress_routes, *link.routes):
            yield route, link.device


def _of_kernel(plan: Plan, link_local: Mapping[str, IPv6Address]) -> Iterator[FibEntry]:
    yield FibEntry(TABLE_LOCAL, RouteType.LOCAL, LOOPBACK_NETWORK, LOOPBACK)
    yield FibEntry(TABLE_LOCAL, RouteType.LOCAL, IPv4Network("127.0.0.1/32"), LOOPBACK)
    yield FibEntry(TABLE_LOCAL, RouteType.BROADCAST, IPv4Network("127.255.255.255/32"), LOOPBACK)
    yield FibEntry(TABLE_LOCAL, RouteType.LOCAL, LOOPBACK_6, LOOPBACK, metric=OF_HOST)
    for link in plan.links:
        for address in link.addresses:
            yield from _of_address(address, link.device)
        if link.has_ipv6:
            yield from _of_link(link, link_local.get(link.device))
            if plan.forwards_from(Family.V6, link.device):
                yield from _of_router(link)


def _of_link(link: Link, link_local: IPv6Address | None) -> Iterator[FibEntry]:
    """What a device has where IPv6 is on (addrconf_add_linklocal, addrconf_add_mroute)."""
    yield FibEntry(TABLE_LOCAL, RouteType.MULTICAST, MULTICAST_6, link.device, metric=OF_ADDRESS)
    if link.has_link_local:
        yield FibEntry(TABLE_MAIN, RouteType.UNICAST, LINK_LOCAL, link.device, metric=OF_ADDRESS)
    if link_local is not None:
        own = IPv6Network(link_local)
        yield FibEntry(TABLE_LOCAL, RouteType.LOCAL, own, link.device, metric=OF_HOST)


def _of_router(link: Link) -> Iterator[FibEntry]:
    """The address that all routers of a prefix have (addrconf_join_anycast; RFC 4291, 2.6.1)."""
    shared = [
        IPv6Network(address.network.network_address)
        for address in link.addresses
        if address.version == Family.V6.version and address.network.prefixlen <= LAST_WITH_ANYCAST
    ]
    near = (LINK_LOCAL_ROUTERS,) if link.has_link_local else ()
    for prefix in (*shared, *near):
        yield FibEntry(TABLE_LOCAL, RouteType.ANYCAST, prefix, link.device, metric=OF_HOST)


def _of_address(address: InterfaceAddress, device: str) -> Iterator[FibEntry]:
    """fib_add_ifaddr (net/ipv4/fib_frontend.c), inet6_addr_add (net/ipv6/addrconf.c)."""
    yield FibEntry(TABLE_LOCAL, RouteType.LOCAL, host(address), device, metric=OF_HOST)
    network = address.network
    if address.version == Family.V6.version or network.prefixlen < network.max_prefixlen:
        yield FibEntry(TABLE_MAIN, RouteType.UNICAST, network, device, metric=OF_ADDRESS)
    if isinstance(network, IPv4Network) and network.prefixlen <= LAST_WITH_BROADCAST:
        broadcast = IPv4Network(network.broadcast_address)
        yield FibEntry(TABLE_LOCAL, RouteType.BROADCAST, broadcast, device, metric=OF_HOST)
