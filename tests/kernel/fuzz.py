"""The long comparison of model and kernel: `python -m tests.kernel.fuzz --count N --seed S`.

In: how many decisions, and a seed that makes the same run again.  Out: progress, and at the
first difference the policy, the packet and what each says, with exit status 1.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time

from pbrinit import explain
from tests.kernel.compare import Difference, Host, drawn_plan
from tests.kernel.draw import Packets, seeded

PACKETS = 5000
"""Decisions for each policy: making its namespace takes as long as some thousands of them."""


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Compare the model with this machine's kernel.")
    parser.add_argument("--count", type=int, default=100_000, help="decisions to compare")
    parser.add_argument("--seed", type=int, help="makes a run again; drawn where not given")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}, {options.count} decisions")
    done, allowed, start = 0, 0, time.monotonic()
    for number in itertools.count():
        if done >= options.count:
            break
        text, compared, passed, found = one(f"{seed}.{number}", PACKETS)
        if found:
            print(f"\n{text}\n{told(found[0])}")
            print(f"{len(found)} differences; again: --seed {seed} --count {done + 1}")
            return 1
        done, allowed = done + compared, allowed + passed
        if sys.stdout.isatty() or done >= options.count or number % 20 == 0:
            rate = done / (time.monotonic() - start)
            share = min(100 * done // options.count, 100)
            print(f"{share:3}% {done} decisions, {number + 1} policies, {rate:.0f}/s", flush=True)
    print(f"0 differences in {done} decisions, {allowed} of which let the packet through")
    return 0


def one(seed: str, count: int) -> tuple[str, int, int, list[Difference]]:
    """One policy with its packets: its text, decisions, how many pass, and differences."""
    source = seeded(seed)
    text, plan = drawn_plan(source)
    host = Host(plan)
    try:
        packets = itertools.islice(Packets(plan, source), count)
        return text, *host.differences(plan, packets)
    finally:
        host.close()


def told(difference: Difference) -> str:
    """One difference, as a person reads it."""
    lines = explain.lines(difference.model)
    said = f"{difference.packet}\n{difference.direction}\nkernel: {difference.kernel}\nmodel:"
    return "\n".join([said, *lines])


if __name__ == "__main__":
    sys.exit(main())
