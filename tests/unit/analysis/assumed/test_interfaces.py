"""Links, addresses and their order are held to the policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from pbrinit.analysis.assumed import interfaces
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan, Route, RouteType
from pbrinit.policy.reader.reader import read_policy

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)
LOOPBACK, WAN, ROOM = PLAN.links[:3]
LATE = Route(Family.V4, 3000, RouteType.THROW)


def with_link(number: int, **change: Any) -> Plan:
    links = list(PLAN.links)
    links[number] = replace(links[number], **change)
    return replace(PLAN, links=tuple(links))


WRONG: dict[str, tuple[Callable[[], Plan], str]] = {
    "an address less": (lambda: with_link(1, addresses=WAN.addresses[:1]), "its addresses are"),
    "none": (lambda: with_link(1, addresses=()), "its addresses are none"),
    "the other one first": (
        lambda: with_link(1, addresses=WAN.addresses[::-1]), "its addresses are"),
    "a shorter prefix": (
        lambda: with_link(1, addresses=(ip_interface("192.0.2.2/23"), *WAN.addresses[1:])),
        "192.0.2.2/23"),
    "an address towards a room": (
        lambda: with_link(2, addresses=(ip_interface("192.0.2.3/32"),)), "have to be none"),
    "another card": (lambda: with_link(1, mac="02:00:00:00:00:07"), "it is found by"),
    "an interface less": (
        lambda: replace(PLAN, links=(LOOPBACK, *PLAN.links[2:])), "wan has no link"),
    "a link more": (
        lambda: replace(PLAN, links=(*PLAN.links, replace(WAN, device="eth7", name="x"))),
        "no such interface"),
    "loopback last": (
        lambda: replace(PLAN, links=(*PLAN.links[1:], LOOPBACK)), "loopback is the first"),
    "the hairpin after the address": (
        lambda: with_link(1, preaddress_routes=(), routes=(*WAN.preaddress_routes, *WAN.routes)),
        "is not refused from the start"),
    "the hairpin in another table": (
        lambda: with_link(1, preaddress_routes=tuple(
            replace(r, table=1999) for r in WAN.preaddress_routes)),
        "is not refused from the start"),
    "a refusal that comes late": (
        lambda: with_link(1, routes=(*WAN.routes, LATE)), "the throw route in table 3000 is late"),
    "loopback's routes that come late": (
        lambda: with_link(0, preaddress_routes=(), routes=LOOPBACK.preaddress_routes),
        "route in table 100 is late"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_another_link_than_the_policy_s_is_a_flaw(wrong: str) -> None:
    mutant, why = WRONG[wrong]
    found = [f for claim in interfaces.claims(POLICY, mutant()) for f in claim.flaws]
    assert any(why in str(flaw) for flaw in found), found


def test_the_proof_has_these_statements_too() -> None:
    plan = with_link(1, preaddress_routes=(), routes=(*WAN.preaddress_routes, *WAN.routes))
    found = [f for f in Proof(POLICY, plan).findings() if f.counterexample is not None]
    assert [str(f.obligation) for f in found] == ["what refuses is in force before any address is"]
