"""The addresses and routes in a room are held to the policy: the model does not look there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest

from pbrinit.analysis.assumed import room_network
from pbrinit.analysis.claim import Flaw
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import load
from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan, Room, Route, RouteType
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from tests.support.policy_text import ROOMS, written

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)


def flaws(policy: Policy, plan: Plan) -> list[Flaw]:
    return [flaw for claim in room_network.claims(policy, plan) for flaw in claim.flaws]


def with_room(plan: Plan, change: Callable[[Room], dict[str, Any]]) -> Plan:
    """The plan whose second room is another."""
    first, second, *others = plan.programs
    assert second.room is not None
    room = replace(second.room, **change(second.room))
    return replace(plan, programs=(first, replace(second, room=room), *others))


def with_route(number: int, **change: Any) -> Plan:
    def changed(room: Room) -> dict[str, Any]:
        routes = list(room.routes)
        routes[number] = replace(routes[number], **change)
        return {"routes": tuple(routes)}

    return with_room(PLAN, changed)


def test_the_example_has_no_flaw_and_a_route_for_each_of_these() -> None:
    assert flaws(POLICY, PLAN) == []
    room = PLAN.programs[1].room
    assert room is not None
    assert [str(route.destination) for route in room.routes] == [
        "192.0.2.0/24", "None", "169.254.77.0/24",
        "2001:db8::/64", "None", "fd70:6272:696e:6974::/112",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(6))
def test_a_route_that_a_room_does_not_have_is_a_flaw(number: int) -> None:
    def less(room: Room) -> dict[str, Any]:
        return {"routes": (*room.routes[:number], *room.routes[number + 1 :])}

    assert len(flaws(POLICY, with_room(PLAN, less))) == (0 if number in (0, 3) else 1)


@pytest.mark.parametrize("number", range(6))
def test_a_route_that_chooses_no_source_or_the_wrong_one_is_a_flaw(number: int) -> None:
    room = PLAN.programs[1].room
    assert room is not None
    own = room.routes[number]
    other = next(r.preferred for r in room.routes
                 if r.family is own.family and r.preferred != own.preferred)  # fmt: skip
    for source in (None, other):
        (flaw, *_) = flaws(POLICY, with_route(number, preferred=source))
        assert f"and has to from {own.preferred}" in flaw.why


def test_a_route_that_does_not_lead_to_the_machine_is_a_flaw() -> None:
    for change in ({"type": RouteType.LOCAL}, {"table": 100}):
        assert any("leads not to the machine" in flaw.why
                   for flaw in flaws(POLICY, with_route(1, **change)))  # fmt: skip


def test_a_room_without_an_address_or_with_another_is_a_flaw() -> None:
    mutant = with_room(PLAN, lambda room: {"addresses": room.addresses[1:]})
    assert [flaw.why for flaw in flaws(POLICY, mutant)] == ["it does not have 192.0.2.2/32"]
    more = ip_interface("192.0.2.9/32")
    mutant = with_room(PLAN, lambda room: {"addresses": (*room.addresses, more)})
    assert [f.why for f in flaws(POLICY, mutant)] == [
        "it has 192.0.2.9/32, which is not the machine's"
    ]
    wide = ip_interface("192.0.2.2/24")
    mutant = with_room(PLAN, lambda room: {"addresses": (wide, *room.addresses[1:])})
    assert len(flaws(POLICY, mutant)) == 2


def test_the_inside_address_of_another_room_is_a_flaw() -> None:
    """By it the room would be taken for the other, in the rules of all rooms."""
    inside, others = ip_interface("169.254.77.2/32"), ip_interface("169.254.77.3/32")

    def changed(room: Room) -> dict[str, Any]:
        assert inside in room.addresses
        return {"addresses": tuple(others if a == inside else a for a in room.addresses)}

    found = flaws(POLICY, with_room(PLAN, changed))
    assert {"it does not have 169.254.77.2/32"} < {flaw.why for flaw in found}


def test_a_room_that_is_missing_or_too_many_is_a_flaw() -> None:
    first, *others = PLAN.programs
    alone = replace(PLAN, programs=(replace(first, room=None), *others))
    assert [str(flaw) for flaw in flaws(POLICY, alone)] == ["sshd: policy and plan differ"]


def test_with_several_interfaces_and_routers_each_has_its_source() -> None:
    policy = written('[[input]]\nservice = "ssh"\nrun = "sshd"\n', ROOMS)
    plan = compile_policy(policy)
    assert flaws(policy, plan) == []
    lan = ip_address("10.0.0.1")

    def from_lan(route: Route) -> Route:
        return replace(route, preferred=lan) if route.family is Family.V4 else route

    mutant = with_room(plan, lambda room: {"routes": tuple(map(from_lan, room.routes))})
    found = flaws(policy, mutant)
    assert {flaw.why.rpartition(" from ")[2] for flaw in found} == {"192.0.2.2", "172.16.0.1"}


def test_the_proof_has_these_statements_too() -> None:
    mutant = with_route(1, preferred=ip_address("169.254.77.2"))
    found = [f for f in Proof(POLICY, mutant).findings() if f.counterexample is not None]
    assert [str(f.obligation) for f in found] == [
        "each room sends to whom it can reach, from the address that it has there"
    ]
