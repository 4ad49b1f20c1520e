"""How a packet comes to a rule: past the rules that lead there by goto.

In: rules, and a source of random numbers.  Out: the rule with the selectors of one way to it, so
that a packet that it matches does arrive there, but for what lies between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from pbrinit.net.addresses import Family, Prefix
from pbrinit.net.services import Ports
from pbrinit.plan.plan import Action, Rule


class Paths:
    """The gotos of a plan, by where they lead."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._leading: dict[Family, dict[int, list[Rule]]] = {family: {} for family in Family}
        for rule in rules:
            if rule.action is Action.GOTO and rule.argument is not None:
                self._leading[rule.family].setdefault(rule.argument, []).append(rule)
        self._labels = {family: sorted(found) for family, found in self._leading.items()}

    def narrowed(self, rule: Rule, random: Random) -> Rule:
        """The rule, and what a packet must be for one way to it, chosen by chance."""
        labels = self._labels[rule.family]
        at = rule
        while (place := bisect_right(labels, at.preference)) > 0:
            at = random.choice(self._leading[rule.family][labels[place - 1]])
            rule = _both(rule, at)
        return rule


def _both(rule: Rule, before: Rule) -> Rule:
    """The rule with the selectors of one that was passed before."""
    return replace(
        rule,
        iif=rule.iif or before.iif,
        oif=rule.oif or before.oif,
        source=longer(rule.source, before.source),
        destination=longer(rule.destination, before.destination),
        protocol=before.protocol if rule.protocol is None else rule.protocol,
        source_ports=_common(rule.source_ports, before.source_ports),
        destination_ports=_common(rule.destination_ports, before.destination_ports),
        uid=before.uid if rule.uid is None else rule.uid,
    )


def longer(one: Prefix | None, other: Prefix | None) -> Prefix | None:
    """The longer of two prefixes, or the one that there is."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda prefix: prefix.prefixlen)


def _common(one: Ports | None, other: Ports | None) -> Ports | None:
    if one is None or other is None or not one.overlaps(other):
        return one or other
    return Ports(max(one.first, other.first), min(one.last, other.last))
