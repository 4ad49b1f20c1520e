"""A plan takes another's place while packets arrive and leave as fast as they can."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pbrinit.boot.network import slots
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace, run_guard, udp_flood
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.plan_switch import (
    ENDS,
    HEAD,
    OUT_OFFSET,
    PEER,
    SELF,
    W,
    X,
    Y,
    Z,
    boot_plan,
    is_answered,
    policy,
    reaches_plan,
)

SWITCHES = 100


@dataclass(frozen=True)
class Told:
    """What became of the datagrams: how often each thing that must not be was, and how many of
    those that both allow, and that neither does, were sent while it was switched.
    """

    faults: Counter[str]
    switching: Counter[str]


def flooded(lab: Lab, switch: Callable[[int], tuple[int, int]], count: int) -> Told:
    """Flood both ways while it is switched so often, and judge all that arrived."""
    machine, peer = lab.machine, lab.peer
    for address in PEER:
        machine.do(in_namespace.send_probe, in_namespace.Probe("udp", address, Z + OUT_OFFSET))
    machine.do(udp_flood.receive, (X, Y, Z, W))
    peer.do(udp_flood.tap)
    peer.do(udp_flood.flood_frames, machine.do(in_namespace.mac), ENDS, (X, Y, Z, W))
    machine.do(
        udp_flood.flood_datagrams,
        PEER,
        (X + OUT_OFFSET, Y + OUT_OFFSET, Z + OUT_OFFSET, W + OUT_OFFSET),
    )
    times = [time.monotonic_ns()]
    for number in range(count):
        times += switch(number)
        time.sleep(0.02)
    sent = peer.do(udp_flood.stop), machine.do(udp_flood.stop)
    arrived = machine.do(udp_flood.arrivals), peer.do(udp_flood.arrivals)
    assert machine.do(udp_flood.receive_overflows) == 0
    told = Told(Counter(), Counter())
    for went, came, add in zip(sent, arrived, (0, OUT_OFFSET), strict=True):
        judge(told, went, Counter(came), times, add)
    return told


def judge(
    told: Told,
    sent: list[tuple[int, int, int]],
    arrived: Counter[tuple[int, int, int]],
    times: list[int],
    add: int,
) -> None:
    """`times` begins and ends each switch: what was sent in an even gap, A's or B's, or in an odd
    one, while it was switched.
    """
    allowed = {"a": {X, Z}, "b": {Y, Z}}
    names = {X: "x", Y: "y", Z: "z", W: "w"}
    way = "out" if add else "in"
    for version, port, when in sent:
        gap = bisect_right(times, when) - 1
        service, passed = port - add, (version, port, when) in arrived
        policies = ["a", "b"] if gap % 2 else ["ab"[gap // 2 % 2]]
        name = f"{names[service]} {way}, IPv{version}"
        told.switching[name] += gap % 2
        if passed and not any(service in allowed[policy] for policy in policies):
            told.faults[f"{name} passed under {' or '.join(policies)}"] += 1
        if not passed and all(service in allowed[policy] for policy in policies):
            told.faults[f"{name} was refused under {' or '.join(policies)}"] += 1


def test_nothing_passes_that_neither_allows_and_all_that_both_do(
    guarded: Lab, plans: tuple[BootPlan, BootPlan]
) -> None:
    data = [bootplan.pack(plan) for plan in plans]

    def switch(number: int) -> tuple[int, int]:
        done, told, start, end = guarded.machine.do(
            udp_flood.request, "adopt", data[1 - number % 2]
        )
        assert done, told
        return start, end

    told = flooded(guarded, switch, SWITCHES)
    assert told.faults == {}
    assert min(told.switching.values()) > 10_000
    assert len(told.switching) == 16
    assert guarded.machine.do(run_guard.differences, plans[0]) == []


@pytest.mark.parametrize("act", [udp_flood.replace_rules, udp_flood.switch_without_gate])
def test_rules_that_are_changed_one_by_one_are_caught(
    guarded: Lab, plans: tuple[BootPlan, BootPlan], act: Callable[..., tuple[int, int]]
) -> None:
    """That the test before this one can fail."""
    machine = guarded.machine
    machine.do(run_guard.stop)

    def switch(number: int) -> tuple[int, int]:
        place = number % 2 if act is udp_flood.switch_without_gate else 0
        return machine.do(act, slots.relocate(plans[number % 2], place), plans[1 - number % 2])

    told = flooded(guarded, switch, 20)
    assert {fault for fault in told.faults if fault.startswith("w ")}, told.faults


MOVED = HEAD.replace("192.0.2.2/24", "192.0.2.9/25").replace("2001:db8::2/64", "2001:db8::9/64")
AWAY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = "198.51.100.2/24"
gateway = "198.51.100.1"
[network]
anywhere = ["0.0.0.0/0", "::/0"]
"""


