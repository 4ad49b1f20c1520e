"""A plan's look-ups for all packets at once, as z3 expressions.

In: a `Plan`, the classes of addresses, and variables for what a packet has.  Out: for one
look-up the expression of its result, a number that `Results` knows.  It follows `fib.Fib`:
the rules from the last to the first, so that each says "if I match …, else what the next says".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from ipaddress import IPv6Address

import z3

from pbrinit.analysis.address_classes import AddressClasses
from pbrinit.analysis.proof.terms import (
    NONE,
    PROHIBITED,
    REFUSED,
    RESULT_BITS,
    Result,
    Results,
    SymbolicFlow,
    in_ports,
)
from pbrinit.model.fib import Fib, Flow, Lookup
from pbrinit.model.tables import entries
from pbrinit.net.addresses import AddressSet, Family, Prefix, family_of
from pbrinit.plan.plan import Action, Plan, Rule

PROTOCOLS = range(256)


@dataclass(frozen=True)
class RuleGroup:
    """Rules in a row that differ by their protocol alone: one rule about several protocols."""

    rule: Rule
    protocols: frozenset[int]
    target: int | None = None


class SymbolicRules:
    """The rules and tables of one family of a plan."""

    def __init__(
        self,
        plan: Plan,
        family: Family,
        classes: AddressClasses,
        prefixes: Mapping[Prefix, AddressSet],
        link_local: Mapping[str, IPv6Address],
    ) -> None:
        self.results = Results()
        self._masks = {prefix: classes.mask(found) for prefix, found in prefixes.items()}
        self._groups = tuple(rule_groups(plan, family))
        self._tables = SymbolicTables(plan, family, classes, link_local, self.results)
        self._made: dict[tuple[object, ...], tuple[tuple[object, ...], z3.BitVecRef]] = {}
        self.dissects = Fib(replace(plan, links=()), {}).dissects(family)

    def protocols(self, named: Iterable[int]) -> list[frozenset[int]]:
        """Protocols in groups that no rule tells apart, nor anybody who names some of them."""
        names = set(named)
        groups: dict[tuple[object, ...], set[int]] = {}
        several = [run.protocols for run in self._groups if len(run.protocols) < len(PROTOCOLS)]
        for protocol in PROTOCOLS:
            alone = protocol if protocol in names else None
            key = (alone, *(protocol in those for those in several))
            groups.setdefault(key, set()).add(protocol)
        return [frozenset(group) for group in groups.values()]

    def met(self, flow: SymbolicFlow) -> tuple[tuple[RuleGroup, int | None], ...]:
        """The runs that a look-up can come to, each with where its goto leads among them:
        look-ups that come to the same have the same result.
        """
        found = self._reached(flow)
        place = {at: number for number, at in enumerate(found)}
        return tuple(
            (replace(self._groups[at], target=None), place.get(self._groups[at].target or -1))
            for at in found
        )

    def look_up(self, flow: SymbolicFlow) -> z3.BitVecRef:
        """The number of the result, as fib_rules_lookup (net/core/fib_rules.c) finds it.

        Several claims rest on one look-up: the way back by an interface on that of every room.
        """
        ends = (flow.source, flow.destination, flow.source_port, flow.destination_port, flow.uid)
        key = (flow.iif, flow.oif, flow.protocol, flow.strict, *map(id, ends))
        if key not in self._made:
            self._made[key] = ends, self._look_up(flow)
        return self._made[key][1]

    def _look_up(self, flow: SymbolicFlow) -> z3.BitVecRef:
        none = z3.BitVecVal(NONE, RESULT_BITS)
        rest: dict[int, z3.BitVecRef] = {}
        after = none
        for at in reversed(self._reached(flow)):
            run = self._groups[at]
            condition = self._condition(run, flow)
            then = after
            if run.rule.action is Action.GOTO:
                then = rest.get(run.target, none) if run.target is not None else after
            elif run.rule.action is Action.LOOKUP:
                then = self._tables.search(run.rule.argument or 0, flow, after)
            elif run.rule.action in REFUSALS:
                number = self.results.number(REFUSALS[run.rule.action])
                then = z3.BitVecVal(number, RESULT_BITS)
            after = then if condition is True else z3.If(condition, then, after)
            rest[at] = after
        return after

    def devices(self, flow: SymbolicFlow) -> set[str | None]:
        """The devices by which a look-up may lead a packet, whatever its addresses and ports."""
        rules = (self._groups[at].rule for at in self._reached(flow))
        tables = {rule.argument or 0 for rule in rules if rule.action is Action.LOOKUP}
        return {device for table in tables for device in self._tables.devices(table, flow)}

    def _reached(self, flow: SymbolicFlow) -> list[int]:
        """The runs that some packet of this kind comes to and that may be about it, in order.
        A goto's target is among them whatever it is.
        """
        waiting = [0]
        met: set[int] = set()
        targets: set[int] = set()
        found = []
        while waiting:
            at = heappop(waiting)
            if at in met or at >= len(self._groups):
                continue
            met.add(at)
            run = self._groups[at]
            condition = self._condition(run, flow)
            if condition is not False or at in targets:
                found.append(at)
            if condition is True and run.rule.action is Action.GOTO and run.target is not None:
                heappush(waiting, run.target)
                targets.add(run.target)
                continue
            if condition is True and run.rule.action in REFUSALS:
                continue
            heappush(waiting, at + 1)
            if condition is not False and run.target is not None:
                heappush(waiting, run.target)
                targets.add(run.target)
        return found

    def _condition(self, run: RuleGroup, flow: SymbolicFlow) -> z3.BoolRef | bool:
        """Whether a run's rule is about the packet; True and False where that is known.

        fib_rule_match (net/core/fib_rules.c), as `fib.Fib` has it.
        """
        rule = run.rule
        known = (
            flow.protocol in run.protocols
            and rule.iif in (None, flow.iif)
            and rule.oif in (None, flow.oif)
        )
        if not known:
            return False
        parts: list[z3.BoolRef | bool] = []
        for end, prefix in ((flow.source, rule.source), (flow.destination, rule.destination)):
            if prefix is not None and prefix.prefixlen:
                parts.append(end.within(self._masks[prefix]))
        for port, ports in (
            (flow.source_port, rule.source_ports),
            (flow.destination_port, rule.destination_ports),
        ):
            if ports is not None:
                parts.append(in_ports(port, ports))
        if rule.uid is not None:
            parts.append(flow.uid == rule.uid)
        open_ = [part for part in parts if part is not True]
        if any(part is False for part in open_):
            return False
        return z3.And(*open_) if open_ else True


def rule_groups(plan: Plan, family: Family) -> Iterable[RuleGroup]:
    """The rules of a family in order, those that differ by protocol alone taken together:
    which of them comes first makes no difference then.
    """
    rules = sorted((r for r in plan.rules if r.family is family), key=lambda r: r.preference)
    labels = {rule.argument for rule in rules if rule.action is Action.GOTO}
    first_of: dict[int, int] = {}
    made: list[tuple[Rule, set[int]]] = []
    for rule in rules:
        bare = replace(rule, preference=0, protocol=None, note="", entries=())
        protocols = {rule.protocol} if rule.protocol is not None else set(PROTOCOLS)
        joins = made and made[-1][0] == bare and rule.preference not in labels
        if joins:
            made[-1][1].update(protocols)
        else:
            made.append((bare, protocols))
        first_of.setdefault(rule.preference, len(made) - 1)
    for bare, found in made:
        target = first_of.get(bare.argument or 0) if bare.action is Action.GOTO else None
        yield RuleGroup(bare, frozenset(found), target)


REFUSALS = {Action.BLACKHOLE: REFUSED, Action.PROHIBIT: PROHIBITED}


class SymbolicTables:
    """The tables of one family that rules look into."""

    def __init__(
        self,
        plan: Plan,
        family: Family,
        classes: AddressClasses,
        link_local: Mapping[str, IPv6Address],
        results: Results,
    ) -> None:
        tables = {r.argument or 0 for r in plan.rules
                  if r.action is Action.LOOKUP and r.family is family}  # fmt: skip
        # One rule for each table, told apart by the user, so that Fib answers for one table.
        rules = tuple(
            Rule(family, number, Action.LOOKUP, table, uid=table)
            for number, table in enumerate(sorted(tables), 1)
        )
        self._fib = Fib(replace(plan, rules=rules), link_local)
        self._family = family
        self._examples = [classes.example(number) for number in range(len(classes))]
        self._by_source = {
            entry.table
            for entry in entries(plan, link_local)
            if entry.source is not None and family_of(entry.destination) is family
        }
        self._results = results
        self._found: dict[tuple[int, str, str | None, int], list[tuple[int, int, int]]] = {}

    def search(self, table: int, flow: SymbolicFlow, after: z3.BitVecRef) -> z3.BitVecRef:
        """The route's number, or what comes `after` where the table has none."""
        made = after
        for number, sources, destinations in self._routes(table, flow):
            here = [flow.destination.within(destinations)]
            here += [flow.source.within(sources)] if table in self._by_source else []
            if any(part is False for part in here):
                continue
            condition = z3.And(*here)
            made = z3.If(condition, z3.BitVecVal(number, RESULT_BITS), made)
        return made

    def devices(self, table: int, flow: SymbolicFlow) -> set[str | None]:
        """The devices by which routes lead that such a look-up may find."""
        return {self._results.known[number].device for number, _, _ in self._routes(table, flow)}

    def _routes(self, table: int, flow: SymbolicFlow) -> list[tuple[int, int, int]]:
        """Results, each with the classes of sources and destinations that have it."""
        key = (table, flow.iif, flow.oif, flow.strict)
        if key not in self._found:
            rows: dict[tuple[int, int], int] = {}
            for destination in range(len(self._examples)):
                by_source: dict[int, int] = {}
                for source in self._sources(table):
                    number = self._result(table, flow, source, destination)
                    by_source[number] = by_source.get(number, 0) | 1 << source
                for number, sources in by_source.items():
                    if number != NONE:
                        row = (number, sources)
                        rows[row] = rows.get(row, 0) | 1 << destination
            self._found[key] = [(*row, destinations) for row, destinations in rows.items()]
        return self._found[key]

    def _sources(self, table: int) -> range:
        """The classes of sources to be asked; the last stands for none (IPv6)."""
        return range(len(self._examples) + 1) if table in self._by_source else range(1)

    def _result(self, table: int, flow: SymbolicFlow, source: int, destination: int) -> int:
        chosen = source < len(self._examples)
        example = Flow(
            self._family,
            flow.iif,
            self._examples[source] if chosen else None,
            self._examples[destination],
            uid=table,
            oif=flow.oif,
            strict=bool(flow.strict >> destination & 1),
        )
        trace = self._fib.look_up(Lookup.INPUT, example)
        if trace.refused is not None:
            return self._results.number(REFUSALS[trace.refused])
        hit = trace.hit
        if hit is None:
            return NONE
        group = hit.destination.network_address.is_multicast
        return self._results.number(Result(hit.type, hit.device, group, hit.gateway))
