"""What a person gets to see of probes that failed.

In: what came of them.  Out: text, with the packet, what was expected and seen, and explain's word.
"""

from __future__ import annotations

from collections.abc import Sequence

from scapy.layers.l2 import Ether

from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from tests.support.attack.model_opinion import explained
from tests.support.attack.observation import Seen

MOST = 10
"""So many are shown whole, the rest by name."""


def report(wrong: Sequence[Seen], plan: Plan, policy: Policy, devices: Sequence[str]) -> str:
    """All of it."""
    whole = [_whole(seen, plan, policy, devices) for seen in wrong[:MOST]]
    names = [seen.shot.what for seen in wrong[MOST:]]
    return "\n\n".join([f"{len(wrong)} probes failed", *whole, *names])


def _whole(seen: Seen, plan: Plan, policy: Policy, devices: Sequence[str]) -> str:
    shot = seen.shot
    sent = "\n".join(f"  {Ether(frame).summary()}\n  {frame.hex()}" for frame in shot.frames)
    expected = _verdict(shot.arrives, shot.answer, shot.passes)
    found = _verdict(seen.handed_on, seen.answer, seen.passed)
    stray = f"\nleft elsewhere: {', '.join(seen.stray)}" if seen.stray else ""
    return (
        f"{shot.kind}: {shot.what}\nsent:\n{sent}\nexpected: {expected}\nseen: {found}, as "
        f"{seen.arrived}{stray}\nexplain: {explained(plan, policy, shot, devices[shot.nic])}"
    )


def _verdict(arrives: bool, answer: str, passes: bool) -> str:
    words = ["arrives" if arrives else "does not arrive"]
    words.append(f"answered by {answer!r}" if answer else "no answer")
    return ", ".join([*words, *(["passed on"] if passes else [])])
