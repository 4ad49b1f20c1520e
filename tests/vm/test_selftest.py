"""The kernel's own tests of rules and routes, run inside the kernel that is shipped."""

from __future__ import annotations

import pytest

from factory.vm import kernel_selftest
from factory.vm.kernel_selftest import Outcome


@pytest.fixture(scope="module")
def found() -> tuple[Outcome, ...]:
    """What they said."""
    return kernel_selftest.run()


def test_none_of_them_failed(found: tuple[Outcome, ...]) -> None:
    failed = [f"{one.script} {one.test}: {what}" for one in found for what in one.failed]
    assert failed == []


def test_all_of_them_ran_and_passed_checks(
    found: tuple[Outcome, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [(one.script, one.test) for one in found] == list(
        dict.fromkeys(kernel_selftest.listed())
    )
    assert [one.test for one in found if not one.passed] == []
    counts = {one.test: len(one.passed) for one in found}
    assert counts["fib_rule4"] >= 40
    assert counts["fib_rule6"] >= 40
    with capsys.disabled():
        print("\nchecks passed:", ", ".join(f"{test} {count}" for test, count in counts.items()))
