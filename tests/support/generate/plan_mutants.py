"""Plans that differ from another by one thing, for the model alone.

In: a `Plan` and the fields of the rule or route that is meant.  Out: the other `Plan`.
"""

from __future__ import annotations

from dataclasses import replace

from pbrinit.plan.plan import Action, Link, Plan, Route, Rule


def _has(about: Rule | Route, wanted: dict[str, object]) -> bool:
    return all(getattr(about, key) == value for key, value in wanted.items())


def with_rules(plan: Plan, *rules: Rule) -> Plan:
    """The plan with other rules altogether."""
    return replace(plan, rules=rules)


def a_rule(plan: Plan, **wanted: object) -> Rule:
    """The first rule of the plan with these fields."""
    return next(rule for rule in plan.rules if _has(rule, wanted))


def without(plan: Plan, **wanted: object) -> Plan:
    """The plan without a rule."""
    lost = a_rule(plan, **wanted)
    return replace(plan, rules=tuple(rule for rule in plan.rules if rule is not lost))


def without_notes(plan: Plan, *notes: str) -> Plan:
    """The plan without the rules whose note begins with one of these."""
    rules = tuple(rule for rule in plan.rules if not rule.note.startswith(notes))
    assert len(rules) < len(plan.rules)
    return replace(plan, rules=rules)


def changed(plan: Plan, change: dict[str, object], **wanted: object) -> Plan:
    """The plan with a rule that says something else."""
    old = a_rule(plan, **wanted)
    new = replace(old, **change)  # type: ignore[arg-type]
    return replace(plan, rules=tuple(new if rule is old else rule for rule in plan.rules))


def swapped(plan: Plan, one: Rule, other: Rule) -> Plan:
    """The plan with two rules in each other's place."""
    places = {
        one: replace(one, preference=other.preference),
        other: replace(other, preference=one.preference),
    }
    return replace(plan, rules=tuple(places.get(rule, rule) for rule in plan.rules))


def rerouted(plan: Plan, change: dict[str, object], **wanted: object) -> Plan:
    """The plan with a route that says something else."""
    routes = (route for link in plan.links for route in (*link.preaddress_routes, *link.routes))
    old = next(route for route in routes if _has(route, wanted))
    new = replace(old, **change)  # type: ignore[arg-type]
    return replace(plan, links=tuple(_with(link, old, new) for link in plan.links))


def _with(link: Link, old: Route, new: Route) -> Link:
    return replace(
        link,
        preaddress_routes=tuple(new if route is old else route for route in link.preaddress_routes),
        routes=tuple(new if route is old else route for route in link.routes),
    )


def first_of_all(plan: Plan, rule: Rule) -> Plan:
    """The plan with a rule before all others, which are moved on by one; it has preference 1."""
    moved = (
        replace(
            other,
            preference=other.preference + 1,
            argument=other.argument + 1
            if other.action is Action.GOTO and other.argument is not None
            else other.argument,
        )
        for other in plan.rules
    )
    return replace(plan, rules=(replace(rule, preference=1), *moved))


def renumbered(plan: Plan, number: int, other: int) -> Plan:
    """The plan with another number for a table, wherever it has the one."""

    def routes(found: tuple[Route, ...]) -> tuple[Route, ...]:
        return tuple(replace(r, table=other) if r.table == number else r for r in found)

    return replace(
        plan,
        rules=tuple(
            replace(rule, argument=other)
            if rule.action is Action.LOOKUP and rule.argument == number
            else rule
            for rule in plan.rules
        ),
        links=tuple(
            replace(
                link,
                preaddress_routes=routes(link.preaddress_routes),
                routes=routes(link.routes),
            )
            for link in plan.links
        ),
        tables=tuple((other if n == number else n, name) for n, name in plan.tables),
    )
