"""Rooms of a machine whose address comes by DHCP: they have the one that the machine has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address, IPv4Interface

import pytest

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import Assignment, with_assignments
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace, run_guard, run_supervisor, two_room_machine
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.leased_rooms import (
    SECONDS,
    client,
    is_reached,
    restart_counts,
    sends_from,
    ssh_result,
)
from tests.support.policy_text import by_dhcp

PEER = IPv4Address("192.0.2.1")
FIRST, SECOND, SIX = "192.0.2.77", "192.0.2.90", "2001:db8::2"
STRANGER, MGMT_SIX = "203.0.113.7", "2001:db8:5::9"
POLICY = by_dhcp(
    two_room_machine.policy(two_room_machine.SERVER, client(str(PEER)), 'restart = "always"')
)


def plan_with(address: str | None, server: IPv4Address | None = PEER) -> BootPlan:
    given = Assignment(IPv4Interface(f"{address}/24"), PEER, server) if address else None
    return encode(compile_policy(with_assignments(POLICY, given)), "programs")


@pytest.fixture
def waiting() -> Iterator[Lab]:
    """A machine without an IPv4 address, whose programs run; a peer that serves the web."""
    with two_room_machine.running(plan_with(None)) as lab:
        lab.machine.do(run_supervisor.wait_for, "one: serving")
        lab.peer.do(in_namespace.serve, "tcp", 80, (str(PEER),))
        yield lab


def test_a_room_has_the_address_of_the_lease_and_no_more_that_of_the_one_before(
    waiting: Lab,
) -> None:
    assert ssh_result(waiting, SIX, MGMT_SIX) == "answered"
    assert ssh_result(waiting, FIRST) == "silence"
    waiting.machine.do(run_supervisor.wait_for, "two: none: Network is unreachable")
    for address, other in ((FIRST, SECOND), (SECOND, FIRST)):
        waiting.machine.do(run_supervisor.use_lease, plan_with(address))
        assert wait_until(partial(sends_from, waiting, address), SECONDS)
        assert wait_until(partial(is_reached, waiting, address), SECONDS)
        assert ssh_result(waiting, address, STRANGER) == "silence"
        assert ssh_result(waiting, other) == "silence"
        assert ssh_result(waiting, SIX, MGMT_SIX) == "answered"
    before = restart_counts(waiting)
    assert before == {"one": 2, "two": 2}
    waiting.machine.do(run_supervisor.use_lease, plan_with(SECOND, server=None))
    time.sleep(3)
    assert restart_counts(waiting) == before
    assert ssh_result(waiting, SECOND) == "answered"
    waiting.machine.do(run_supervisor.use_lease, plan_with(None))
    assert wait_until(lambda: set(restart_counts(waiting).values()) == {3}, SECONDS)
    assert ssh_result(waiting, SECOND) == "silence"
    assert wait_until(lambda: ssh_result(waiting, SIX, MGMT_SIX) == "answered", SECONDS)
    assert waiting.machine.do(run_guard.is_alive)
