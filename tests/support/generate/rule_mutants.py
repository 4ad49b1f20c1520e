"""Plans with one rule changed: dropped, swapped with its neighbour, widened, or turned round.

In: a `Plan`.  Out: every mutant with what was done to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pbrinit.net.addresses import Prefix
from pbrinit.net.services import Ports
from pbrinit.plan.plan import TABLE_MAIN, Action, Plan, Rule

LAST_PORT = 65534
"""The last one that a rule can name."""

OTHER = {Action.BLACKHOLE: Action.PROHIBIT, Action.PROHIBIT: Action.BLACKHOLE}


@dataclass(frozen=True)
class Mutant:
    """A plan that is another by one rule; `what` was done to the rule at `preference`."""

    what: str
    rule: Rule
    plan: Plan

    def __str__(self) -> str:
        return f"{self.what}: {self.rule}"


def mutants(plan: Plan) -> Iterator[Mutant]:
    """Every mutant of every rule that a kernel would take."""
    return (mutant for mutant in _mutants(plan) if _leads_forward(mutant.plan))


def _leads_forward(plan: Plan) -> bool:
    """Whether each goto does (fib_nl2rule, net/core/fib_rules.c, refuses others)."""
    return all((rule.argument or 0) > rule.preference for rule in plan.rules
               if rule.action is Action.GOTO)  # fmt: skip


def _mutants(plan: Plan) -> Iterator[Mutant]:
    rooms = [number for number, name in plan.tables if name.startswith("room.")]
    rooms = rooms if len(rooms) > 1 else []
    for at, rule in enumerate(plan.rules):
        before, after = plan.rules[:at], plan.rules[at + 1 :]
        yield Mutant("dropped", rule, replace(plan, rules=(*before, *after)))
        if after and after[0].family is rule.family:
            other = after[0]
            swapped = (
                replace(other, preference=rule.preference),
                replace(rule, preference=other.preference),
            )
            yield Mutant("swapped", rule, replace(plan, rules=(*before, *swapped, *after[1:])))
        for what, changed in _changed(rule, rooms):
            yield Mutant(what, rule, replace(plan, rules=(*before, changed, *after)))


def _changed(rule: Rule, rooms: list[int]) -> Iterator[tuple[str, Rule]]:
    """Changes of a rule; `rooms` are the tables that lead into rooms, where there are several."""
    yield from _wider(rule)
    if rule.action in (Action.BLACKHOLE, Action.PROHIBIT):
        yield "passed over", replace(rule, action=Action.NOP)
        yield "refuses in another way", replace(rule, action=OTHER[rule.action])
        yield "lets through", replace(rule, action=Action.LOOKUP, argument=TABLE_MAIN)
    elif rule.action is not Action.NOP:
        yield "refuses", replace(rule, action=Action.BLACKHOLE, argument=None)
    if rule.action is Action.LOOKUP and rule.argument in rooms:
        other = rooms[(rooms.index(rule.argument) + 1) % len(rooms)]
        yield "into another room", replace(rule, argument=other)


def _wider(rule: Rule) -> Iterator[tuple[str, Rule]]:
    if rule.source is not None:
        yield "source one bit wider", replace(rule, source=_above(rule.source))
    if rule.destination is not None:
        yield "destination one bit wider", replace(rule, destination=_above(rule.destination))
    for ports in _more(rule.source_ports):
        yield f"source ports {ports}", replace(rule, source_ports=ports)
    for ports in _more(rule.destination_ports):
        yield f"destination ports {ports}", replace(rule, destination_ports=ports)
    if rule.protocol is not None and not rule.source_ports and not rule.destination_ports:
        yield "any protocol", replace(rule, protocol=None)
    if rule.uid is not None:
        yield "any user", replace(rule, uid=None)
    if rule.iif is not None:
        yield "from anywhere", replace(rule, iif=None)
    if rule.oif is not None:
        yield "by any device", replace(rule, oif=None)


def _above(prefix: Prefix) -> Prefix | None:
    """A prefix of length 0 is none to the kernel."""
    return prefix.supernet() if prefix.prefixlen > 1 else None


def _more(ports: Ports | None) -> Iterator[Ports | None]:
    if ports is not None:
        yield from () if ports.first == 1 else (Ports(ports.first - 1, ports.last),)
        yield from () if ports.last == LAST_PORT else (Ports(ports.first, ports.last + 1),)
        yield None
