"""The proof thinks of each single packet as the model and the meaning do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import z3

from pbrinit.analysis.proof.obligation import Obligation
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Ingress, Origin, Packet
from pbrinit.plan.plan import Plan
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from pbrinit.semantics.decision import lookup_flow
from tests.support.generate import plans
from tests.support.generate.feasible_packets import real
from tests.support.generate.packets import Packets, seeded
from tests.support.generate.rule_mutants import mutants

EXAMPLES = [Path(f"examples/{name}.toml") for name in ("host", "bastion", "router", "rooms")]
PLANS = 25
PACKETS = 80
MUTANTS = 8


class Conditions:
    """The conditions of a proof, made once each, to be asked about single packets."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._made: dict[int, z3.BoolRef] = {}
        self._obligations = [o for o in proof.obligations() if not o.about.startswith("expect")]

    def refuted_by(self, packet: Packet, direction: Origin) -> bool:
        """Whether a packet is a counter-example to something, by the proof's own conditions."""
        return any(self._holds(number, obligation, packet, direction)
                   for number, obligation in enumerate(self._obligations)
                   if _about(obligation, packet, direction))  # fmt: skip

    def _holds(
        self, number: int, obligation: Obligation, packet: Packet, direction: Origin
    ) -> bool:
        if number not in self._made:
            self._made[number] = z3.And(*obligation.wrong())
        case = self._proof.encodings[obligation.family]
        given, one = case.kernel.packet, lookup_flow(packet, direction)
        source = case.kernel.unchosen
        if one.source is not None:
            source = case.classes.number(one.source)
        values: tuple[tuple[z3.BitVecRef, int], ...] = (
            (given.source.value, source),
            (given.destination.value, case.classes.number(one.destination)),
            (given.source_port, one.source_port),
            (given.destination_port, one.destination_port),
            (given.uid, one.uid),
        )
        known = [(variable, z3.BitVecVal(value, variable.size())) for variable, value in values]
        return bool(z3.is_true(z3.simplify(z3.substitute(self._made[number], *known))))


def _about(obligation: Obligation, packet: Packet, direction: Origin) -> bool:
    """Whether an obligation speaks of a packet."""
    return (
        obligation.family is packet.family
        and obligation.arrives == isinstance(direction, Ingress)
        and obligation.device == direction.device
        and packet.protocol in obligation.protocols
    )


def compare(policy: Policy, plan: Plan, packets: Iterator[tuple[Packet, Origin]]) -> int:
    """How many packets are wrong, of which judge and proof agree that they are."""
    proof = Proof(policy, plan)
    conditions = Conditions(proof)
    found = 0
    for packet, direction in real(packets):
        judgement = proof.checker.check(packet, direction)
        wrong = judgement.wrong or judgement.wrong_notice
        assert conditions.refuted_by(packet, direction) == wrong, f"{packet}\n{direction}"
        found += wrong
    return found


def of_plan(plan: Plan) -> Policy:
    """A policy with the interfaces of a plan that allows nothing."""
    interfaces = tuple(
        Interface(link.name, link.device, None, link.addresses, ()) for link in plan.links[1:]
    )
    return Policy("drawn", interfaces, (), ())


def test_on_plans_that_no_policy_made() -> None:
    found = 0
    for number in range(PLANS):
        random = seeded(f"plans.{number}")
        plan = plans.plan(random)
        found += compare(of_plan(plan), plan, islice(Packets(plan, random), PACKETS))
    assert found > PLANS * PACKETS // 20


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_on_mutants_of_the_examples(path: Path) -> None:
    policy, plan = read_policy(path), load(path)
    random = seeded(path.stem)
    for mutant in random.sample([*mutants(plan)], MUTANTS):
        near = Packets(mutant.plan, random)
        changed = (near.near(mutant.rule) for _ in range(PACKETS))
        compare(policy, mutant.plan, changed)


@pytest.mark.parametrize("family", Family)
def test_protocols_that_no_rule_tells_apart_are_one_case(family: Family) -> None:
    path = EXAMPLES[0]
    groups = Proof(read_policy(path), load(path)).encodings[family].protocols
    assert sorted(p for group in groups for p in group) == list(range(256))
    assert len(groups) < 8