def test_addresses_change_too_and_nothing_passes_meanwhile(
    guarded: Lab, plans: tuple[BootPlan, BootPlan], tmp_path: Path
) -> None:
    """To the same network, to another one with IPv4 alone, and back by itself, or at once where
    another address is given meanwhile.
    """
    machine, peer = guarded.machine, guarded.peer
    near = boot_plan(tmp_path, "near", policy(Y, MOVED))
    away = boot_plan(tmp_path, "away", policy(Y, AWAY))
    peer.run("ip", "address", "add", "198.51.100.1/24", "dev", "eth0")
    machine.do(udp_flood.receive, (W,))
    peer.do(udp_flood.tap)
    ends = (
        *ENDS,
        (PEER[0], "192.0.2.9"),
        (PEER[1], "2001:db8::9"),
        ("198.51.100.1", "198.51.100.2"),
    )
    peer.do(udp_flood.flood_frames, machine.do(in_namespace.mac), ends, (W,))
    machine.do(udp_flood.flood_datagrams, (*PEER, "198.51.100.1"), (W + OUT_OFFSET,))
    for port in (X, Y, Z):
        machine.do(in_namespace.serve, "udp", port)
    for number in range(4):
        adopted = number % 2 == 1
        for plan in (near, away):
            # Longer than a busy machine takes to look at it: the time counts from the request on.
            length = 60 if adopted else 5
            done, told, _, _ = machine.do(udp_flood.request, f"try {length}", bootplan.pack(plan))
            assert done, told
            assert reaches_plan(guarded, machine.do(udp_flood.plan_in_force, plans[0]))
            address = "192.0.2.9" if plan is near else "198.51.100.2"
            assert is_answered(guarded, Y, address)
            if adopted:
                assert machine.do(udp_flood.request, "adopt", bootplan.pack(plans[0]))[0]
                assert machine.do(udp_flood.plan_in_force, plans[0]).policy == "a"
            assert wait_until(
                lambda: machine.do(udp_flood.plan_in_force, plans[0]).policy == "a", 15
            )
            assert is_answered(guarded, X)
            assert not is_answered(guarded, Y)
    sent = len(peer.do(udp_flood.stop)) + len(machine.do(udp_flood.stop))
    assert sent > 100_000
    assert machine.do(udp_flood.arrivals) == peer.do(udp_flood.arrivals) == []


FORWARDING = ("net.ipv4.conf.eth0.forwarding", "net.ipv4.conf.eth1.forwarding",
              "net.ipv6.conf.all.forwarding")  # fmt: skip


def test_forwarding_goes_and_comes_with_the_plan(tmp_path: Path) -> None:
    text = Path("examples/router.toml").read_text()
    router = boot_plan(tmp_path, "router", text)
    closed = boot_plan(tmp_path, "closed", text[: text.index("[[forward]]")])
    with Lab([f"{PEER[0]}/24", f"{PEER[1]}/64"], ()) as lab:
        lab.connect("eth1", ["203.0.113.80/24", "2001:db8:1::80/64"], ())
        assert lab.machine.do(in_namespace.enforce, router) == []
        lab.machine.do(run_guard.start, router)
        assert wait_until(lambda: lab.machine.do(run_guard.record).verified > 0, 10)
        for plan in (closed, router, closed):
            done, told, _, _ = lab.machine.do(udp_flood.request, "adopt", bootplan.pack(plan))
            assert done, told
            found = lab.machine.run("sysctl", "-n", *FORWARDING).split()
            assert found == ["1" if plan is router else "0"] * 3
            assert reaches_plan(lab, lab.machine.do(udp_flood.plan_in_force, router))
        lab.machine.do(run_guard.stop)


def test_large_sets_are_switched_too(tmp_path: Path) -> None:
    """Each in tables of its own: what only one of two block lists has is refused only by that."""
    text = policy(X) + '[[deny]]\nfrom = "bad"\n'
    blocked = (range(2, 254, 2), range(3, 254, 2))
    plans = [
        boot_plan(tmp_path, f"list{number}", text.replace(
            "anywhere =", f"bad = {[f'198.51.100.{n}/32' for n in hosts]}\nanywhere ="))
        for number, hosts in enumerate(blocked)
    ]  # fmt: skip
    assert all(any(link.bulks for link in plan.links) for plan in plans)
    with Lab([f"{PEER[0]}/24"], ["198.51.100.4", "198.51.100.5"]) as lab:
        assert lab.machine.do(in_namespace.enforce, plans[0]) == []
        lab.machine.do(in_namespace.serve, "udp", X)
        lab.machine.do(run_guard.start, plans[0])
        assert wait_until(lambda: lab.machine.do(run_guard.record).verified > 0, 10)
        for number in (1, 0, 1):
            done, told, _, _ = lab.machine.do(
                udp_flood.request, "adopt", bootplan.pack(plans[number])
            )
            assert done, told
            for host in (4, 5):
                probe = in_namespace.Probe("udp", SELF[0], X, source=(f"198.51.100.{host}", 0))
                told = lab.peer.do(in_namespace.send_probe, probe)
                assert (told == "answered") == (host not in blocked[number]), (host, number)
        lab.machine.do(run_guard.stop)
