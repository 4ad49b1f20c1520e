"""The long comparison of model and kernel: `python -m tests.tools.fuzz --count N --seed S`.

In: how many decisions, and a seed that makes the same run again.  Out: progress, and at the
first difference the policy or plan, the packet and what each says, with exit status 1.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pbrinit.analysis import explain
from pbrinit.plan import ip_commands
from pbrinit.plan.plan import Plan
from tests.support.generate import plans
from tests.support.generate.packets import Packets, seeded
from tests.support.model_vs_kernel import Difference, Host, drawn_plan

PACKETS = 5000
"""Decisions for each plan: making its namespace takes as long as some thousands of them."""

Drawn = Callable[[random.Random], tuple[str, Plan]]


def of_no_policy(source: random.Random) -> tuple[str, Plan]:
    """A plan that no policy made, as the commands a person would type, and as it is.

    Of its sysctls the text has those that differ from plan to plan.
    """
    plan = plans.plan(source)
    same = {sysctl.note for sysctl in (*plan.sysctls, *plan.links[-1].sysctls)}
    told = (line for line in ip_commands.commands(plan) if line.partition("  # ")[2] not in same)
    return "\n".join(told), plan


KINDS: tuple[Drawn, ...] = (drawn_plan, of_no_policy)


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Compare the model with this machine's kernel.")
    parser.add_argument("--count", type=int, default=100_000, help="decisions to compare")
    parser.add_argument("--seed", type=int, help="makes a run again; drawn where not given")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{options.count} decisions; the same again: make fuzz SEED={seed}"
                  f" N={options.count}")  # fmt: skip
    done, allowed, drawn = 0, 0, 0
    with _progress(console) as progress:
        task = progress.add_task("", total=options.count, plans=0)
        for number in itertools.count():
            if done >= options.count:
                break
            draw = KINDS[number % len(KINDS)]
            text, compared, passed, found = one(f"{seed}.{number}", PACKETS, draw)
            done, allowed, drawn = done + compared, allowed + passed, number + 1
            progress.update(task, completed=min(done, options.count), plans=drawn)
            if found:
                console.print(f"\n{text}\n{told(found[0])}", markup=False)
                console.print(f"{len(found)} differences; again: make fuzz SEED={seed} N={done}")
                return 1
    console.print(f"0 differences in {done} decisions under {drawn} plans,"
                  f" {allowed} of which let the packet through")  # fmt: skip
    return 0


def _progress(console: Console) -> Progress:
    """A bar, where there is a terminal; it says nothing elsewhere."""
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[plans]} plans"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def one(seed: str, count: int, draw: Drawn) -> tuple[str, int, int, list[Difference]]:
    """One plan with its packets: its text, decisions, how many pass, and differences."""
    source = seeded(seed)
    text, plan = draw(source)
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
