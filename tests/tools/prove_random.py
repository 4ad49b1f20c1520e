"""Policies that nobody thought of, compiled and proved: `python -m …policies --count N --seed S`.

In: how many, and a seed that makes the same run again; or how many rooms one policy is to have.
Out: progress, and each policy whose plan is refuted, with its counter-examples; exit status 1
where there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli import prove
from pbrinit.cli.build import loaded
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from tests.support.generate import policies
from tests.support.generate.packets import seeded


def drawn(seed: str) -> tuple[str, Policy, Plan]:
    """The first policy of a seed that compiles, as text, policy and plan."""
    return policies.compiled(seeded(seed))


HEAD = """
hostname = "crowd"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[network]
mgmt = ["198.51.100.0/24", "2001:db8:5::/48"]
[service]
web = ["tcp/80", "tcp/443"]
dns = ["udp/53", "tcp/53"]
"""
ROOM = """
[run.p{number}]
command = ["/p"]
user = "u"
[[input]]
from = "mgmt"
service = "s{number}"
run = "p{number}"
[[output]]
service = "web"
run = "p{number}"
"""
BETWEEN = '[[between]]\nfrom = "p{number}"\nto = "p0"\nservice = "dns"\n'


def crowd(rooms: int) -> tuple[str, Policy, Plan]:
    """A policy with so many rooms; each serves and asks, and asks the first one."""
    numbers = range(rooms)
    text = HEAD + "".join(f's{number} = "tcp/{1000 + number}"\n' for number in numbers)
    text += "[user]\nu = 1001\n" + "".join(ROOM.format(number=number) for number in numbers)
    text += "".join(BETWEEN.format(number=number) for number in numbers[1:])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crowd.toml"
        path.write_text(text)
        return text, *loaded(path)


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
    parser.add_argument("--rooms", type=int, help="one policy with so many rooms instead")
    options = parser.parse_args()
    wrong, start = 0, time.monotonic()
    count = options.count if options.rooms is None else 1
    for number in range(count):
        seed = f"{options.seed}.{number}"
        text, policy, plan = drawn(seed) if options.rooms is None else crowd(options.rooms)
        told = refuted(policy, plan)
        if told:
            wrong += 1
            print(f"--- seed {seed}\n{text}", *told, sep="\n")
    seconds = time.monotonic() - start
    print(f"{count} policies, {wrong} not proved, {seconds:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
