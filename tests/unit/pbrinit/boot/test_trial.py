"""In what a plan may differ from the one in force: more where it is for a lease."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit import bootfile
from pbrinit.boot import adopt, standing
from pbrinit.boot.record import Record
from pbrinit.boot.trial import RefusedError, Trial
from pbrinit.bootfile import BootPlan
from pbrinit.compiler import compile_policy
from pbrinit.configured import configured, given
from pbrinit.language import read
from pbrinit.netlink import encode
from pbrinit.policy import Policy
from tests.unit.pbrinit.written import by_dhcp

POLICY = by_dhcp(read(Path("examples/rooms.toml")))
LEASE = given(POLICY, "192.0.2.77/24,192.0.2.1")
TRY = ["try", "9"]


def plan_of(policy: Policy) -> BootPlan:
    return encode(compile_policy(policy), "rooms")


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A machine that waits for an address; what it adopts is taken for done."""
    for name in ("NEXT", "IN_FORCE", "TRIAL"):
        monkeypatch.setattr(standing, name, str(tmp_path / name))
    monkeypatch.setattr(adopt, "adopt", lambda _, commit, *__: commit())
    return Trial(plan_of(POLICY), Record())


def ask(trial: Trial, words: list[str], plan: BootPlan) -> str:
    Path(standing.NEXT).write_bytes(bootfile.pack(plan))
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
