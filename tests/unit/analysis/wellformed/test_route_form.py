"""A route that the kernel refuses, or reads otherwise than the plan does, is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from pbrinit.analysis.claim import Flaw
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan, PlannedProgram, Route, RouteType
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.plan_mutants import renumbered, rerouted

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)
HAIRPIN: dict[str, object] = {"family": Family.V4, "type": RouteType.LOCAL}
GATEWAY: dict[str, object] = {"family": Family.V4, "table": 254, "destination": None}
GATEWAY_6: dict[str, object] = {"family": Family.V6, "table": 254, "destination": None}
OWN_4, OWN_6 = (
    next(a for i in POLICY.interfaces for a in i.addresses_of(family)) for family in Family
)

MUTANTS: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "a destination of the other family": (
        HAIRPIN, {"destination": ip_network("2001:db8::/32")}, "is of the other family"),
    "a gateway of the other family": (
        GATEWAY, {"gateway": ip_address("fe80::1")}, "is of the other family"),
    "a source in IPv4": (HAIRPIN, {"source": ip_network("10.0.0.0/8")}, "no routes by source"),
    "table 0": (GATEWAY, {"table": 0}, "no plan has such a table"),
    "table 253": (GATEWAY, {"table": 253}, "no plan has such a table"),
    "the table of the kernel": (GATEWAY, {"table": 255}, "the kernel alone fills this table"),
    "a table of the next plan": (GATEWAY, {"table": 1_000_254}, "no plan has such a table"),
    "a broadcast in IPv6": (GATEWAY_6, {"type": RouteType.BROADCAST}, "no routes of the type"),
    "a multicast": (GATEWAY, {"type": RouteType.MULTICAST}, "no routes of the type"),
    "an anycast": (GATEWAY_6, {"type": RouteType.ANYCAST}, "no routes of the type"),
    "a gateway of what leads nowhere": (
        GATEWAY, {"type": RouteType.PROHIBIT}, "has no gateway"),
    "a gateway of what is local": (GATEWAY_6, {"type": RouteType.LOCAL}, "has no gateway"),
    "one hairpin table for two devices": (
        {**HAIRPIN, "table": 1001}, {"table": 1000}, "has a route to this prefix already"),
    "a route that an address brings": (
        GATEWAY, {"destination": OWN_4.network}, "has a route to this prefix already"),
    "a gateway that is this machine": (GATEWAY, {"gateway": OWN_4.ip}, "is no other host"),
    "a gateway that is this machine, IPv6": (
        GATEWAY_6, {"gateway": OWN_6.ip}, "is no other host"),
    "a gateway that is all hosts": (
        GATEWAY, {"gateway": OWN_4.network.broadcast_address}, "is no other host"),
    "a gateway that is none": (GATEWAY, {"gateway": ip_address("0.0.0.0")}, "is no other host"),
    "a gateway that is none, IPv6": (
        GATEWAY_6, {"gateway": ip_address("::")}, "is no other host"),
    "a gateway that is a group": (
        GATEWAY_6, {"gateway": ip_address("ff02::2")}, "is no other host"),
    "the source of another": (
        GATEWAY, {"preferred": ip_address("203.0.113.9")}, "is no address there"),
}  # fmt: skip


def flaws(plan: Plan) -> list[Flaw]:
    found = [finding.counterexample for finding in Proof(POLICY, plan).findings()]
    return [flaw for flaw in found if isinstance(flaw, Flaw)]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_route_that_the_kernel_does_not_take_is_refused(name: str) -> None:
    wanted, change, why = MUTANTS[name]
    assert any(why in str(flaw) for flaw in flaws(rerouted(PLAN, change, **wanted)))


def in_room(plan: Plan, change: Callable[[tuple[Route, ...]], tuple[Route, ...]]) -> Plan:
    """The plan whose first room has other routes."""

    def changed(planned: PlannedProgram) -> PlannedProgram:
        assert planned.room is not None
        return replace(planned, room=replace(planned.room, routes=change(planned.room.routes)))

    first, *others = plan.programs
    return replace(plan, programs=(changed(first), *others))


def test_a_route_that_is_in_a_room_twice_is_refused() -> None:
    (flaw,) = flaws(in_room(PLAN, lambda routes: (*routes, routes[0])))
    assert str(flaw).startswith("room sshd: ")
    assert "has a route to this prefix already" in str(flaw)


def test_a_route_in_a_room_prefers_no_source_that_the_room_does_not_have() -> None:
    other = ip_address("203.0.113.9")
    mutant = in_room(PLAN, lambda r: (replace(r[0], preferred=other), *r[1:]))
    assert "203.0.113.9 is no address there" in str(flaws(mutant)[0])


def test_two_routes_of_ipv6_to_a_prefix_differ_in_their_source() -> None:
    """The kernel holds both, which it does not in IPv4."""
    loopback, *others = PLAN.links
    one = Route(Family.V6, 1000, RouteType.THROW, ip_network("2001:db8::/32"))
    two = replace(one, source=ip_network("2001:db8:1::/48"))
    early = loopback.preaddress_routes
    more = replace(loopback, preaddress_routes=(*early, one, two))
    assert flaws(replace(PLAN, links=(more, *others))) == []
    three = replace(two, type=RouteType.BLACKHOLE)
    twice = replace(loopback, preaddress_routes=(*early, one, two, three))
    assert len(flaws(replace(PLAN, links=(twice, *others)))) == 1


def test_one_hairpin_table_for_all_devices_is_refused() -> None:
    """The kernel takes one route, so a socket that is bound to another device sends anything."""
    assert any(
        "to this prefix already" in str(flaw) for flaw in flaws(renumbered(PLAN, 1001, 1000))
    )


def test_a_route_that_is_there_twice_is_refused() -> None:
    loopback, wan, *others = PLAN.links
    twice = replace(wan, routes=(*wan.routes, *wan.routes))
    assert len(flaws(replace(PLAN, links=(loopback, twice, *others)))) == len(wan.routes)
