"""A machine that runs is what its plan says: whatever is changed is put right within a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace, run_guard
from tests.support.namespaces.lab import Lab, wait_until

PLAN = encode(load(Path("examples/host.toml")), "host")
PEER = ("192.0.2.1/24", "2001:db8::1/64")
SECOND = 1.0


@contextmanager
def guarded_machine() -> Iterator[Lab]:
    """The example's machine with a guard, and a peer on its link."""
    with Lab(PEER, ()) as lab:
        assert lab.machine.do(in_namespace.enforce, PLAN) == []
        lab.machine.do(run_guard.start, PLAN)
        assert wait_until(lambda: lab.machine.do(run_guard.record).verified > 0, 10)
        yield lab
        lab.machine.do(run_guard.stop)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Lab]:
    """One for the tests of this file."""
    with guarded_machine() as lab:
        yield lab


CHANGES = {
    "a rule is taken away": "ip rule del pref 1",
    "a rule is added": "ip rule add pref 5 lookup main",
    "a rule of IPv6 is added": "ip -6 rule add pref 0 lookup local",
    "all rules are taken away": "ip rule flush; ip -6 rule flush",
    "a rule is there twice": "ip rule add pref 100000 lookup main",
    "a route is added": "ip route add 203.0.113.0/24 dev eth0",
    "a route of the kernel's own is forged": "ip route add 203.0.113.0/24 dev eth0 proto kernel",
    "a route is added to the hairpin": "ip route add 203.0.113.0/24 dev eth0 table 1000",
    "the hairpin is taken away": "ip route flush table 1000",
    "the gateway is taken away": "ip route del default; ip -6 route del default",
    "the sink is taken away": "ip route flush table 100",
    "an address is added": "ip addr add 192.0.2.77/24 dev eth0",
    "an address is taken away": "ip addr del 192.0.2.2/24 dev eth0",
    "an address of IPv6 is taken away": "ip addr del 2001:db8::2/64 dev eth0",
    "an own route is taken away": "ip route del local 192.0.2.2 dev eth0 table local",
    "a sysctl is changed": "sysctl -w net.ipv4.conf.all.rp_filter=0",
    "a sysctl of the device is changed": "sysctl -w net.ipv6.conf.eth0.accept_ra=1",
    "forwarding is switched on": "sysctl -w net.ipv4.ip_forward=1",
    "the link is set down": "ip link set eth0 down",
    "the link flaps": "ip link set eth0 down; ip link set eth0 up",
    "loopback is set down": "ip link set lo down",
    "a device appears and is set up": (
        "ip link add eth9 type veth peer name eth8; ip link set eth9 up; ip link set eth8 up"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_is_put_right_within_a_second(guarded: Lab, change: str) -> None:
    before = guarded.machine.do(run_guard.record)
    start = time.monotonic()
    guarded.machine.run("sh", "-c", CHANGES[change])
    assert wait_until(
        lambda: guarded.machine.do(run_guard.record).repairs > before.repairs, 3 * SECOND
    )
    assert wait_until(lambda: guarded.machine.do(run_guard.differences, PLAN) == [], 3 * SECOND)
    assert time.monotonic() - start < 4 * SECOND
    assert wait_until(lambda: lines(guarded)[-1] not in before.lines, SECOND)
    assert guarded.machine.do(run_guard.is_alive)


def test_a_link_that_is_replaced_comes_back_filtered(guarded: Lab) -> None:
    guarded.machine.run("ip", "link", "del", "eth0")
    assert wait_until(lambda: any("eth0 is gone" in line for line in lines(guarded)), 3)
    repairs = guarded.machine.do(run_guard.record).repairs
    guarded.machine.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other")
    assert wait_until(lambda: guarded.machine.do(run_guard.record).repairs > repairs, 3 * SECOND)
    assert wait_until(lambda: "eth0 is up again, as planned" in "".join(lines(guarded)[-3:]), 3)
    assert wait_until(lambda: guarded.machine.do(run_guard.differences, PLAN) == [], 3)
    assert guarded.machine.run("ip", "route", "show", "table", "1000").startswith("local default")


def lines(lab: Lab) -> list[str]:
    return lab.machine.do(run_guard.record).lines


def test_what_comes_back_again_and_again_closes_the_machine(guarded: Lab) -> None:
    """Each time only once the guard has settled, or it would be what cannot be repaired at all."""
    again = (
        "for i in $(seq 200); do ip link show eth0 up | grep -q eth0 || exit 0;"
        " ip rule show | grep -q '^5:' || { sleep 0.1; ip rule add pref 5 lookup main; };"
        " done; true"
    )
    guarded.machine.run("sh", "-c", again)
    assert wait_until(lambda: not guarded.machine.do(run_guard.is_alive), 20)
    assert "comes back again and again: not in the plan: family 2" in guarded.machine.do(
        run_guard.close_reason
    )
    assert guarded.machine.run("ip", "-br", "link", "show", "up").strip() == ""


def test_who_is_faster_than_the_guard_closes_the_machine_too() -> None:
    """Which of its two reasons it has first is chance; that it names the rule is not."""
    always = (
        "for i in $(seq 2000); do ip link show eth0 up | grep -q eth0 || exit 0;"
        " ip rule add pref 5 lookup main; done; true"
    )
    with guarded_machine() as lab:
        lab.machine.run("sh", "-c", always)
        assert wait_until(lambda: not lab.machine.do(run_guard.is_alive), 20)
        assert "not in the plan: family 2, preference 5" in lab.machine.do(run_guard.close_reason)
        assert lab.machine.run("ip", "-br", "link", "show", "up").strip() == ""
