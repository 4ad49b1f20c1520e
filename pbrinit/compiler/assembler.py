"""Rules in the order in which the kernel asks them, with labels that a goto leads to.

In: rules without preferences, and labels.  Out: the rules of a family, with preferences in the
bands of `layout`.  A goto leads forward only (fib_nl_newrule, net/core/fib_rules.c).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Action, Rule


class Label:
    """A place that rules lead to; `text` says which, for errors."""

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True)
class _Band:
    name: str
    first: int
    end: int


@dataclass(frozen=True)
class _Line:
    """A rule as it is written, before it has its preference."""

    rule: Rule
    band: _Band
    target: Label | None

    @property
    def always(self) -> bool:
        """Whether it is about every packet."""
        bare = replace(self.rule, note="", argument=None)
        return bare == Rule(self.rule.family, 0, self.rule.action)

    @property
    def jumps(self) -> bool:
        """Whether it leads every packet elsewhere."""
        return self.always and self.target is not None

    @property
    def ends(self) -> bool:
        """Whether no packet comes to the rule after it."""
        refuses = self.rule.action in (Action.BLACKHOLE, Action.PROHIBIT)
        return self.always and (refuses or self.target is not None)


class Assembly:
    """The rules of one family, as they are written one after another."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._lines: list[_Line] = []
        self._places: dict[Label, int] = {}
        self._band = _Band("", 0, 0)

    def band(self, name: str, first: int, end: int) -> None:
        """What is written next has preferences from `first` on and below `end`."""
        self._band = _Band(name, first, end)

    def mark(self, label: Label) -> None:
        """The next rule is what gotos to `label` lead to."""
        self._places[label] = len(self._lines)

    def add(self, action: Action, argument: int | None = None, **selectors: Any) -> None:
        """The next rule; `selectors` are fields of `Rule`."""
        rule = Rule(self.family, 0, action, argument, **selectors)
        self._lines.append(_Line(rule, self._band, None))

    def goto(self, label: Label, **selectors: Any) -> None:
        """A rule that leads to a label which is marked later."""
        if label in self._places:
            raise AssertionError(f"a goto leads forward only, and {label.text} is behind")
        rule = Rule(self.family, 0, Action.GOTO, **selectors)
        self._lines.append(_Line(rule, self._band, label))

    def rules(self) -> list[Rule]:
        """All rules that a packet can come to, each with its preference, and each goto with the
        one that it leads to at last.

        Raises CompileError where a band is full.
        """
        kept = self._reached()
        preferences: dict[int, int] = {}
        last = self._band
        at = 0
        for number in kept:
            band = self._lines[number].band
            at = band.first if band != last else at
            last = band
            if at >= band.end:
                version = self.family.version
                raise CompileError(f"{band.name} has room for fewer rules than IPv{version} needs")
            preferences[number] = at
            at += 1
        return [
            replace(line.rule, preference=preferences[number],
                    argument=preferences[self._landing(line.target)] if line.target
                    else line.rule.argument)
            for number, line in ((number, self._lines[number]) for number in kept)
        ]  # fmt: skip

    def _landing(self, label: Label) -> int:
        """Where a goto leads to, past rules that only lead on."""
        at = self._places[label]
        target = self._lines[at].target
        return self._landing(target) if self._lines[at].jumps and target else at

    def _reached(self) -> list[int]:
        """The lines that are needed, in order: a goto for every packet that leads to what stands
        next anyway is not.
        """
        reached: set[int] = set()
        waiting = [0]
        while waiting:
            at = waiting.pop()
            if at in reached:
                continue
            reached.add(at)
            line = self._lines[at]
            if line.target is not None:
                waiting.append(self._landing(line.target))
            if not line.ends:
                waiting.append(at + 1)
        kept: list[int] = []
        for at in sorted(reached, reverse=True):
            line = self._lines[at]
            if not (line.jumps and line.target and kept and self._landing(line.target) == kept[-1]):
                kept.append(at)
        return kept[::-1]


class CompileError(Exception):
    """A policy that makes no plan, although each of its entries is sound; the text says why."""
