"""Programs that end and are started again: what is left of them, and what comes back."""

from __future__ import annotations

import time

import pytest

from pbrinit.boot.state.program_status import ProgramStatus
from tests.support.namespaces import in_namespace, run_guard, run_supervisor
from tests.support.namespaces.in_namespace import Probe
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.two_room_machine import plan_of, running

PEER = ("192.0.2.1/24", "2001:db8::1/64")


def test_while_a_room_is_away_its_packets_go_nowhere() -> None:
    with running(plan_of(one="raise SystemExit(0)")) as lab:
        lab.machine.do(run_supervisor.wait_for, "two: idle")
        until_told(lab, "one", "ended with status 0")
        assert wait_until(lambda: "r-one" not in lab.machine.run("ip", "-br", "link"), 5)
        lab.peer.do(in_namespace.capture)
        for own, friend in (("192.0.2.2", "198.51.100.9"), ("2001:db8::2", "2001:db8:5::9")):
            probe = Probe("tcp", own, 22, source=(friend, 0))
            assert lab.peer.do(in_namespace.send_probe, probe) == "silence"
            assert lab.peer.do(in_namespace.count_captured, own, friend) == 0


def until_told(lab: Lab, name: str, told: str) -> None:
    """Wait until this is what is known of a program."""
    end = time.monotonic() + 10
    while True:
        found = [p.state for p in statuses(lab) if p.name == name]
        if found == [told]:
            return
        assert time.monotonic() < end, found
        time.sleep(0.02)


def statuses(lab: Lab) -> list[ProgramStatus]:
    return lab.machine.do(run_supervisor.statuses)


def test_what_root_changed_in_a_room_is_gone_with_it() -> None:
    """And the guard, which looks at the machine's side, has nothing to say about it."""
    upset = (
        "import os; os.system('ip addr flush dev eth0; ip route flush table main;"
        " ip link add x type dummy; ip rule add pref 5 blackhole;"
        " for i in 1 2 3 4 5 6 7 8 9; do ip link set eth0 down; ip link set eth0 up; done;"
        " sleep 600 & ip -br addr; echo upset')"
    )
    fresh = "import os; os.system('ip -4 rule; ip -br addr'); print('fresh');"
    code = f"{fresh} {upset}; import time; time.sleep(60)"
    more = 'restart = "always"\nkeep = ["net_admin", "net_raw"]'
    with running(plan_of(one=code, more=more, user="root")) as lab:
        lab.machine.do(run_supervisor.wait_for, "one: upset")
        lab.machine.do(run_supervisor.request_restart, "one")
        end = time.monotonic() + 10
        while (
            lab.machine.do(run_supervisor.output).count("one: upset") < 2 and time.monotonic() < end
        ):
            time.sleep(0.05)
        said = lab.machine.do(run_supervisor.output).splitlines()
        lines = [line.removeprefix("one: ") for line in said if line.startswith("one: ")]
        first, second = " ".join(lines).split("fresh")[:2]
        upset_, anew = second.split("upset")
        assert "192.0.2.2" in first
        assert "192.0.2.2" not in upset_
        assert without_numbers(anew) == without_numbers(first)
        assert "r-one" in lab.machine.run("ip", "-br", "link")


def without_numbers(told: str) -> list[str]:
    """Words, but for the index of the veth's other end, which is another each time."""
    return [word.partition("@")[0] for word in told.split()]


def leftovers(lab: Lab) -> tuple[str, ...]:
    """What a room consists of, on the machine's side: the namespaces that it is linked with,
    devices, routes of all tables, and who is in a room: whose /tmp is not the machine's.
    """
    commands = (
        "ip netns list-id | wc -l",
        "ip -br link | cut -d@ -f1 | cut -d' ' -f1",
        "ip route show table all; ip -6 route show table all",
        "grep -ls '^tmpfs /tmp .*16384k' /proc/*/mounts | wc -l",
    )
    return tuple(lab.machine.run("sh", "-c", command) for command in commands)


@pytest.mark.parametrize("times", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_restarts_leave_nothing_behind(times: int) -> None:
    plan = plan_of(more='restart = "always"')
    plan.programs[0].command = ("/bin/true",)
    with Lab(PEER, ()) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(run_guard.start, plan)
        before = leftovers(lab)
        lab.machine.do(run_supervisor.start, plan)
        try:
            end = time.monotonic() + times * 0.5
            while max((p.restarts for p in statuses(lab)), default=0) < times:
                assert time.monotonic() < end, statuses(lab)
                time.sleep(0.1)
            lab.machine.do(run_supervisor.stop)
            end = time.monotonic() + 10
            while leftovers(lab) != before and time.monotonic() < end:
                time.sleep(0.1)
            assert leftovers(lab) == before
            seen = lab.machine.do(run_guard.record)
            assert (seen.repairs, seen.carriers, seen.lines) == (0, 0, [])
            assert lab.machine.do(run_guard.is_alive)
        finally:
            lab.machine.do(run_supervisor.stop)
            lab.machine.do(run_guard.stop)
