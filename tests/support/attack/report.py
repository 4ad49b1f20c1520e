"""A readable report of shots whose outcome is not what they expect.

In: observations.  Out: text with each packet, the expected and the observed outcome, and explain's
lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from scapy.layers.l2 import Ether

from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from tests.support.attack.model_opinion import explanation
from tests.support.attack.observation import Observation

MOST_DETAILS = 10
"""How many are shown in detail; the others are shown by name."""


def report(wrong: Sequence[Observation], plan: Plan, policy: Policy, devices: Sequence[str]) -> str:
    """The whole report."""
    details = [_details(seen, plan, policy, devices) for seen in wrong[:MOST_DETAILS]]
    names = [seen.shot.what for seen in wrong[MOST_DETAILS:]]
    return "\n\n".join([f"{len(wrong)} probes failed", *details, *names])


def _details(seen: Observation, plan: Plan, policy: Policy, devices: Sequence[str]) -> str:
    shot = seen.shot
    sent = "\n".join(f"  {Ether(frame).summary()}\n  {frame.hex()}" for frame in shot.frames)
    expected = _verdict(shot.arrives, shot.answer, shot.passes)
    result = _verdict(seen.delivered, seen.answer, seen.forwarded)
    stray = f"\nleft elsewhere: {', '.join(seen.stray)}" if seen.stray else ""
    return (
        f"{shot.kind}: {shot.what}\nsent:\n{sent}\nexpected: {expected}\nseen: {result}, as "
        f"{seen.arrived}{stray}\nexplain: {explanation(plan, policy, shot, devices[shot.nic])}"
    )


def _verdict(arrives: bool, answer: str, passes: bool) -> str:
    parts = ["arrives" if arrives else "does not arrive"]
    parts.append(f"answered by {answer!r}" if answer else "no answer")
    return ", ".join([*parts, *(["passed on"] if passes else [])])
