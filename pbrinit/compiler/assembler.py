"""Rules in the order in which the kernel asks them, with labels as the targets of gotos.

In: rules without preferences, and labels.  Out: the rules of one family, with preferences in the
bands of `layout`.  A goto leads forward only (fib_nl_newrule, net/core/fib_rules.c).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pbrinit.net.addresses import Family, Prefix
from pbrinit.plan.plan import Action, Rule

Note = str | tuple[str, ...]
"""Why a rule is there: a text, or the keys of the entries that it is for."""


class Label:
    """The target of gotos; `text` names it in errors."""

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True)
class _Band:
    name: str
    first: int
    end: int


@dataclass(frozen=True)
class _Line:
    """A rule before it has its preference."""

    rule: Rule
    band: _Band
    target: Label | None

    @property
    def matches_all(self) -> bool:
        """Whether it matches every packet."""
        bare = replace(self.rule, note="", entries=(), argument=None)
        return bare == Rule(self.rule.family, 0, self.rule.action)

    @property
    def jumps(self) -> bool:
        """Whether it is a goto for every packet."""
        return self.matches_all and self.target is not None

    @property
    def ends(self) -> bool:
        """Whether no packet reaches the rule after it."""
        refuses = self.rule.action in (Action.BLACKHOLE, Action.PROHIBIT)
        return self.matches_all and (refuses or self.target is not None)


class Assembler:
    """The rules of one family, written one after another."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._lines: list[_Line] = []
        self._marks: dict[Label, int] = {}
        self._band = _Band("", 0, 0)

    def band(self, name: str, first: int, end: int) -> None:
        """Begin a band: the rules that follow get preferences from `first` on and below `end`."""
        self._band = _Band(name, first, end)

    def mark(self, label: Label) -> None:
        """Make the next rule the target of gotos to `label`."""
        self._marks[label] = len(self._lines)

    def add(
        self, action: Action, argument: int | None = None, *, note: Note = "", **selectors: Any
    ) -> None:
        """Write the next rule; `selectors` are fields of `Rule`."""
        self._write(None, note, selectors, action=action, argument=argument)

    def goto(self, label: Label, *, note: Note = "", **selectors: Any) -> None:
        """Write a goto to a label that is marked later."""
        if label in self._marks:
            raise AssertionError(f"a goto leads forward only, and {label.text} is behind")
        self._write(label, note, selectors, action=Action.GOTO, argument=None)

    def _write(
        self,
        target: Label | None,
        note: Note,
        selectors: dict[str, Any],
        *,
        action: Action,
        argument: int | None,
    ) -> None:
        if isinstance(note, tuple):
            selectors = {**selectors, "entries": note}
            note = ", ".join(note)
        rule = Rule(self.family, 0, action, argument, note=note, **selectors)
        rule = replace(
            rule, source=_selecting(rule.source), destination=_selecting(rule.destination)
        )
        self._lines.append(_Line(rule, self._band, target))

    def rules(self) -> list[Rule]:
        """All rules that a packet can reach, with their preferences and the final targets of gotos.

        Raises CompileError where a band is full.
        """
        kept = self._reachable()
        preferences: dict[int, int] = {}
        last_band = self._band
        preference = 0
        for number in kept:
            band = self._lines[number].band
            preference = band.first if band != last_band else preference
            last_band = band
            if preference >= band.end:
                version = self.family.version
                raise CompileError(f"{band.name} has room for fewer rules than IPv{version} needs")
            preferences[number] = preference
            preference += 1
        return [
            replace(line.rule, preference=preferences[number],
                    argument=preferences[self._resolve_target(line.target)] if line.target
                    else line.rule.argument)
            for number, line in ((number, self._lines[number]) for number in kept)
        ]  # fmt: skip

    def _resolve_target(self, label: Label) -> int:
        """The line that a goto leads to in the end, past lines that are gotos for every packet."""
        number = self._marks[label]
        target = self._lines[number].target
        return self._resolve_target(target) if self._lines[number].jumps and target else number

    def _reachable(self) -> list[int]:
        """The lines that are needed, in order. A goto for every packet to the line that follows
        anyway is not needed.
        """
        reached: set[int] = set()
        waiting = [0]
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            line = self._lines[number]
            if line.target is not None:
                waiting.append(self._resolve_target(line.target))
            if not line.ends:
                waiting.append(number + 1)
        kept: list[int] = []
        for number in sorted(reached, reverse=True):
            line = self._lines[number]
            target = self._resolve_target(line.target) if line.jumps and line.target else None
            if not kept or target != kept[-1]:
                kept.append(number)
        return kept[::-1]


class CompileError(Exception):
    """A policy that has no plan, although each of its entries is valid; the text says why."""


def _selecting(prefix: Prefix | None) -> Prefix | None:
    """The prefix, unless it has length 0: the kernel tells such a rule back without it
    (fib4_rule_fill, net/ipv4/fib_rules.c).
    """
    return prefix if prefix is not None and prefix.prefixlen else None
