"""Routing tables for sets of addresses that are too large for rules.

In: a set, and what happens to packets whose destination (or, in IPv6, source) is in it.  Out: the
number of a table, and in the end the routes of all tables, by the device that holds them.  The same
set with the same action is one table.

A look-up costs the same however many prefixes a table has (fib_trie, fib6 tree).  What is not in
the set is `throw`, or has no route at all: the look-up goes on with the next rule.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from pbrinit.compiler.layout import TABLE_SETS
from pbrinit.compiler.prefix_cover import PrefixRule, cover
from pbrinit.net.addresses import Address, AddressSet, Family, Prefix, holds
from pbrinit.plan.plan import LOOPBACK, Route, RouteType
from pbrinit.policy.topology import Topology

EXCLUDED = "excluded: on to the next rule"


class SetAction(enum.Enum):
    """What happens to a packet whose address is in the set; the value is the note of the routes."""

    TOWARDS = "leaves towards its destination"
    SINK = "comes back to this machine; only the return path check accepts it"
    PROHIBIT = "is refused with an ICMP error"
    LOCAL_FROM = "is delivered, by its source"
    ONLY_FROM = "goes on to the next rule, by its source; all others end here"
    VIA_FROM = "leaves by one next hop, by its source"


@dataclass(frozen=True)
class NextHop:
    """A device, and the router of its link for destinations that are not on the link."""

    device: str
    gateway: Address | None = None


@dataclass(frozen=True)
class _Key:
    action: SetAction
    family: Family
    wanted: AddressSet
    universe: AddressSet
    hop: NextHop | None


class SetTables:
    """The tables of a plan, made on request."""

    def __init__(self) -> None:
        self._numbers: dict[_Key, int] = {}
        self._routes: dict[str, list[Route]] = {}
        self.names: list[tuple[int, str]] = []

    def routes(self, device: str) -> tuple[Route, ...]:
        """The routes that a device holds."""
        return tuple(self._routes.get(device, ()))

    def table(
        self,
        action: SetAction,
        topology: Topology,
        wanted: AddressSet,
        universe: AddressSet,
        hop: NextHop | None = None,
    ) -> int:
        """The number of the table with this action for `wanted`, among addresses of `universe`."""
        key = _Key(action, topology.family, wanted, universe, hop)
        if key not in self._numbers:
            number = TABLE_SETS + len(self._numbers)
            self._numbers[key] = number
            self.names.append((number, f"set.{len(self._numbers)}"))
            for device, route in _routes(key, number, topology):
                self._routes.setdefault(device, []).append(route)
        return self._numbers[key]


def next_hops(topology: Topology) -> Iterator[tuple[NextHop, AddressSet]]:
    """Each next hop, with the addresses that are reached by it."""
    hops = dict(_prefix_hops(topology))
    for interface in topology.interfaces:
        left = topology.hosts_behind(interface)
        here = {prefix: hop for prefix, hop in hops.items() if hop.device == interface.device}
        reached = {hop: AddressSet(topology.family) for hop in here.values()}
        for prefix in sorted(here, key=lambda prefix: -prefix.prefixlen):
            addresses = AddressSet.from_prefixes(topology.family, [prefix])
            reached[here[prefix]] = reached[here[prefix]] | (left & addresses)
            left = left - addresses
        gateway = interface.gateway(topology.family)
        if gateway is not None:
            hop = NextHop(interface.device, gateway)
            reached[hop] = reached.get(hop, AddressSet(topology.family)) | left
        yield from reached.items()


def _prefix_hops(topology: Topology) -> Iterator[tuple[Prefix, NextHop]]:
    """The prefixes of links and of static routes, each with its next hop."""
    for interface in topology.interfaces:
        for network in topology.link_prefixes(interface):
            yield network, NextHop(interface.device)
        for route in interface.active_routes(topology.family):
            yield route.prefix, NextHop(interface.device, route.via)


def _routes(key: _Key, table: int, topology: Topology) -> Iterator[tuple[str, Route]]:
    rules = cover(key.wanted, key.universe)
    if key.action is SetAction.TOWARDS:
        yield from _routes_towards(rules, table, topology)
        return
    include, exclude, device = {
        SetAction.SINK: (RouteType.UNICAST, RouteType.THROW, LOOPBACK),
        SetAction.PROHIBIT: (RouteType.PROHIBIT, RouteType.THROW, LOOPBACK),
        SetAction.LOCAL_FROM: (RouteType.LOCAL, RouteType.THROW, LOOPBACK),
        SetAction.ONLY_FROM: (RouteType.THROW, RouteType.BLACKHOLE, LOOPBACK),
        SetAction.VIA_FROM: (
            RouteType.UNICAST, RouteType.THROW, key.hop.device if key.hop else LOOPBACK
        ),
    }[key.action]  # fmt: skip
    by_source = key.action in (SetAction.LOCAL_FROM, SetAction.ONLY_FROM, SetAction.VIA_FROM)
    if key.action is SetAction.ONLY_FROM and rules[-1].prefix is not None:
        rules = (*rules, PrefixRule(None, include=False))
    for rule in rules:
        type_ = include if rule.include else exclude
        gateway = key.hop.gateway if key.hop and rule.include else None
        source, destination = (rule.prefix, None) if by_source else (None, rule.prefix)
        holder = device if rule.include else LOOPBACK
        excluded = type_ is RouteType.THROW and not rule.include
        note = EXCLUDED if excluded else key.action.value
        yield holder, Route(key.family, table, type_, destination, gateway, source, note)


def _routes_towards(
    rules: tuple[PrefixRule, ...], table: int, topology: Topology
) -> Iterator[tuple[str, Route]]:
    """A route for each prefix of the set: by the link that has it, by the router of a static route,
    or by the gateway. A prefix of a link or of a static route that is inside of an included prefix
    needs a route of its own.
    """
    family, note = topology.family, SetAction.TOWARDS.value
    included = {rule.prefix: rule.include for rule in rules}
    hops = dict(_prefix_hops(topology))
    gateways = (
        NextHop(interface.device, interface.gateway(family))
        for interface in topology.interfaces
        if interface.gateway(family)
    )
    gateway = next(gateways, None)
    for prefix, hop in hops.items():
        if prefix not in included and _is_included(prefix, included):
            type_ = RouteType.UNICAST
            yield hop.device, Route(family, table, type_, prefix, hop.gateway, note=note)
    for rule in rules:
        if not rule.include:
            yield LOOPBACK, Route(family, table, RouteType.THROW, rule.prefix, note=EXCLUDED)
            continue
        enclosing = rule.prefix is not None and _enclosing(rule.prefix, hops)
        next_hop = hops[enclosing] if enclosing else gateway
        if next_hop is not None:
            type_ = RouteType.UNICAST
            route = Route(family, table, type_, rule.prefix, next_hop.gateway, note=note)
            yield next_hop.device, route


def _wider(prefix: Prefix) -> Iterator[Prefix]:
    """The prefix and all that contain it, the longest first."""
    for length in range(prefix.prefixlen, -1, -1):
        yield prefix.supernet(new_prefix=length)


def _enclosing(prefix: Prefix, hops: dict[Prefix, NextHop]) -> Prefix | None:
    """The longest prefix with a next hop that contains this one."""
    networks = (network for network in hops if holds(network, prefix))
    return max(networks, key=lambda network: network.prefixlen, default=None)


def _is_included(prefix: Prefix, included: dict[Prefix | None, bool]) -> bool:
    """Whether the longest prefix that contains this one includes it."""
    decisions = (included[wider] for wider in _wider(prefix) if wider in included)
    return next(decisions, included.get(None, False))
