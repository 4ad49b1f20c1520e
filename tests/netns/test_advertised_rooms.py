"""Rooms of a machine whose IPv6 address comes by router advertisement: they have the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address, IPv6Interface

import pytest

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import Given, configured
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace, run_guard, run_supervisor, two_room_machine
from tests.support.namespaces.lab import Lab, until
from tests.support.namespaces.leased_rooms import (
    SECONDS,
    client,
    is_reached,
    restarts,
    sends_by,
    ssh,
)
from tests.support.namespaces.ra_router import near, own
from tests.support.policy_text import by_ra

FOUR, WEB = "192.0.2.2", "2001:db8:7::7"
MGMT, STRANGER = "2001:db8:5::9", "2001:db8:7::7"
POLICY = by_ra(two_room_machine.policy(two_room_machine.SERVER, client(WEB), 'restart = "always"'))


def plan_with(found: Given | None) -> BootPlan:
    return encode(compile_policy(configured(POLICY, found)), "programs")


def given(lab: Lab, prefix: str, gateway: bool = True) -> Given:
    hop = IPv6Address(near(lab)) if gateway else None
    return Given(IPv6Interface(f"{own(lab, prefix)}/64"), hop)


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
    first, second = (own(waiting, prefix) for prefix in ("2001:db8::", "2001:db8:1::"))
    assert is_reached(waiting, FOUR)
    assert ssh(waiting, first, MGMT) == "silence"
    waiting.machine.do(run_supervisor.wait_for, "two: none: Network is unreachable")
    for prefix, address, other in (
        ("2001:db8::", first, second),
        ("2001:db8:1::", second, first),
    ):
        waiting.machine.do(run_supervisor.lease, plan_with(given(waiting, prefix)))
        assert until(partial(sends_by, waiting, address), SECONDS)
        assert until(lambda to=address: ssh(waiting, to, MGMT) == "answered", SECONDS)  # type: ignore[misc]
        assert ssh(waiting, address, STRANGER) == "silence"
        assert ssh(waiting, other, MGMT) == "silence"
        assert is_reached(waiting, FOUR)
    assert restarts(waiting) == {"one": 2, "two": 2}
    waiting.machine.do(
        run_supervisor.lease, plan_with(given(waiting, "2001:db8:1::", gateway=False))
    )
    assert until(lambda: waiting.machine.do(run_supervisor.said).endswith("unreachable\n"), SECONDS)
    assert ssh(waiting, second, MGMT) == "silence"
    waiting.machine.do(run_supervisor.lease, plan_with(None))
    assert until(lambda: set(restarts(waiting).values()) == {4}, SECONDS)
    assert ssh(waiting, second, MGMT) == "silence"
    assert until(partial(is_reached, waiting, FOUR), SECONDS)
    assert waiting.machine.do(run_guard.is_alive)
