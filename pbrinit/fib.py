"""Routing tables and rules as the kernel holds them once a plan is in force, and the look-up.

In: a `Plan`.  Out: `Fib`, which answers a `Flow` with a `Trace`.  All links are taken to be
up.  Functions named are those of Linux 6.12; where a later kernel was asked, it agreed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from pbrinit.addresses import Address, Family, InterfaceAddress, Prefix
from pbrinit.layout import LOOPBACK, host
from pbrinit.plan import TABLE_LOCAL, TABLE_MAIN, Action, Link, Plan, RouteKind, Rule
from pbrinit.policy import Ports

LAST_WITH_BROADCAST = 30
"""The longest prefix that has a broadcast address (RFC 3021)."""

ALL: dict[Family, Prefix] = {
    Family.V4: IPv4Network("0.0.0.0/0"),
    Family.V6: IPv6Network("::/0"),
}
LOOPBACK_NETWORK = IPv4Network("127.0.0.0/8")
LOOPBACK_6 = IPv6Network("::1/128")
LINK_LOCAL = IPv6Network("fe80::/64")
MULTICAST_6 = IPv6Network("ff00::/8")


class Kind(enum.Enum):
    """What a route does (RTN_* in linux/rtnetlink.h)."""

    UNICAST = "unicast"
    LOCAL = "local"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    THROW = "throw"


@dataclass(frozen=True)
class Entry:
    """One route in a table."""

    table: int
    kind: Kind
    destination: Prefix
    device: str
    gateway: Address | None = None

    def __str__(self) -> str:
        kind = "" if self.kind is Kind.UNICAST else f"{self.kind.value} "
        via = f" via {self.gateway}" if self.gateway else ""
        return f"{kind}{self.destination}{via} dev {self.device}"


@dataclass(frozen=True)
class Flow:
    """What is looked up (struct flowi4, struct flowi6).

    `source` None is IPv4's 0.0.0.0, or an IPv6 look-up without RT6_LOOKUP_F_HAS_SADDR.
    `strict` is RT6_LOOKUP_F_IFACE: only routes by `oif` count; it means nothing in IPv4.
    """

    family: Family
    iif: str
    source: Address | None
    destination: Address
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    uid: int = 0
    oif: str | None = None
    strict: bool = False


class Lookup(enum.Enum):
    """Which look-up of a packet this is."""

    INPUT = "input"
    RETURN_PATH = "return path"
    OUTPUT_FIRST = "output, source still to be chosen"
    OUTPUT = "output"


@dataclass(frozen=True)
class Step:
    """One rule that matched, and what came of it; `hit` is the route that its table had."""

    rule: Rule
    hit: Entry | None = None


@dataclass(frozen=True)
class Trace:
    """One look-up: the rules that matched, in order, and the route or the refusal at its end.

    With neither no rule took the packet, which the kernel calls ENETUNREACH.
    """

    lookup: Lookup
    flow: Flow
    steps: tuple[Step, ...]
    hit: Entry | None = None
    refused: Action | None = None

    @property
    def rule(self) -> Rule | None:
        """The rule that decided."""
        decided = self.hit is not None or self.refused is not None
        return self.steps[-1].rule if decided else None


@dataclass(frozen=True)
class _Selector:
    """A rule, its prefixes as masks and values, so that matching is a matter of integers."""

    rule: Rule
    source: tuple[int, int] | None
    destination: tuple[int, int] | None

    def matches(self, flow: Flow, source: int | None, destination: int) -> bool:
        """Whether the rule is about this flow.

        fib_rule_match (net/core/fib_rules.c); fib4_rule_match: no source is 0.0.0.0;
        fib6_rule_match: a rule with a source is not about a flow without one.
        """
        rule = self.rule
        if rule.iif is not None and rule.iif != flow.iif:
            return False
        return (
            (rule.protocol is None or rule.protocol == flow.protocol)
            and (rule.oif is None or rule.oif == flow.oif)
            and (rule.uid is None or rule.uid == flow.uid)
            and (self.destination is None or _holds(self.destination, destination))
            and (self.source is None or (source is not None and _holds(self.source, source)))
            and _within(flow.source_port, rule.source_ports)
            and _within(flow.destination_port, rule.destination_ports)
        )


def _holds(prefix: tuple[int, int], address: int) -> bool:
    mask, value = prefix
    return address & mask == value


def _within(port: int, ports: Ports | None) -> bool:
    return ports is None or ports.first <= port <= ports.last


def _masked(prefix: Prefix | None) -> tuple[int, int] | None:
    if prefix is None or prefix.prefixlen == 0:
        return None
    return int(prefix.netmask), int(prefix.network_address)


class Fib:
    """The rules and tables of a plan in force.

    `link_local` gives the link-local address that the kernel made for a device; where it is
    not known, no destination in fe80::/64 is this machine's.
    """

    def __init__(self, plan: Plan, link_local: Mapping[str, IPv6Address]) -> None:
        self._rules: dict[Family, list[_Selector]] = {}
        self._labels: dict[Family, dict[int, int]] = {}
        for family in Family:
            rules = sorted((r for r in plan.rules if r.family is family), key=_preference)
            self._rules[family] = [
                _Selector(rule, _masked(rule.source), _masked(rule.destination)) for rule in rules
            ]
            self._labels[family] = {
                rule.preference: at for at, rule in reversed(list(enumerate(rules)))
            }
        self._tables: dict[tuple[Family, int], list[tuple[int, dict[int, list[Entry]]]]] = {}
        for entry in dict.fromkeys(_entries(plan, link_local)):
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        family = Family.of(entry.destination)
        table = self._tables.setdefault((family, entry.table), [])
        mask, value = int(entry.destination.netmask), int(entry.destination.network_address)
        for known, found in table:
            if known == mask:
                found.setdefault(value, []).append(entry)
                return
        table.append((mask, {value: [entry]}))
        table.sort(key=lambda item: -item[0])

    def dissects(self, family: Family) -> bool:
        """Whether the kernel reads protocol and ports from packets on their way in.

        fib_rule_requires_fldissect (include/net/fib_rules.h): only if a rule asks for them
        that is not about `iif lo`.
        """
        return any(
            s.rule.iif != LOOPBACK
            and (s.rule.protocol or s.rule.source_ports or s.rule.destination_ports)
            for s in self._rules[family]
        )

    def local_device(self, address: Address) -> str | None:
        """The device of an IPv4 address that is this machine's, by the table local alone."""
        flow = Flow(Family.V4, LOOPBACK, None, address)
        hit = self._search(flow, TABLE_LOCAL, int(address))
        return hit.device if hit is not None and hit.kind is Kind.LOCAL else None

    def look_up(self, lookup: Lookup, flow: Flow) -> Trace:
        """Walk the rules as fib_rules_lookup (net/core/fib_rules.c) does.

        A table that has nothing, or a `throw`, is -EAGAIN: the next rule is asked.  A goto
        whose target is not there is passed over.
        """
        rules, labels = self._rules[flow.family], self._labels[flow.family]
        unspecified = 0 if flow.family is Family.V4 else None
        source = int(flow.source) if flow.source is not None else unspecified
        destination = int(flow.destination)
        steps: list[Step] = []
        at = 0
        while at < len(rules):
            selector = rules[at]
            at += 1
            if not selector.matches(flow, source, destination):
                continue
            rule = selector.rule
            if rule.action is Action.NOP:
                continue
            if rule.action is Action.GOTO:
                if rule.argument in labels:
                    steps.append(Step(rule))
                    at = labels[rule.argument]
                continue
            if rule.action is not Action.LOOKUP:
                steps.append(Step(rule))
                return Trace(lookup, flow, tuple(steps), refused=rule.action)
            hit = self._search(flow, rule.argument or 0, destination)
            steps.append(Step(rule, hit))
            if hit is not None and hit.kind is not Kind.THROW:
                return Trace(lookup, flow, tuple(steps), hit)
        return Trace(lookup, flow, tuple(steps))

    def _search(self, flow: Flow, table: int, destination: int) -> Entry | None:
        """The longest prefix that holds the destination, by a device that will do.

        fib_table_lookup (net/ipv4/fib_trie.c): a throw ends the search at once; of the rest
        only what leaves by the flow's oif counts (fib_lookup_good_nhc).
        fib6_table_lookup, rt6_score_route (net/ipv6/route.c): the device is a must only where
        strict, else a preference; a throw has the device lo.
        """
        four = flow.family is Family.V4
        device = flow.oif
        if not four and device is None and flow.iif != LOOPBACK:
            device = flow.iif
        for mask, found in self._tables.get((flow.family, table), ()):
            entries = found.get(destination & mask, [])
            if device is None:
                chosen = entries
            elif four:
                chosen = [e for e in entries if e.kind is Kind.THROW or e.device == device]
            else:
                chosen = [e for e in entries if e.device == device]
                chosen = chosen if chosen or flow.strict else entries
            if chosen:
                return chosen[0]
        return None


