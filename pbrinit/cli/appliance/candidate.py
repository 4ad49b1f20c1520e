"""A policy that is to be tried: read, checked, compiled, and held to its plan at its corners.

In: a file, and what is given to the machine now.  Out: a `Candidate`, with what is said of it and
the plan that the guard takes; or everything that is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pbrinit.analysis import boundary
from pbrinit.cli import build
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from pbrinit.policy.assigned import (
    AssignmentError,
    dynamic_interfaces,
    parse_assignment,
    with_assignments,
)
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import PolicyError, Problem
from pbrinit.wire.bootplan import BootPlan


class Situation(NamedTuple):
    """What is given to the interfaces of a machine, of all that they ask for."""

    dynamic_interfaces: tuple[tuple[int, str, str, tuple[tuple[int, int], ...]], ...]
    assignments: tuple[str, ...]

    @classmethod
    def of(cls, now: BootPlan) -> Situation:
        """That of a machine with this plan in force."""
        return cls(now.dynamic_interfaces, now.assignments)


@dataclass(frozen=True)
class Candidate:
    """A policy that is sound, its plan with what is given to the machine now, the one with nothing
    given, and what its author may not have meant. `asked` is how many packets it was asked about.
    """

    plan: BootPlan
    waiting: BootPlan
    remarks: tuple[Problem, ...]
    asked: int

    @classmethod
    def read(cls, path: Path, now: Situation) -> Candidate:
        """The policy in a file, on a machine to which this is given.

        Raises PolicyError with everything that is wrong.
        """
        with build.paused():
            reading = build.check_policy(path, check_files=False)
            policy = _given(path, reading.policy, now)
            found = _checked(path, reading.policy)
            plan = waiting = encode(found.plan, path.stem)
            if policy != reading.policy:
                found = _checked(path, policy)
                plan = encode(found.plan, path.stem)
        return cls(plan, waiting, reading.remarks, found.asked)

    def __str__(self) -> str:
        rules = f"{self.plan.policy}: sound; {len(self.plan.rules)} rules"
        return f"{rules}, as the policy means it for {self.asked} packets at its corners"


@dataclass(frozen=True)
class _Checked:
    """A plan, and how many packets it was asked about."""

    plan: Plan
    asked: int


def _given(path: Path, policy: Policy, now: Situation) -> Policy:
    """The policy with what the plan in force is for. One that asks for other addresses is no policy
    for this machine, as the guard says.
    """
    asked = tuple((int(a.family), a.name, a.device, a.taken) for a in dynamic_interfaces(policy))
    if asked != now.dynamic_interfaces:
        return policy
    try:
        return with_assignments(
            policy, *(parse_assignment(policy, text) for text in now.assignments)
        )
    except AssignmentError as error:
        raise PolicyError([Problem(str(path), "interface", str(error))]) from None


def _checked(path: Path, policy: Policy) -> _Checked:
    """The plan, held to what the policy means at its corners."""
    plan = build.compiled(path, policy)
    found = boundary.check(policy, plan)
    if found.wrong:
        raise PolicyError([Problem(str(path), "plan", wrong) for wrong in found.wrong])
    return _Checked(plan, found.count)
