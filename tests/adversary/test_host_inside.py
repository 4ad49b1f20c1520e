"""Hostile programs against examples/host.toml: each act, with the wire watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.adversary.tables import host_groups, host_inside, host_kernel, host_raw
from tests.support.attack.act import Act
from tests.support.attack.range import AttackRange

TABLES = (*host_inside.TABLES, *host_raw.TABLES, *host_groups.TABLES, *host_kernel.TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_what_leaves_and_what_the_program_is_told(
    gate: AttackRange, table: Callable[[], Iterable[Act]]
) -> None:
    wrong = [
        f"{act.kind}, {act.user}: {act.what}: told {told!r}, expected {act.result!r}; left "
        f"{left!r}, expected {act.leaves!r}"
        for act, (told, left) in gate.perform(list(table()))
        if (act.result is not None and told != act.result) or left != act.leaves
    ]
    assert not wrong, f"{len(wrong)} acts failed\n" + "\n".join(wrong)
