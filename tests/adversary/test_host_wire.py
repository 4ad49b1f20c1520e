"""A hostile peer against examples/host.toml: every table, shot by shot."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from pbrinit.cli.build import load
from pbrinit.policy.reader.reader import read_policy
from tests.adversary.tables import host_fields, host_tricks, host_wire
from tests.support.attack.images import HOST
from tests.support.attack.model_opinion import verdict
from tests.support.attack.range import AttackRange
from tests.support.attack.report import report
from tests.support.attack.shot import Shot

PLAN = load(HOST)
TABLES = (*host_wire.TABLES, *host_tricks.TABLES, *host_fields.TABLES)
tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)


@tables
def test_what_comes_of_each_is_what_its_line_says(
    gate: AttackRange, table: Callable[[], Iterable[Shot]]
) -> None:
    wrong = [seen for seen in gate.fire(list(table())) if not seen.as_expected]
    assert not wrong, report(wrong, PLAN, read_policy(HOST), ["eth0"])


@tables
def test_the_model_expects_the_same(table: Callable[[], Iterable[Shot]]) -> None:
    """Two who were written apart: the lines here by hand, the model from the kernel's source."""
    differ = [
        f"{shot.what}: the line says {(shot.arrives, shot.passes)}, the model {found}"
        for shot in table()
        if (found := verdict(PLAN, shot, "eth0")) is not None
        and found != (shot.arrives, shot.passes)
    ]
    assert not differ, "\n".join(differ)
