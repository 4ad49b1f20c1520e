"""Mutants put to the proof and, apart from it, to the model: `python -m …mutation POLICY…`.

In: a policy and its plan.  Out: for each mutant whether the proof refutes it, and whether the
model and the meaning, asked about packets near the changed rule and others, differ on one.
z3 has no part in the second.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pbrinit.analysis.conformance import ConformanceChecker
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import load
from pbrinit.net.packet import Origin, Packet
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.edge_packets import Drawn
from tests.support.generate.feasible_packets import real
from tests.support.generate.packets import Packets, seeded
from tests.support.generate.rule_mutants import Mutant, mutants

NEAR, OTHER = 150, 50
"""Packets for each mutant: near what the policy and the changed rule speak of, and near the rule
alone."""


@dataclass(frozen=True)
class Outcome:
    """One mutant: whether the proof refutes it, a packet on which it is wrong by model and
    meaning, and one on which its verdict is another than the plan's.
    """

    mutant: Mutant
    refuted: bool
    wrong: tuple[Packet, Origin] | None
    changed: tuple[Packet, Origin] | None


class Original:
    """A policy and its plan, before anything is changed."""

    def __init__(self, policy: Policy, plan: Plan, random: Random) -> None:
        self.policy = policy
        self._random = random
        self._drawn = Drawn(policy, random)
        self.plan = plan
        proof = Proof(policy, plan)
        self._judge = proof.checker
        self._link_local = proof.link_local
        self._known = {
            obligation.key(): proof.find(obligation).counterexample is not None
            for obligation in proof.obligations()
        }

    def outcome(self, mutant: Mutant) -> Outcome:
        """What proof and model say of a mutant."""
        judge = ConformanceChecker(self.policy, mutant.plan, self._link_local)
        packets = list(self._packets(mutant))
        wrong = next((p for p in packets if _is_wrong(judge, p)), None)
        changed = next((p for p in packets if self._differs(judge, p)), None)
        return Outcome(mutant, self._refuted(mutant), wrong, changed)

    def _differs(self, judge: ConformanceChecker, asked: tuple[Packet, Origin]) -> bool:
        return judge.check(*asked).actual != self._judge.check(*asked).actual

    def _packets(self, mutant: Mutant) -> Iterator[tuple[Packet, Origin]]:
        yield from real(self._drawn.packets(NEAR, mutant.rule))
        near = Packets(mutant.plan, self._random)
        yield from real(near.near(mutant.rule) for _ in range(OTHER))

    def _refuted(self, mutant: Mutant) -> bool:
        """Whether the proof finds something; what rests on the same rules is not shown again."""
        proof = Proof(self.policy, mutant.plan, families=[mutant.rule.family])
        return any(
            proof.find(obligation).counterexample is not None
            for obligation in proof.obligations()
            if obligation.key() not in self._known
        )


def _is_wrong(judge: ConformanceChecker, asked: tuple[Packet, Origin]) -> bool:
    judgement = judge.check(*asked)
    return judgement.wrong or judgement.wrong_notice


def main() -> int:
    """Every mutant of some policies; the exit status is 1 where the proof misses one."""
    parser = argparse.ArgumentParser(description="Put every mutant of a plan to the proof.")
    parser.add_argument("policy", type=Path, nargs="+", help="policy files")
    parser.add_argument("--seed", default="mutants", help="for the packets")
    parser.add_argument("--share", type=float, default=1.0, help="how many of the mutants")
    options = parser.parse_args()
    missed = 0
    for path in options.policy:
        start = time.monotonic()
        random = seeded(f"{options.seed}.{path.stem}")
        original = Original(read_policy(path), load(path), random)
        made = [m for m in mutants(original.plan) if random.random() < options.share]
        done = [original.outcome(mutant) for mutant in made]
        for outcome in done:
            if outcome.wrong is not None and not outcome.refuted:
                missed += 1
                print(f"MISSED {outcome.mutant}\n  {outcome.wrong}")
        refuted = sum(outcome.refuted for outcome in done)
        wrong = sum(outcome.wrong is not None for outcome in done)
        changed = sum(outcome.changed is not None and outcome.wrong is None for outcome in done)
        print(
            f"{path.stem}: {len(original.plan.rules)} rules, {len(done)} mutants: {refuted} refuted"
            f" by the proof, {wrong} shown wrong by a packet; {changed} more do otherwise where"
            f" nothing is claimed; {time.monotonic() - start:.0f} s"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
