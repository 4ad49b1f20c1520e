"""A plan is on trial: it goes by itself, whatever becomes of who tried it, unless it is kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pbrinit.boot.network import slots
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import run_guard, udp_flood
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.plan_switch import (
    W,
    X,
    Y,
    Z,
    boot_plan,
    is_answered,
    policy,
    reaches_plan,
)


def test_what_nobody_confirms_goes_by_itself(
    serving: Lab, plans: tuple[BootPlan, BootPlan]
) -> None:
    assert (is_answered(serving, X), is_answered(serving, Y), is_answered(serving, W)) == (
        True,
        False,
        False,
    )
    start = time.monotonic()
    assert serving.machine.do(udp_flood.request, "try 3", bootplan.pack(plans[1]))[0]
    assert (is_answered(serving, X), is_answered(serving, Y), is_answered(serving, Z)) == (
        False,
        True,
        True,
    )
    assert wait_until(lambda: is_answered(serving, X), 5)
    assert 3 <= time.monotonic() - start < 5
    assert (is_answered(serving, X), is_answered(serving, Y), is_answered(serving, W)) == (
        True,
        False,
        False,
    )
    assert reaches_plan(serving, plans[0])
    assert serving.machine.do(udp_flood.plan_in_force, plans[0]) == plans[0]


def test_what_is_confirmed_stays(serving: Lab, plans: tuple[BootPlan, BootPlan]) -> None:
    machine = serving.machine
    assert machine.do(udp_flood.request, "try 2", bootplan.pack(plans[1]))[0]
    done, told, _, _ = machine.do(udp_flood.request, "try 2", bootplan.pack(plans[0]))
    assert not done
    assert 'policy "b" is on trial for ' in told
    assert machine.do(udp_flood.request, "confirm")[:2] == (
        True, 'policy "b" is kept, until the machine starts again',
    )  # fmt: skip
    time.sleep(2.5)
    assert (is_answered(serving, X), is_answered(serving, Y)) == (False, True)
    assert machine.do(udp_flood.request, "confirm")[:2] == (False, "no policy is on trial")
    assert reaches_plan(serving, slots.relocate(plans[1], 1))
    machine.run("sh", "-c", "ip rule flush; ip -6 rule flush")
    assert reaches_plan(serving, slots.relocate(plans[1], 1))
    assert not is_answered(serving, X)


def test_a_guard_that_is_started_again_ends_the_trial(
    serving: Lab, plans: tuple[BootPlan, BootPlan]
) -> None:
    assert serving.machine.do(udp_flood.request, "try 3", bootplan.pack(plans[1]))[0]
    serving.machine.do(run_guard.stop)
    serving.machine.do(run_guard.start_again, plans[0])
    assert (is_answered(serving, X), is_answered(serving, Y)) == (False, True)
    assert wait_until(lambda: is_answered(serving, X), 6)
    assert not is_answered(serving, Y)


def test_who_asks_and_dies_leaves_a_trial_that_ends(
    serving: Lab, plans: tuple[BootPlan, BootPlan]
) -> None:
    serving.machine.do(udp_flood.request_and_die, "try 3", bootplan.pack(plans[1]))
    assert wait_until(lambda: is_answered(serving, Y), 3)
    assert not is_answered(serving, X)
    assert wait_until(lambda: is_answered(serving, X), 5)
    assert reaches_plan(serving, plans[0])


@pytest.mark.parametrize("names", ["ab", "ba"], ids=["there", "back"])
def test_wherever_a_switch_is_cut_off_the_next_guard_ends_it(
    serving: Lab, plans: tuple[BootPlan, BootPlan], names: str
) -> None:
    """From the first place to the second one, and back: one of the two is in force, whole."""
    machine = serving.machine
    old, new = (plans["ab".index(name)] for name in names)
    ends: set[str] = set()
    whole, at = False, 0
    while not whole:
        at += 1
        if machine.do(udp_flood.plan_in_force, plans[0]).policy != old.policy:
            assert machine.do(udp_flood.request, "adopt", bootplan.pack(old))[0]
        machine.do(run_guard.stop)
        whole = machine.do(udp_flood.switch_and_die, plans[0], new, at)
        assert is_answered(serving, X) != is_answered(serving, Y)
        machine.do(run_guard.start_again, plans[0])
        now = machine.do(udp_flood.plan_in_force, plans[0])
        assert reaches_plan(serving, now), at
        assert is_answered(serving, X if now.policy == "a" else Y)
        ends.add(now.policy)
    assert at > 10
    assert ends == {"a", "b"}


def test_who_logs_is_told_when_what_is_logged_changes_and_only_then(
    serving: Lab, plans: tuple[BootPlan, BootPlan], tmp_path: Path
) -> None:
    logging = boot_plan(tmp_path, "logging", f"log = true\n{policy(Y)}")
    assert serving.machine.do(udp_flood.request, "try 2", bootplan.pack(logging))[0]
    assert wait_until(lambda: serving.machine.do(run_guard.look_count) == 1, 3)
    assert (is_answered(serving, X), is_answered(serving, Y)) == (False, True)
    assert reaches_plan(serving, slots.relocate(logging, 1))
    assert wait_until(lambda: serving.machine.do(run_guard.look_count) == 2, 5)
    assert (is_answered(serving, X), is_answered(serving, Y)) == (True, False)
    assert serving.machine.do(udp_flood.request, "try 1", bootplan.pack(plans[1]))[0]
    assert wait_until(lambda: is_answered(serving, X), 5)
    assert serving.machine.do(run_guard.look_count) == 2


def test_what_cannot_be_is_refused_and_changes_nothing(
    serving: Lab, plans: tuple[BootPlan, BootPlan]
) -> None:
    data = bootplan.pack(plans[1])
    damaged = data[:900] + bytes([data[900] ^ 1]) + data[901:]
    too_much = BootPlan(**{**vars(plans[1]), "rules": (*plans[1].rules, plans[1].rules[0][:20])})
    for line, asked, reason in (
        ("try 5", damaged, "the plan cannot be read: it is damaged, its checksum does not match"),
        ("try 0", data, "a trial lasts 1 to 3600 s"),
        ("try soon", data, "a trial lasts 1 to 3600 s"),
        (f"try 5 {plans[1].digest}", data, "another plan has come in force meanwhile"),
        (f"try 5 {plans[0].digest} sshd", data, "no program 'sshd' may try a policy"),
        ("confirm 0123456789abcdef sshd", b"", "no policy is on trial"),
        ("adopt", bootplan.pack(too_much), "it cannot be put in force, and was taken back"),
        ("open sesame", b"", "nobody here does 'open sesame'"),
        ("", b"", "nobody here does ''"),
        ("try ²", data, "a trial lasts 1 to 3600 s"),
    ):
        done, told, _, _ = serving.machine.do(udp_flood.request, line, asked)
        assert not done
        assert reason in told
        assert (is_answered(serving, X), is_answered(serving, Y)) == (True, False)
        assert reaches_plan(serving, plans[0])
