"""The long run of questions: `python -m tests.tools.questions --count N --seed S`.

In: how many questions, and a seed that makes the same run again.  Out: progress, and at the first
contradiction the policy, the question and both answers, with exit status 1.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections import Counter

from pbrinit.analysis import explain
from tests.support.explain_vs_kernel import AskedMachine, Contradiction
from tests.support.generate import policies
from tests.support.generate.packets import seeded
from tests.support.generate.questions import Asked, Questions

EACH = 2500
"""Questions for each policy."""


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Ask explain and real sockets the same.")
    parser.add_argument("--count", type=int, default=100_000, help="questions to ask")
    parser.add_argument("--seed", type=int, help="makes a run again; drawn where not given")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    again = f"make questions SEED={seed} N={options.count}"
    print(f"{options.count} questions; the same again: {again}", flush=True)
    done = 0
    words: Counter[str] = Counter()
    for number in itertools.count():
        if done >= options.count:
            break
        text, asked, found = one(f"{seed}.{number}", min(EACH, options.count - done))
        done += len(asked)
        words.update(kind(each) for each in asked)
        if found:
            print(f"\n{text}")
            for each in found[:5]:
                print(told(each))
            print(f"{len(found)} contradictions; again: {again}")
            return 1
        if sys.stdout.isatty():
            print(f"\r{done}", end="", flush=True)
    kinds = ", ".join(f"{count} {word}" for word, count in words.most_common())
    print(f"0 contradictions in {done} questions about {number} policies: {kinds}")
    return 0


def one(seed: str, count: int) -> tuple[str, list[Asked], list[Contradiction]]:
    """One drawn policy with its questions."""
    source = seeded(seed)
    text, policy, plan = policies.compiled(source)
    machine = AskedMachine(policy, plan)
    try:
        asked = [*itertools.islice(Questions(policy, plan, source), count)]
        return text, asked, machine.contradictions(asked, source)
    finally:
        machine.close()


def kind(asked: Asked) -> str:
    """What kind of question it is."""
    first, second = asked.text.split()[:2]
    if first != "out":
        return "in"
    if second.startswith("run="):
        return "from rooms"
    origin = asked.origin
    if getattr(origin, "bound", False):
        return "out bound"
    return "out by a port" if getattr(origin, "port_bound", False) else "out unbound"


def told(found: Contradiction) -> str:
    """One contradiction, as a person reads it."""
    lines = "\n".join(explain.lines(found.verdict))
    return f"{found.text}\nkernel: {found.kernel}\nexplain: {found.explained}\n{lines}\n"


if __name__ == "__main__":
    sys.exit(main())
