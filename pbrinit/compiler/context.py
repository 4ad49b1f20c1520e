"""What the rules of one family are made from.

In: nothing (values only).  Out: `Ground`, which every band is written from.
"""

from __future__ import annotations

from dataclasses import dataclass

from pbrinit.compiler.policy_flows import Claims
from pbrinit.compiler.set_tables import Tables
from pbrinit.net.addresses import Family
from pbrinit.policy.policy import Policy
from pbrinit.policy.topology import Places


@dataclass(frozen=True)
class Ground:
    """A policy, who lives where in one family, what the policy says, and the tables so far."""

    policy: Policy
    places: Places
    claims: Claims
    tables: Tables

    @property
    def family(self) -> Family:
        """The family that the rules are for."""
        return self.places.family
