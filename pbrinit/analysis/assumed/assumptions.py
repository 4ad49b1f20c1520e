"""Everything that is taken for granted where packets are asked about, as statements to check.

In: a `Policy` and its `Plan`.  Out: `Claim` values.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.analysis.assumed import interfaces, room_network, settings, told
from pbrinit.analysis.claim import Claim
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy


def claims(policy: Policy, plan: Plan) -> Iterator[Claim]:
    """Each statement, about settings, interfaces, rooms and what PID 1 is told."""
    yield from settings.claims(policy, plan)
    yield from interfaces.claims(policy, plan)
    yield from room_network.claims(policy, plan)
    yield from told.claims(policy, plan)