def _preference(rule: Rule) -> int:
    return rule.preference


def _entries(plan: Plan, link_local: Mapping[str, IPv6Address]) -> Iterator[Entry]:
    """What the kernel puts into its tables for the addresses, and the plan's own routes."""
    yield Entry(TABLE_LOCAL, Kind.LOCAL, LOOPBACK_NETWORK, LOOPBACK)
    yield Entry(TABLE_LOCAL, Kind.LOCAL, IPv4Network("127.0.0.1/32"), LOOPBACK)
    yield Entry(TABLE_LOCAL, Kind.BROADCAST, IPv4Network("127.255.255.255/32"), LOOPBACK)
    yield Entry(TABLE_LOCAL, Kind.LOCAL, LOOPBACK_6, LOOPBACK)
    for link in plan.links:
        for address in link.addresses:
            yield from _of_address(address, link.device)
        if any(address.version == Family.V6.version for address in link.addresses):
            yield Entry(TABLE_MAIN, Kind.UNICAST, LINK_LOCAL, link.device)
            yield Entry(TABLE_LOCAL, Kind.MULTICAST, MULTICAST_6, link.device)
            if link.device in link_local:
                own = IPv6Network(link_local[link.device])
                yield Entry(TABLE_LOCAL, Kind.LOCAL, own, link.device)
        yield from _of_plan(link)


def _of_address(address: InterfaceAddress, device: str) -> Iterator[Entry]:
    """fib_add_ifaddr (net/ipv4/fib_frontend.c), inet6_addr_add (net/ipv6/addrconf.c)."""
    own = host(address)
    yield Entry(TABLE_LOCAL, Kind.LOCAL, own, device)
    network = address.network
    if address.version == Family.V6.version or network.prefixlen < network.max_prefixlen:
        yield Entry(TABLE_MAIN, Kind.UNICAST, network, device)
    if isinstance(network, IPv4Network) and network.prefixlen <= LAST_WITH_BROADCAST:
        broadcast = IPv4Network(network.broadcast_address)
        yield Entry(TABLE_LOCAL, Kind.BROADCAST, broadcast, device)


def _of_plan(link: Link) -> Iterator[Entry]:
    for route in (*link.early_routes, *link.routes):
        throws = route.kind is RouteKind.THROW
        destination: Prefix = ALL[route.family] if route.destination is None else route.destination
        yield Entry(
            route.table,
            Kind(route.kind.value),
            destination,
            LOOPBACK if throws else link.device,
            route.gateway,
        )
