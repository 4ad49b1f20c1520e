"""Rules as the kernel holds them once a plan is in force, and the look-up.

In: a `Plan`.  Out: `Fib`, which answers a `Flow` with a `Trace`.  Functions named are those of
Linux 6.12; where a later kernel was asked, it agreed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address

from pbrinit.model.tables import FibEntry, tables
from pbrinit.net.addresses import Address, Family, Prefix
from pbrinit.net.services import Ports
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, Action, Plan, RouteType, Rule

REFUSES = {RouteType.BLACKHOLE: Action.BLACKHOLE, RouteType.PROHIBIT: Action.PROHIBIT}
"""Kinds of routes that refuse a packet as a rule does (fib_props, fib6_prop)."""


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
    hit: FibEntry | None = None


@dataclass(frozen=True)
class Trace:
    """One look-up: the rules that matched, in order, and the route or the refusal at its end.

    A route that refuses is no `hit`, but the last step has it.  With neither no rule took the
    packet, which the kernel calls ENETUNREACH.
    """

    lookup: Lookup
    flow: Flow
    steps: tuple[Step, ...]
    hit: FibEntry | None = None
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
        self._tables = tables(plan, link_local)

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
        hit = self._tables.search_4(TABLE_LOCAL, int(address), None)
        return hit.device if hit is not None and hit.type is RouteType.LOCAL else None

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
            hit = self._search(flow, rule.argument or 0, source or 0, destination)
            steps.append(Step(rule, hit))
            if hit is not None and hit.type in REFUSES:
                return Trace(lookup, flow, tuple(steps), refused=REFUSES[hit.type])
            if hit is not None and hit.type is not RouteType.THROW:
                return Trace(lookup, flow, tuple(steps), hit)
        return Trace(lookup, flow, tuple(steps))

    def _search(self, flow: Flow, table: int, source: int, destination: int) -> FibEntry | None:
        """What a table has. IPv6 wants the way in where it has no way out
        (ip6_pol_route_input, net/ipv6/route.c).
        """
        if flow.family is Family.V4:
            return self._tables.search_4(table, destination, flow.oif)
        device = flow.oif or (flow.iif if flow.iif != LOOPBACK else None)
        return self._tables.search_6(table, destination, source, device, strict=flow.strict)


def _preference(rule: Rule) -> int:
    return rule.preference
