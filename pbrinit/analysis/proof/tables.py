"""What each table of a plan has for each class of addresses.

In: a `Plan` and the classes.  Out: `Tables`, which turns a look-up in one table into a case
distinction over classes. What the table has is asked of `fib.Fib`, with one address of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address

import z3

from pbrinit.analysis.address_classes import Classes
from pbrinit.analysis.proof.terms import (
    NONE,
    PROHIBITED,
    REFUSED,
    RESULT_BITS,
    Ask,
    Result,
    Results,
)
from pbrinit.model.fib import Fib, Flow, Lookup
from pbrinit.model.tables import entries
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Action, Plan, Rule

REFUSALS = {Action.BLACKHOLE: REFUSED, Action.PROHIBIT: PROHIBITED}


class Tables:
    """The tables of one family that rules look into."""

    def __init__(
        self,
        plan: Plan,
        family: Family,
        classes: Classes,
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
            if entry.source is not None and Family.of(entry.destination) is family
        }
        self._results = results
        self._found: dict[tuple[int, str, str | None, int], list[tuple[int, int, int]]] = {}

    def search(self, table: int, ask: Ask, after: z3.BitVecRef) -> z3.BitVecRef:
        """The route's number, or what comes `after` where the table has none."""
        made = after
        for number, sources, destinations in self._routes(table, ask):
            here = [ask.destination.within(destinations)]
            here += [ask.source.within(sources)] if table in self._by_source else []
            if any(part is False for part in here):
                continue
            condition = z3.And(*here)
            made = z3.If(condition, z3.BitVecVal(number, RESULT_BITS), made)
        return made

    def devices(self, table: int, ask: Ask) -> set[str | None]:
        """The devices by which routes lead that such a look-up may find."""
        return {self._results.known[number].device for number, _, _ in self._routes(table, ask)}

    def _routes(self, table: int, ask: Ask) -> list[tuple[int, int, int]]:
        """Results, each with the classes of sources and destinations that have it."""
        key = (table, ask.iif, ask.oif, ask.strict)
        if key not in self._found:
            rows: dict[tuple[int, int], int] = {}
            for destination in range(len(self._examples)):
                by_source: dict[int, int] = {}
                for source in self._sources(table):
                    number = self._ask(table, ask, source, destination)
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

    def _ask(self, table: int, ask: Ask, source: int, destination: int) -> int:
        chosen = source < len(self._examples)
        flow = Flow(
            self._family,
            ask.iif,
            self._examples[source] if chosen else None,
            self._examples[destination],
            uid=table,
            oif=ask.oif,
            strict=bool(ask.strict >> destination & 1),
        )
        trace = self._fib.look_up(Lookup.INPUT, flow)
        if trace.refused is not None:
            return self._results.number(REFUSALS[trace.refused])
        hit = trace.hit
        if hit is None:
            return NONE
        group = hit.destination.network_address.is_multicast
        return self._results.number(Result(hit.kind, hit.device, group, hit.gateway))
