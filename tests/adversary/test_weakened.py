"""Plans that are weaker than the compiler's, each in one thing: some probe finds each out.

The image is the shipped one; a second archive writes over its plan
(tests/support/attack/images.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from pbrinit.cli.build import load
from pbrinit.net.services import Ports
from pbrinit.plan.plan import Plan, Rule
from tests.adversary.tables import host_inside, host_tricks, host_wire
from tests.support.attack import images
from tests.support.attack.act import NOBODY
from tests.support.attack.range import AttackRange
from tests.support.generate.plan_mutants import without_notes

PLAN = load(images.HOST)
SSH = Ports(22, 22)


def portless() -> Plan:
    """The plan with ssh let in by its protocol alone, which is what a fragment shows; the return
    path too, where IPv4 asks.
    """

    def weaker(rule: Rule) -> Rule:
        if rule.destination_ports == SSH:
            return replace(rule, destination_ports=None)
        return replace(rule, source_ports=None) if rule.source_ports == SSH else rule

    rules = tuple(map(weaker, PLAN.rules))
    assert rules != PLAN.rules
    return replace(PLAN, rules=rules)


def spoofed(attack_range: AttackRange) -> list[str]:
    return [
        seen.shot.what
        for seen in attack_range.fire(list(host_wire.spoofed()))
        if not seen.as_expected
    ]


def fragments(attack_range: AttackRange) -> list[str]:
    return [
        seen.shot.what
        for seen in attack_range.fire(list(host_tricks.fragments()))
        if not seen.as_expected
    ]


def bound(attack_range: AttackRange) -> list[str]:
    acts = [act for act in host_inside.sockets() if act.uid == NOBODY]
    return [act.what for act, (_, left) in attack_range.perform(acts) if left != act.leaves]


WEAKENED: dict[
    str, tuple[Callable[[], Plan], Callable[[AttackRange], list[str]], tuple[str, ...]]
] = {
    "anti-spoofing": (
        lambda: without_notes(PLAN, "spoofed"),
        spoofed,
        ("an answer of https from 2001:db8::2",),
    ),
    "fragments": (
        portless,
        fragments,
        ("IPv6 ssh from mgmt, header first", "IPv4 ssh from mgmt, tiny first"),
    ),
    "hairpin": (
        lambda: without_notes(PLAN, "from a bound socket"),
        bound,
        ("IPv4 udp to the neighbour with SO_BINDTODEVICE",),
    ),
}


@pytest.mark.parametrize("name", WEAKENED)
def test_a_weaker_plan_is_found_out(
    name: str, artefacts: Artefacts, accelerated: Accelerator
) -> None:
    make, probe, caught = WEAKENED[name]
    with images.gate(f"weak-{name}", artefacts, accelerated, make()) as attack_range:
        assert set(caught) <= set(probe(attack_range))
