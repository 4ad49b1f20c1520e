"""What the rules of one family are made from, and where they are written to.

In: nothing (values only).  Out: `CompileContext`, which the functions for every band take, and
`RulePart`, the base of what they share within one band.
"""

from __future__ import annotations

from dataclasses import dataclass

from pbrinit.compiler.assembler import Assembler
from pbrinit.compiler.policy_flows import PolicyFlows
from pbrinit.compiler.set_tables import SetTables
from pbrinit.net.addresses import Family
from pbrinit.policy.policy import Policy
from pbrinit.policy.topology import Topology


@dataclass(frozen=True)
class CompileContext:
    """A policy, its topology and flows in one family, the tables of sets so far, and the rules."""

    policy: Policy
    topology: Topology
    flows: PolicyFlows
    tables: SetTables
    code: Assembler

    @property
    def family(self) -> Family:
        """The family that the rules are for."""
        return self.topology.family


@dataclass(frozen=True)
class RulePart:
    """A part of the rules of one context."""

    context: CompileContext

    @property
    def code(self) -> Assembler:
        """Where the rules are written to."""
        return self.context.code

    @property
    def family(self) -> Family:
        """The family that the rules are for."""
        return self.context.family
