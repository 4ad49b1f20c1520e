"""How many lines strangers can have logged."""

from __future__ import annotations

from pbrinit.boot.autoconf.line_budget import LINES, LINES_SECONDS, LineBudget


def test_a_flood_is_counted_and_said_later() -> None:
    budget = LineBudget()
    said = [budget.spend(100.0) for _ in range(1000)]
    assert said == [0] * LINES + [None] * (1000 - LINES)
    assert budget.spend(100.0 + LINES_SECONDS) == 1000 - LINES
    assert budget.spend(100.0 + LINES_SECONDS) == 0
