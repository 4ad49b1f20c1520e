"""Hostile peers on both sides of examples/router.toml, shot by shot."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from pbrinit.cli.build import load
from pbrinit.policy.reader.reader import read_policy
from tests.adversary.tables import router_wire
from tests.support.attack.images import ROUTER_POLICY
from tests.support.attack.range import AttackRange
from tests.support.attack.report import report
from tests.support.attack.shot import Shot

PLAN = load(ROUTER_POLICY)


@pytest.mark.parametrize("table", router_wire.TABLES, ids=lambda table: table.__name__)
def test_what_comes_of_each_is_what_its_line_says(
    router: AttackRange, table: Callable[[], Iterable[Shot]]
) -> None:
    found = router.fire(list(table()))
    wrong = [seen for seen in found if not seen.as_expected]
    assert not wrong, report(wrong, PLAN, read_policy(ROUTER_POLICY), ("eth0", "eth1"))
    limited = [seen for seen in found if seen.shot.limited]
    assert not limited or any(seen.answer for seen in limited), "no sender was told anything"
