"""A policy that is to be tried: read, checked, compiled, and held to its plan at its corners.

In: a file.  Out: a `Candidate`, with what is said of it and the bytes that the guard takes; or
everything that is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pbrinit import bootfile, collector
from pbrinit.compiler import compile_policy
from pbrinit.control import corners
from pbrinit.language import examine
from pbrinit.layout import CompileError
from pbrinit.netlink import encode
from pbrinit.plan import Plan
from pbrinit.problems import PolicyError, Problem


@dataclass(frozen=True)
class Candidate:
    """A policy that is sound, its plan, and what its author may not have meant."""

    name: str
    plan: Plan
    remarks: tuple[Problem, ...]
    asked: int

    @classmethod
    def of(cls, path: Path) -> Candidate:
        """The policy in a file.

        Raises PolicyError with everything that is wrong.
        """
        with collector.paused():
            reading = examine(path, at_home=False)
            try:
                plan = compile_policy(reading.policy)
            except CompileError as error:
                raise PolicyError([Problem(str(path), "policy", str(error))]) from None
            found = corners.check(reading.policy, plan)
        if found.wrong:
            raise PolicyError([Problem(str(path), "plan", wrong) for wrong in found.wrong])
        return cls(path.stem, plan, reading.remarks, found.count)

    def __str__(self) -> str:
        rules = f"{self.name}: sound; {len(self.plan.rules)} rules"
        return f"{rules}, as the policy means it for {self.asked} packets at its corners"

    def packed(self) -> bytes:
        """The boot file."""
        return bootfile.pack(encode(self.plan, self.name))
