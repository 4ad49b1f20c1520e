"""A rule that the kernel refuses, or reads as wider than the plan does, is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from pbrinit.analysis.claim import Flaw
from pbrinit.analysis.proof.prover import Finding, Proof
from pbrinit.boot.guard.gate import BLOCK_ALL
from pbrinit.boot.network.slots import PREFERENCES, TABLES
from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.net.services import Ports
from pbrinit.plan.plan import LOOPBACK, TABLE_MAIN, Action, Plan, Rule
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.plan_mutants import changed, first_of_all, renumbered

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)
families = pytest.mark.parametrize("family", Family)


def refuted(plan: Plan) -> list[Finding]:
    return [f for f in Proof(POLICY, plan).findings() if f.counterexample is not None]


def a(family: Family, fits: Callable[[Rule], bool]) -> dict[str, object]:
    """Which rule is the first of a family that fits."""
    rule = next(rule for rule in PLAN.rules if rule.family is family and fits(rule))
    return {"family": family, "preference": rule.preference}


def looks_up(rule: Rule) -> bool:
    return rule.action is Action.LOOKUP and rule.argument not in (254, 255)


def leads_on(rule: Rule) -> bool:
    return rule.action is Action.GOTO


def has_ports(rule: Rule) -> bool:
    return rule.protocol == 6 and rule.destination_ports is not None


def has_protocol(rule: Rule) -> bool:
    return rule.protocol is not None


def refuses(rule: Rule) -> bool:
    return rule.action is Action.BLACKHOLE


def any_rule(rule: Rule) -> bool:
    return rule.preference > 0


def has_source(rule: Rule) -> bool:
    return rule.source is not None


MUTANTS: dict[str, tuple[Callable[[Rule], bool], dict[str, object], str]] = {
    "preference 0": (any_rule, {"preference": 0}, "no rule of a plan can have this preference"),
    "a preference of the next plan": (
        any_rule, {"preference": PREFERENCES}, "no rule of a plan can have this preference"),
    "a preference beyond all": (
        any_rule, {"preference": BLOCK_ALL}, "no rule of a plan can have this preference"),
    "a preference twice": (looks_up, {"preference": 1}, "so has another rule"),
    "a goto to nothing": (leads_on, {"argument": 7}, "it leads to no rule"),
    "a goto without a target": (leads_on, {"argument": None}, "it leads to no rule"),
    "table 0": (looks_up, {"argument": 0}, "no plan has such a table"),
    "table 252": (looks_up, {"argument": 252}, "no plan has such a table"),
    "table 253": (looks_up, {"argument": 253}, "no plan has such a table"),
    "a table of the next plan": (looks_up, {"argument": TABLES}, "no plan has such a table"),
    "no table": (looks_up, {"argument": None}, "no plan has such a table"),
    "a refusal with an argument": (refuses, {"argument": 255}, "such a rule has no argument"),
    "protocol 0": (has_protocol, {"protocol": 0}, "protocol 0 is any protocol to the kernel"),
    "protocol 256": (has_protocol, {"protocol": 256}, "there is no such protocol"),
    "protocol 262, which is 6 in a byte": (
        has_protocol, {"protocol": 262}, "there is no such protocol"),
    "ports without a protocol": (has_ports, {"protocol": None}, "SCTP and of ESP"),
    "ports of SCTP": (has_ports, {"protocol": 132}, "protocol 132 has no ports here"),
    "ports of ESP": (has_ports, {"protocol": 50}, "protocol 50 has no ports here"),
    "port 0": (has_ports, {"destination_ports": Ports(0, 22)}, "the kernel refuses the ports"),
    "port 65535": (
        has_ports, {"destination_ports": Ports(22, 65535)}, "the kernel refuses the ports"),
    "ports that end before they begin": (
        has_ports, {"source_ports": Ports(23, 22)}, "the kernel refuses the ports"),
    "a user that is none": (any_rule, {"uid": 0xFFFF_FFFF}, "there is no such user"),
    "a user below 0": (any_rule, {"uid": -1}, "there is no such user"),
    "a device that is not there": (any_rule, {"iif": "eth9"}, "the plan has no device eth9"),
    "a device to leave by that is not there": (
        any_rule, {"oif": "eth9"}, "the plan has no device eth9"),
}  # fmt: skip


@families
@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_that_the_kernel_reads_otherwise_is_refused(name: str, family: Family) -> None:
    fits, change, why = MUTANTS[name]
    found = refuted(changed(PLAN, change, **a(family, fits)))
    flaws = [finding.counterexample for finding in found]
    assert all(isinstance(flaw, Flaw) for flaw in flaws)
    assert any(why in str(flaw) for flaw in flaws), flaws


@families
def test_a_rule_with_a_prefix_of_the_other_family_is_refused(family: Family) -> None:
    other = Family.V6 if family is Family.V4 else Family.V4
    rule = next(rule for rule in PLAN.rules if rule.family is other and rule.source is not None)
    found = refuted(changed(PLAN, {"source": rule.source}, **a(family, has_source)))
    assert "is of the other family" in str(found[0].counterexample)


@families
def test_a_goto_that_leads_back_is_refused(family: Family) -> None:
    last = max((r for r in PLAN.rules if r.family is family and leads_on(r)),
               key=lambda rule: rule.preference)  # fmt: skip
    mutant = changed(PLAN, {"argument": 1}, family=family, preference=last.preference)
    assert "it does not lead on" in str(refuted(mutant)[0].counterexample)


def test_icmp_has_types_in_output_and_no_ports_from_which_it_comes() -> None:
    typed = a(Family.V4, lambda rule: rule.protocol == 1 and rule.destination_ports is not None)
    mutant = changed(PLAN, {"source_ports": Ports(8, 8)}, **typed)
    assert "protocol 1 has no ports here" in str(refuted(mutant)[0].counterexample)
    mutant = changed(PLAN, {"protocol": 58}, **typed)
    assert "protocol 58 has no ports here" in str(refuted(mutant)[0].counterexample)


def test_of_a_plan_that_is_not_well_formed_nothing_more_is_said() -> None:
    mutant = changed(PLAN, {"protocol": 0}, **a(Family.V4, has_protocol))
    proof = Proof(POLICY, mutant)
    assert not proof.is_wellformed
    assert {type(finding.obligation).__name__ for finding in proof.findings()} == {"Claim"}


def test_a_plan_without_a_flaw_has_a_finding_for_each_statement() -> None:
    proof = Proof(POLICY, PLAN)
    assert proof.is_wellformed
    told = [str(finding.obligation) for finding in proof.findings()]
    assert told[: len(proof.form)] == [claim.text for claim in proof.form]
    assert refuted(PLAN) == []


# What each of these plans does on a kernel no packet of the model shows, so all were proved.


@families
def test_a_rule_more_that_lets_every_user_send_anything_is_refused(family: Family) -> None:
    rule = Rule(family, 1, Action.LOOKUP, TABLE_MAIN, iif=LOOPBACK, protocol=0)
    (finding,) = refuted(first_of_all(PLAN, rule))
    assert "protocol 0 is any protocol to the kernel" in str(finding.counterexample)


@pytest.mark.parametrize("number", [100, 1000, 2001])
@pytest.mark.parametrize("other", [0, 252, 253, TABLES + 7])
def test_a_table_that_has_a_number_of_the_kernel_everywhere_is_refused(
    number: int, other: int
) -> None:
    found = refuted(renumbered(PLAN, number, other))
    assert {"no plan has such a table"} <= {
        finding.counterexample.why for finding in found if isinstance(finding.counterexample, Flaw)
    }


@families
def test_two_rules_of_one_preference_are_refused(family: Family) -> None:
    """Which of them is asked first is for the kernel to say."""
    targets = {r.argument for r in PLAN.rules if r.family is family and r.action is Action.GOTO}
    rules = sorted((r for r in PLAN.rules if r.family is family), key=lambda r: r.preference)
    one, two = next(pair for pair in pairwise(rules) if pair[1].preference not in targets)
    mutant = changed(PLAN, {"preference": one.preference}, family=family,
                     preference=two.preference)  # fmt: skip
    assert "so has another rule" in str(refuted(mutant)[0].counterexample)


@families
@pytest.mark.parametrize("field", ["source", "destination"])
def test_a_rule_with_a_prefix_of_length_0_is_refused(family: Family, field: str) -> None:
    everybody = family.prefix(0, 0)
    found = refuted(changed(PLAN, {field: everybody}, **a(family, any_rule)))
    assert f"the kernel reads the rule back without {everybody}" in str(found[0].counterexample)
