"""A neighbour cannot take an address away by saying that it is his."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import claims, in_namespace, run_guard
from tests.support.namespaces.lab import Lab, wait_until

PLAN = encode(load(Path("examples/host.toml")), "host")
PEER = ("192.0.2.1/24", "2001:db8::1/64")
OWN = "2001:db8::2"
SECONDS = 15.0
FLAPS = 5
SAID = "another host says that it is his; "


@pytest.fixture
def claimed() -> Iterator[Lab]:
    """The example's machine with a guard, whose address is a neighbour's as well, as he says."""
    with Lab(PEER, ()) as lab:
        lab.peer.do(claims.start, OWN)
        lab.machine.do(in_namespace.enforce, PLAN)
        lab.machine.do(run_guard.start, PLAN)
        yield lab
        lab.machine.do(run_guard.stop)


def lines(lab: Lab) -> list[str]:
    return lab.machine.do(run_guard.record).lines


def told_of(lab: Lab, address: str) -> list[str]:
    """What the guard has done about an address."""
    found = (line.partition(SAID) for line in lines(lab))
    return [done for about, said, done in found if said and f"{address}/64: " in about]


def is_used(lab: Lab, address: str = OWN) -> bool:
    """Whether the kernel uses it: it is neither tried nor refused."""
    told = lab.machine.run("ip", "-6", "-o", "addr", "show", "dev", "eth0")
    [line] = [line for line in told.splitlines() if address in line]
    return "tentative" not in line and "dadfailed" not in line


def test_it_is_used_all_the_same_while_the_neighbour_goes_on(claimed: Lab) -> None:
    assert wait_until(lambda: is_used(claimed), SECONDS)
    expected = ["it is tried again", "it is tried again", "it is used all the same"]
    assert wait_until(lambda: told_of(claimed, OWN) == expected, 3), lines(claimed)
    assert wait_until(lambda: claimed.machine.do(run_guard.differences, PLAN) == [], 3)
    assert claimed.machine.do(run_guard.is_alive)


def test_it_is_used_as_soon_as_the_neighbour_is_gone(claimed: Lab) -> None:
    assert wait_until(lambda: any(SAID in line for line in lines(claimed)), SECONDS)
    claimed.peer.do(claims.stop)
    assert wait_until(lambda: is_used(claimed), SECONDS)


def test_neither_can_he_take_the_link_local_address(claimed: Lab) -> None:
    told = claimed.machine.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
    own = told.split()[3].partition("/")[0]
    claimed.peer.do(claims.stop)
    claimed.peer.do(claims.start, own)
    for _ in range(FLAPS):  # a busy neighbour may be too late for one second
        claimed.machine.run("ip", "link", "set", "eth0", "down")
        if wait_until(lambda: told_of(claimed, own) != [], 5):
            break
    expected = ["it is tried again", "it is tried again", "it is used all the same"]
    assert wait_until(lambda: told_of(claimed, own) == expected, SECONDS), lines(claimed)
    assert wait_until(lambda: is_used(claimed, own), 3)
    assert wait_until(lambda: claimed.machine.do(run_guard.differences, PLAN) == [], 3)
