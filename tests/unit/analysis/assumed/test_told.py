"""What PID 1 is told beside the messages is held to the policy, as the boot plan has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pbrinit.analysis.assumed import told
from pbrinit.analysis.claim import Flaw
from pbrinit.cli.build import load
from pbrinit.plan import encode
from pbrinit.plan.encode import CAPABILITIES
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import FailureAction, Metrics, OnFailure, Policy
from pbrinit.policy.programs import ControlAccess, Restart, Share, User
from pbrinit.policy.reader.reader import read_policy

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)


def flaws(policy: Policy, plan: Plan) -> list[Flaw]:
    return [flaw for claim in told.claims(policy, plan) for flaw in claim.flaws]


def with_program(**change: Any) -> Plan:
    first, *others = PLAN.programs
    program = replace(first.program, **change)
    return replace(PLAN, programs=(replace(first, program=program), *others))


MACHINE: dict[str, Any] = {
    "hostname": "another",
    "on_failure": OnFailure(FailureAction.POWEROFF, 7),
    "users": (),
    "log": True,
    "metrics": Metrics(9100, User("metrics", 900)),
    "assignments": ("192.0.2.9/24,192.0.2.1",),
    "programs": PLAN.programs[:-1],
}
PROGRAM: dict[str, Any] = {
    "command": ("/bin/other",),
    "user": User("x", 77),
    "environment": (("PATH", "/opt"),),
    "files": (("/etc/other", "other"),),
    "capabilities": ("net_raw",),
    "share": Share(processes=65),
    "restart": Restart.NEVER,
    "control": ControlAccess.NOTHING,
}


@pytest.mark.parametrize("field", MACHINE)
def test_what_the_machine_is_told_is_the_policy_s(field: str) -> None:
    assert flaws(POLICY, PLAN) == []
    assert flaws(POLICY, replace(PLAN, **{field: MACHINE[field]})) != []


@pytest.mark.parametrize("field", PROGRAM)
def test_what_a_program_is_told_is_the_policy_s(field: str) -> None:
    (flaw,) = flaws(POLICY, with_program(**{field: PROGRAM[field]}))
    assert flaw.where == f"program {PLAN.programs[0].program.name}"


ENCODER: dict[str, tuple[str, Any]] = {
    "another environment": ("ENVIRONMENT", {"HOME": "/", "PATH": "/bin"}),
    "settings that are left out": ("_sysctls", lambda _: ()),
    "settings in another order": (
        "_sysctls", lambda sysctls: tuple((s.key, s.value) for s in reversed(sysctls))),
    "users of rooms that overlap": ("room_ids", type("Ids", (), {"COUNT": 1 << 15})),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODER)
def test_an_encoder_that_tells_it_otherwise_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("examples/jump.toml")
    policy, plan = read_policy(path), load(path)
    assert flaws(policy, plan) == []
    monkeypatch.setattr(encode, *ENCODER[name])
    assert flaws(policy, plan) != []


def test_a_capability_has_the_bit_that_the_kernel_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CAPABILITIES:
        plan = with_program(capabilities=(name,))
        policy = replace(POLICY, programs=tuple(p.program for p in plan.programs))
        with monkeypatch.context() as patched:
            assert flaws(policy, plan) == []
            patched.setitem(CAPABILITIES, name, CAPABILITIES[name] + 1)
            assert len(flaws(policy, plan)) == 1


def test_a_room_s_forwarding_comes_with_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_device", repr)
    assert {flaw.where for flaw in flaws(POLICY, PLAN)} >= {"forwarding", "r-sshd"}
