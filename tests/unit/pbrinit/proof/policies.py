"""Policies that nobody thought of, compiled and proved: `python -m …policies --count N --seed S`.

In: how many, and a seed that makes the same run again.  Out: progress, and each policy whose plan
is refuted, with its counter-examples; exit status 1 where there is one.
"""

from __future__ import annotations

import argparse
import sys
import time

from pbrinit import prove
from pbrinit.plan import Plan
from pbrinit.policy import Policy
from pbrinit.proof.prover import Proof
from tests.kernel import policies
from tests.kernel.draw import seeded


def drawn(seed: str) -> tuple[str, Policy, Plan]:
    """The first policy of a seed that compiles, as text, policy and plan."""
    return policies.compiled(seeded(seed))


def refuted(policy: Policy, plan: Plan) -> list[str]:
    """The counter-examples to a plan, in words; none where it is proved."""
    proof = Proof(policy, plan)
    findings = list(proof.findings())
    if all(finding.counterexample is None for finding in findings):
        return []
    return list(prove.verdict("drawn", policy, proof, findings, 0))


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Prove the plans of drawn policies.")
    parser.add_argument("--count", type=int, default=100, help="how many policies")
    parser.add_argument("--seed", default="0", help="makes a run again")
    options = parser.parse_args()
    wrong, start = 0, time.monotonic()
    for number in range(options.count):
        text, policy, plan = drawn(f"{options.seed}.{number}")
        told = refuted(policy, plan)
        if told:
            wrong += 1
            print(f"--- seed {options.seed}.{number}\n{text}", *told, sep="\n")
    seconds = time.monotonic() - start
    print(f"{options.count} policies, {wrong} not proved, {seconds:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
