"""In what a plan may differ from the one in force, and what becomes of a trial meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit.boot.guard import switch
from pbrinit.boot.guard.trial import RefusedError, Trial
from pbrinit.boot.state import active_plan, confirmed_policy
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import configured, given
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan
from tests.support.policy_text import by_dhcp

POLICY = by_dhcp(read(Path("examples/rooms.toml")))
LEASE = given(POLICY, "192.0.2.77/24,192.0.2.1")
TRY = ["try", "9"]


def plan_of(policy: Policy) -> BootPlan:
    return encode(compile_policy(policy), "rooms")


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A machine that waits for an address; what it adopts is taken for done."""
    for name in ("NEXT", "IN_FORCE", "TRIAL"):
        monkeypatch.setattr(active_plan, name, str(tmp_path / name))
    for name in ("TRIED", "KEPT"):
        monkeypatch.setattr(confirmed_policy, name, str(tmp_path / name))
    monkeypatch.setattr(switch, "switch_plan", lambda _, commit, *__: commit())
    return Trial(plan_of(POLICY), GuardStatus())


def ask(trial: Trial, words: list[str], plan: BootPlan) -> str:
    Path(active_plan.NEXT).write_bytes(bootplan.pack(plan))
    return trial.answer(words)


def test_for_a_lease_rooms_may_have_other_addresses(trial: Trial) -> None:
    leased = plan_of(configured(POLICY, LEASE))
    assert "in force" in ask(trial, ["adopt"], leased)
    assert trial.plan.programs == leased.programs


def test_a_policy_that_is_tried_has_the_same_rooms(trial: Trial) -> None:
    with pytest.raises(RefusedError, match="programs differ: that takes a reboot"):
        ask(trial, TRY, plan_of(configured(POLICY, LEASE)))


def test_for_a_lease_all_else_of_programs_is_the_same(trial: Trial) -> None:
    first, *others = POLICY.runs
    runs = (replace(first, command=("/bin/sh",)), *others)
    changed = encode(replace(compile_policy(POLICY), programs=tuple(
        replace(program, run=run)
        for program, run in zip(compile_policy(POLICY).programs, runs, strict=True)
    )), "rooms")  # fmt: skip
    with pytest.raises(RefusedError, match="programs differ: that takes a reboot"):
        ask(trial, ["adopt"], changed)


def test_for_a_lease_rooms_keep_their_ports(trial: Trial) -> None:
    """What follows from no address stays, or takes a reboot."""
    leased = plan_of(configured(POLICY, LEASE))
    room = leased.programs[0].room
    assert room is not None
    room.sysctls = ()
    with pytest.raises(RefusedError, match="programs differ: that takes a reboot"):
        ask(trial, ["adopt"], leased)


ELSE = replace(POLICY, hostname="other")
LEASED = plan_of(configured(POLICY, LEASE))
OTHER = plan_of(configured(ELSE, LEASE))
BARE = plan_of(ELSE)


@pytest.fixture
def tried(trial: Trial) -> Trial:
    """A machine with a lease, on which another policy is on trial."""
    ask(trial, ["adopt"], LEASED)
    confirmed_policy.write(
        confirmed_policy.ConfirmedPolicy(OTHER.digest, BARE, {"other.toml": b""})
    )
    assert "in force for 9 s" in ask(trial, [*TRY, LEASED.digest], OTHER)
    assert trial.plan.digest == OTHER.digest
    return trial


def again() -> Trial:
    """The guard that follows one that ended."""
    return Trial(plan_of(POLICY), GuardStatus())


def kept() -> str:
    """The digest of the plan with nothing given, of the policy that is kept."""
    return confirmed_policy.plan(plan_of(POLICY)).digest


def test_a_trial_is_of_the_plan_that_was_in_force_when_it_was_made(trial: Trial) -> None:
    confirmed_policy.write(confirmed_policy.ConfirmedPolicy(OTHER.digest, BARE, {}))
    with pytest.raises(RefusedError, match="has come in force meanwhile: try again"):
        ask(trial, [*TRY, LEASED.digest], OTHER)
    assert trial.plan.digest != OTHER.digest


def test_what_could_not_be_made_anew_is_not_tried(trial: Trial) -> None:
    ask(trial, ["adopt"], LEASED)
    confirmed_policy.write(confirmed_policy.ConfirmedPolicy(LEASED.digest, BARE, {}))
    for _ in range(2):
        with pytest.raises(RefusedError, match="what it is read from is not there"):
            ask(trial, TRY, OTHER)
        confirmed_policy.forget()


def test_a_policy_is_kept_once_it_is_confirmed_and_not_before(tried: Trial) -> None:
    assert kept() == plan_of(POLICY).digest
    tried.answer(["confirm"])
    assert kept() == BARE.digest
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_a_guard_that_ended_in_between_is_followed_by_one_that_keeps_what_was_confirmed(
    tried: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(confirmed_policy, "confirm", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tried.answer(["confirm"])
    again()
    assert kept() == BARE.digest


def test_a_guard_that_follows_goes_on_with_a_trial_and_then_forgets_it(tried: Trial) -> None:
    assert tried.pause(99) < 99
    follower = again()
    assert follower.pause(99) < 99
    follower.end()
    assert follower.plan.digest == LEASED.digest
    assert kept() == plan_of(POLICY).digest
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_an_address_that_changes_ends_a_trial(tried: Trial) -> None:
    other = plan_of(configured(POLICY, given(POLICY, "192.0.2.90/24,192.0.2.1")))
    ask(tried, ["adopt", kept()], other)
    assert tried.plan.digest == other.digest
    assert tried.pause(99) == 99
    with pytest.raises(RefusedError, match="no policy is on trial"):
        tried.answer(["confirm"])
    assert again().plan.digest == other.digest
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_a_trial_goes_on_where_the_plan_for_another_address_cannot_be_put_in_force(
    tried: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(new: BootPlan, commit: Callable[[], None], *_: object) -> None:
        commit()
        if new.digest == LEASED.digest:
            raise switch.SwitchError("it is in force, and differs")

    monkeypatch.setattr(switch, "switch_plan", fails)
    with pytest.raises(RefusedError, match="was taken back"):
        ask(tried, ["adopt", kept()], LEASED)
    assert tried.plan.digest == OTHER.digest
    assert tried.pause(99) < 99
    assert again().pause(99) < 99


def test_a_plan_of_a_policy_that_is_no_more_kept_is_not_adopted(tried: Trial) -> None:
    before = kept()
    tried.answer(["confirm"])
    with pytest.raises(RefusedError, match="another policy is kept meanwhile"):
        ask(tried, ["adopt", before], LEASED)
    assert tried.plan.digest == OTHER.digest
