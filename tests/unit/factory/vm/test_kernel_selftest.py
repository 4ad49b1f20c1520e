"""What the kernel's own tests said, read from the guest's console."""

from __future__ import annotations

from factory.vm import kernel_selftest
from factory.vm.kernel_selftest import Outcome

TOLD = """
=== fib_rule_tests.sh fib_rule4
    TEST: rule4 check: oif redirect to table             [ OK ]
Error: something
    TEST: rule4 del by pref                              [FAIL]
=== fib_rule_tests.sh fib_rule4 ended with 1
=== fib_tests.sh down
Error: Multipath support not enabled in kernel.
=== fib_tests.sh down ended with 2
=== fib_rule_tests.sh fib_rule4
    TEST: rule4 check: oif redirect to table             [FAIL]
    TEST: rule4 del by pref                              [FAIL]
=== fib_rule_tests.sh fib_rule4 ended with 1
=== done
"""


def test_a_check_that_passed_once_can_pass_and_one_that_never_did_has_failed() -> None:
    assert list(kernel_selftest.outcomes(TOLD)) == [
        Outcome(
            "fib_rule_tests.sh",
            "fib_rule4",
            ("rule4 check: oif redirect to table",),
            ("rule4 del by pref",),
        ),
        Outcome("fib_tests.sh", "down", (), ()),
    ]


def test_no_test_is_both_run_and_left_out() -> None:
    run = set(kernel_selftest.listed())
    assert run & {(script, test) for script, test, _ in kernel_selftest.left_out()} == set()
    assert ("fib_rule_tests.sh", "fib_rule6") in run
    assert all(reason for _, _, reason in kernel_selftest.left_out())
