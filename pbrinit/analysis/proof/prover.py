"""`pbrctl prove`: that a plan does what its policy means, for every packet.

In: a `Policy` and its `Plan`.  Out: a `Finding` for each statement: that it holds, or what shows
the contrary.  First comes what makes the plan well-formed; of a plan that is not, nothing more is
asked.  Then, whose ports are whose, and what is taken for granted of settings, addresses and
programs.  Last come the obligations, about all packets; what shows the contrary is one packet,
judged by the model and the meaning themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import z3

from pbrinit.analysis.assumed import assignment, assumptions
from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.analysis.conformance import Conformance, ConformanceChecker
from pbrinit.analysis.proof.encoding import FamilyEncoding, link_local
from pbrinit.analysis.proof.obligation import Obligation
from pbrinit.analysis.proof.obligations import obligations
from pbrinit.analysis.proof.port_slices import PortSlice, slices
from pbrinit.analysis.proof.representative import preferences
from pbrinit.analysis.wellformed import form
from pbrinit.net.addresses import Family
from pbrinit.net.icmp import ECHO_REQUEST
from pbrinit.net.packet import WITH_TYPES, Egress, Ingress, Origin, Packet
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from pbrinit.semantics.expectations import passing_answers

TIMEOUT = 60_000
"""Milliseconds for one obligation; they take some."""

PATIENCE = 2_000
"""Milliseconds for a wish, without which a counter-example is as good."""


class UndecidedError(Exception):
    """z3 came to no end with an obligation, or to one that the model does not confirm."""


@dataclass(frozen=True)
class Finding:
    """One obligation, and what shows the contrary where something does: a packet, a port, or a part
    of the plan.
    """

    obligation: Obligation | PortSlice | Claim
    seconds: float
    counterexample: Conformance | Flaw | None


class Proof:
    """The proof of one policy and its plan; findings come as they are made.

    `written` is the policy as its file has it, where this one has an assigned address.
    """

    def __init__(
        self,
        policy: Policy,
        plan: Plan,
        families: Iterable[Family] = Family,
        written: Policy | None = None,
    ) -> None:
        self.link_local = link_local(policy)
        self._families = tuple(families)
        self._policy, self._plan = policy, plan
        self._written = written

    @cached_property
    def encodings(self) -> dict[Family, FamilyEncoding]:
        """Both sides as conditions, for a plan that is well-formed."""
        arguments = self._policy, self._plan
        return {f: FamilyEncoding(*arguments, f, self.link_local) for f in self._families}

    @cached_property
    def form(self) -> tuple[Claim, ...]:
        """What makes the plan well-formed."""
        return tuple(form.claims(self._plan))

    @property
    def is_wellformed(self) -> bool:
        """Whether the kernel takes the plan, and reads it as it is meant."""
        return not any(claim.flaws for claim in self.form)

    @cached_property
    def checker(self) -> ConformanceChecker:
        """Who is asked about single packets: made where there is one to ask about."""
        return ConformanceChecker(self._policy, self._plan, self.link_local)

    def obligations(self) -> Iterator[Obligation]:
        """Everything that is to be shown."""
        for encoding in self.encodings.values():
            yield from obligations(encoding)

    def passing_answers(self) -> dict[str, tuple[str, ...]]:
        """For each expectation that lets answers pass, the entries whose answers do."""
        found: dict[str, dict[str, None]] = {}
        for family, encoding in self.encodings.items():
            for flows in (flows for flows in encoding.expected if flows.answers):
                keys = passing_answers(encoding.semantics, family, flows)
                found.setdefault(flows.key, {}).update(dict.fromkeys(keys))
        return {key: tuple(keys) for key, keys in found.items()}

    def findings(self) -> Iterator[Finding]:
        """Everything, shown or refuted.

        Raises UndecidedError.
        """
        yield from _of_claims(self.form)
        if not self.is_wellformed:
            return
        for found in slices(self._policy, self._plan):
            yield Finding(found, 0.0, found.conflict())
        if self._written is not None:
            yield from _of_claims(assignment.claims(self._written, self._policy))
        yield from _of_claims(assumptions.claims(self._policy, self._plan))
        for obligation in self.obligations():
            yield self.find(obligation)

    def find(self, obligation: Obligation) -> Finding:
        """Show or refute one obligation.

        Raises UndecidedError.
        """
        encoding = self.encodings[obligation.family]
        if obligation.arrives and not encoding.rules.dissects and encoding.kernel.accepts_fragments:
            why = "no rule for what arrives asks for a protocol, so fragments show none (IPv6)"
            raise UndecidedError(f"{obligation}: {why}")
        start = time.monotonic()
        solver = z3.SolverFor("QF_BV")
        solver.set("timeout", TIMEOUT)
        solver.add(*obligation.wrong())
        result = solver.check()
        if result == z3.unknown:
            raise UndecidedError(f"{obligation}: {solver.reason_unknown()}")
        found = None
        if result == z3.sat:
            found = self._counterexample(obligation, _ordinary(solver, encoding, obligation))
        return Finding(obligation, time.monotonic() - start, found)

    def _counterexample(self, obligation: Obligation, found: z3.ModelRef) -> Conformance:
        """The packet of a solution, put to the model and to the meaning."""
        conformance = self.checker.check(*self.packet(obligation, found))
        if not obligation.confirms(conformance):
            packet = f"{conformance.packet} {conformance.direction}"
            raise UndecidedError(f"{obligation}: model and proof are not of one mind on {packet}")
        return conformance

    def packet(self, obligation: Obligation, found: z3.ModelRef) -> tuple[Packet, Origin]:
        """A packet of a solution: of each class of addresses an ordinary one."""
        encoding = self.encodings[obligation.family]
        given = encoding.kernel.packet
        source, destination, source_port, destination_port, uid = (
            found.eval(value, model_completion=True).as_long()
            for value in (
                given.source.value,
                given.destination.value,
                given.source_port,
                given.destination_port,
                given.uid,
            )
        )
        protocol = min(obligation.protocols)
        outgoing = not obligation.arrives
        chosen = not (outgoing and source == encoding.kernel.unchosen)
        icmp = None
        if protocol in WITH_TYPES:
            number = divmod(destination_port, 256)
            icmp = number if outgoing else ECHO_REQUEST[encoding.family]
            destination_port = 0
        packet = Packet(
            protocol,
            encoding.classes.representative(source) if chosen else None,
            encoding.classes.representative(destination),
            source_port,
            destination_port,
            icmp,
        )
        if outgoing:
            return packet, Egress(uid, obligation.device, bound=chosen)
        return packet, Ingress(obligation.device or "")


def _of_claims(claims: Iterable[Claim]) -> Iterator[Finding]:
    for claim in claims:
        for flaw in claim.flaws or (None,):
            yield Finding(claim, 0.0, flaw)


def _ordinary(solver: z3.Solver, encoding: FamilyEncoding, obligation: Obligation) -> z3.ModelRef:
    """Of the solutions one that grants what is wished, as far as one does."""
    found = solver.model()
    solver.set("timeout", PATIENCE)
    for group in preferences(encoding, min(obligation.protocols), outgoing=not obligation.arrives):
        for wish in group:
            solver.push()
            solver.add(wish)
            if solver.check() == z3.sat:
                found = solver.model()
                break
            solver.pop()
    return found
