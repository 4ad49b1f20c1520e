"""Routing tables that hold sets of addresses which are too large for rules.

In: a set, and what is to become of the packets whose destination (or, in IPv6, source) is in it.
Out: the number of a table, and in the end the routes of all tables, by the device that holds
them.  The same set with the same use is one table.

However many prefixes a table has, to look one up costs the same (fib_trie, fib6 tree).  What is
not in the set is `throw`, or in no route at all: the look-up goes on with the next rule.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from pbrinit.compiler.layout import TABLE_SETS
from pbrinit.compiler.prefix_cover import Piece, pieces
from pbrinit.net.addresses import Address, AddressSet, Family, Prefix, holds
from pbrinit.plan.plan import LOOPBACK, Route, RouteKind
from pbrinit.policy.topology import Places

LEFT_OUT = "left out: on to the next rule"


class Use(enum.Enum):
    """What becomes of a packet whose address is in the set."""

    TOWARDS = "leaves by the way to its destination"
    SINK = "comes back to this machine; only the return path check is content with it"
    PROHIBIT = "is refused, and its sender told"
    LOCAL_FROM = "is delivered, for its source"
    ONLY_FROM = "goes on to the next rule, for its source; all others end here"
    VIA_FROM = "leaves by one way, for its source"


@dataclass(frozen=True)
class Hop:
    """A way out: a device, and a router of its link for those who are not on it."""

    device: str
    gateway: Address | None = None


@dataclass(frozen=True)
class _Key:
    use: Use
    family: Family
    meant: AddressSet
    matter: AddressSet
    hop: Hop | None


class Tables:
    """The tables of a plan, as they are asked for."""

    def __init__(self) -> None:
        self._numbers: dict[_Key, int] = {}
        self._routes: dict[str, list[Route]] = {}
        self.names: list[tuple[int, str]] = []

    def routes(self, device: str) -> tuple[Route, ...]:
        """The routes that a device holds."""
        return tuple(self._routes.get(device, ()))

    def table(
        self,
        use: Use,
        places: Places,
        meant: AddressSet,
        matter: AddressSet,
        hop: Hop | None = None,
    ) -> int:
        """The number of the table in which `meant` has this use, among addresses that `matter`."""
        key = _Key(use, places.family, meant, matter, hop)
        if key not in self._numbers:
            number = TABLE_SETS + len(self._numbers)
            self._numbers[key] = number
            self.names.append((number, f"set.{len(self._numbers)}"))
            for device, route in _routes(key, number, places):
                self._routes.setdefault(device, []).append(route)
        return self._numbers[key]


def hops(places: Places) -> Iterator[tuple[Hop, AddressSet]]:
    """Each way out, with who is reached by it."""
    ways = dict(_ways(places))
    for interface in places.interfaces:
        left = places.behind(interface)
        here = {prefix: hop for prefix, hop in ways.items() if hop.device == interface.device}
        found = {hop: AddressSet(places.family) for hop in here.values()}
        for prefix in sorted(here, key=lambda prefix: -prefix.prefixlen):
            there = AddressSet.of(places.family, [prefix])
            found[here[prefix]] = found[here[prefix]] | (left & there)
            left = left - there
        gateway = interface.gateway(places.family)
        if gateway is not None:
            hop = Hop(interface.device, gateway)
            found[hop] = found.get(hop, AddressSet(places.family)) | left
        yield from found.items()


def _ways(places: Places) -> Iterator[tuple[Prefix, Hop]]:
    """The prefixes of links and those beyond routers of links, each with its way out."""
    for interface in places.interfaces:
        for network in places.links(interface):
            yield network, Hop(interface.device)
        for route in interface.routed(places.family):
            yield route.prefix, Hop(interface.device, route.via)


def _routes(key: _Key, table: int, places: Places) -> Iterator[tuple[str, Route]]:
    found = pieces(key.meant, key.matter)
    if key.use is Use.TOWARDS:
        yield from _towards(found, table, places)
        return
    yes, no, device = {
        Use.SINK: (RouteKind.UNICAST, RouteKind.THROW, LOOPBACK),
        Use.PROHIBIT: (RouteKind.PROHIBIT, RouteKind.THROW, LOOPBACK),
        Use.LOCAL_FROM: (RouteKind.LOCAL, RouteKind.THROW, LOOPBACK),
        Use.ONLY_FROM: (RouteKind.THROW, RouteKind.BLACKHOLE, LOOPBACK),
        Use.VIA_FROM: (RouteKind.UNICAST, RouteKind.THROW, key.hop.device if key.hop else LOOPBACK),
    }[key.use]
    by_source = key.use in (Use.LOCAL_FROM, Use.ONLY_FROM, Use.VIA_FROM)
    if key.use is Use.ONLY_FROM and found[-1].prefix is not None:
        found = (*found, Piece(None, yes=False))
    for piece in found:
        kind = yes if piece.yes else no
        gateway = key.hop.gateway if key.hop and piece.yes else None
        source, destination = (piece.prefix, None) if by_source else (None, piece.prefix)
        holder = device if piece.yes else LOOPBACK
        note = LEFT_OUT if kind is RouteKind.THROW and not piece.yes else key.use.value
        yield holder, Route(key.family, table, kind, destination, gateway, source, note)


def _towards(found: tuple[Piece, ...], table: int, places: Places) -> Iterator[tuple[str, Route]]:
    """A prefix that is meant leads to the link that has it, or to the router of a link, or else to
    the gateway; the prefix of a link, or a route's, within a wider one that is meant needs a route
    of its own.
    """
    family, note = places.family, Use.TOWARDS.value
    said = {piece.prefix: piece.yes for piece in found}
    ways = dict(_ways(places))
    gates = (Hop(i.device, i.gateway(family)) for i in places.interfaces if i.gateway(family))
    gateway = next(gates, None)
    for prefix, hop in ways.items():
        if prefix not in said and _inherits(prefix, said):
            kind = RouteKind.UNICAST
            yield hop.device, Route(family, table, kind, prefix, hop.gateway, note=note)
    for piece in found:
        if not piece.yes:
            yield LOOPBACK, Route(family, table, RouteKind.THROW, piece.prefix, note=LEFT_OUT)
            continue
        near = piece.prefix is not None and _enclosing(piece.prefix, ways)
        hop_ = ways[near] if near else gateway
        if hop_ is not None:
            kind = RouteKind.UNICAST
            yield hop_.device, Route(family, table, kind, piece.prefix, hop_.gateway, note=note)


def _wider(prefix: Prefix) -> Iterator[Prefix]:
    """The prefix and all that hold it, the longest first."""
    for length in range(prefix.prefixlen, -1, -1):
        yield prefix.supernet(new_prefix=length)


def _enclosing(prefix: Prefix, ways: dict[Prefix, Hop]) -> Prefix | None:
    """The longest prefix that holds this one and has a way out."""
    found = (network for network in ways if holds(network, prefix))
    return max(found, key=lambda network: network.prefixlen, default=None)


def _inherits(prefix: Prefix, said: dict[Prefix | None, bool]) -> bool:
    """What the nearest wider prefix says."""
    found = (said[wider] for wider in _wider(prefix) if wider in said)
    return next(found, said.get(None, False))
