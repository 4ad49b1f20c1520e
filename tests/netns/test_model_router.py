"""The model and this machine's kernel are of one mind about what passes through a router."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from pbrinit.net.addresses import Family
from pbrinit.net.services import Ports
from pbrinit.plan.plan import Plan, RouteType
from tests.support import router_plan
from tests.support.generate.packets import Packets, seeded
from tests.support.generate.plan_mutants import changed, rerouted, without
from tests.support.model_vs_kernel import Host
from tests.tools import fuzz

PACKETS = 8000
SOURCE = {"family": Family.V6, "table": router_plan.SOURCED}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A namespace with the router's plan in force."""
    host = Host(router_plan.PLAN)
    yield host
    host.close()


def test_the_kernel_decides_as_the_model_does(host: Host) -> None:
    packets = Packets(host.plan, seeded("1"))
    asked = itertools.chain(packets.edges(), itertools.islice(packets, PACKETS))
    compared, passed, found = host.differences(host.plan, asked)
    assert not found, fuzz.told(found[0])
    assert compared > PACKETS // 2
    assert passed > compared // 10


MUTANTS: dict[str, Callable[[Plan], Plan]] = {
    "nothing is passed on": lambda plan: replace(plan, forwarding_sysctls=()),
    "one device passes nothing on": lambda plan: replace(
        plan, forwarding_sysctls=plan.forwarding_sysctls[1:]
    ),
    "answers by no rule": lambda plan: without(plan, preference=2010, family=Family.V4),
    "answers to other ports": lambda plan: changed(
        plan, {"destination_ports": Ports(32769, 60999)}, preference=2010, family=Family.V6
    ),
    "forged sources": lambda plan: without(plan, preference=3001, family=Family.V6),
    "another server": lambda plan: rerouted(
        plan, {"destination": ip_network("203.0.113.11")}, type=RouteType.PROHIBIT,
        family=Family.V4,
    ),
    "silent where it tells": lambda plan: rerouted(
        plan, {"type": RouteType.BLACKHOLE}, type=RouteType.PROHIBIT, table=router_plan.HERE,
        family=Family.V6,
    ),
    "an end where it goes on": lambda plan: rerouted(
        plan, {"type": RouteType.PROHIBIT}, type=RouteType.THROW, family=Family.V4
    ),
    "another source": lambda plan: rerouted(
        plan, {"source": ip_network("fd00:10::5:0/112")}, type=RouteType.UNICAST, **SOURCE
    ),
    "any source": lambda plan: rerouted(plan, {"source": None}, type=RouteType.UNICAST, **SOURCE),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_model_of_another_router_is_found_out(host: Host, mutant: str) -> None:
    packets = Packets(host.plan, seeded("2"))
    asked = itertools.chain(packets.edges(), itertools.islice(packets, PACKETS))
    assert host.differences(MUTANTS[mutant](host.plan), asked)[2]
