"""Rooms of a machine whose IPv6 address comes by router advertisement: they have the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address, IPv6Interface

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
from tests.support.namespaces.ra_router import own_address, router_address
from tests.support.policy_text import by_ra

FOUR, WEB = "192.0.2.2", "2001:db8:7::7"
MGMT, STRANGER = "2001:db8:5::9", "2001:db8:7::7"
POLICY = by_ra(two_room_machine.policy(two_room_machine.SERVER, client(WEB), 'restart = "always"'))


def plan_with(found: Assignment | None) -> BootPlan:
    return encode(compile_policy(with_assignments(POLICY, found)), "programs")


def given(lab: Lab, prefix: str, gateway: bool = True) -> Assignment:
    hop = IPv6Address(router_address(lab)) if gateway else None
    return Assignment(IPv6Interface(f"{own_address(lab, prefix)}/64"), hop)


@pytest.fixture
def waiting() -> Iterator[Lab]:
    """A machine without an IPv6 address, whose programs run; a peer that serves the web."""
    with two_room_machine.running(plan_with(None)) as lab:
        lab.peer.run("ip", "address", "add", "2001:db8:1::1/64", "dev", "eth0", "nodad")
        lab.machine.do(run_supervisor.wait_for, "one: serving")
        lab.peer.do(in_namespace.serve, "tcp", 80, (WEB,))
        yield lab


def test_a_room_has_the_address_of_the_prefix_and_no_more_that_of_the_one_before(
    waiting: Lab,
) -> None:
    """The gateway's address is of the link, and known to no room."""
    first, second = (own_address(waiting, prefix) for prefix in ("2001:db8::", "2001:db8:1::"))
    assert is_reached(waiting, FOUR)
    assert ssh_result(waiting, first, MGMT) == "silence"
    waiting.machine.do(run_supervisor.wait_for, "two: none: Network is unreachable")
    for prefix, address, other in (
        ("2001:db8::", first, second),
        ("2001:db8:1::", second, first),
    ):
        waiting.machine.do(run_supervisor.use_lease, plan_with(given(waiting, prefix)))
        assert wait_until(partial(sends_from, waiting, address), SECONDS)
        assert wait_until(lambda to=address: ssh_result(waiting, to, MGMT) == "answered", SECONDS)  # type: ignore[misc]
        assert ssh_result(waiting, address, STRANGER) == "silence"
        assert ssh_result(waiting, other, MGMT) == "silence"
        assert is_reached(waiting, FOUR)
    assert restart_counts(waiting) == {"one": 2, "two": 2}
    waiting.machine.do(
        run_supervisor.use_lease, plan_with(given(waiting, "2001:db8:1::", gateway=False))
    )
    assert wait_until(
        lambda: waiting.machine.do(run_supervisor.output).endswith("unreachable\n"), SECONDS
    )
    assert ssh_result(waiting, second, MGMT) == "silence"
    waiting.machine.do(run_supervisor.use_lease, plan_with(None))
    assert wait_until(lambda: set(restart_counts(waiting).values()) == {4}, SECONDS)
    assert ssh_result(waiting, second, MGMT) == "silence"
    assert wait_until(partial(is_reached, waiting, FOUR), SECONDS)
    assert waiting.machine.do(run_guard.is_alive)
