"""A machine that runs: what happens to its cable, to its console and to PID 1."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from tests.support.vm.running_machine import (
    CARRIER_BACK,
    CARRIER_LOST,
    RunningMachine,
    assert_as_planned,
    machine_running,
)

FLAPS = 10
UP_KEY, TAB = "\x1b[A", "\t"


@pytest.fixture(scope="module")
def running(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[RunningMachine]:
    """That machine, for the tests here."""
    yield from machine_running(artefacts, accelerated, "running")


def test_the_guard_has_verified_everything(running: RunningMachine) -> None:
    told = running.booted.guest.run("status")
    assert re.search(r"^verified: \d+ times, last \d+ s ago, 4 routes; 0 repairs", told, re.M)
    assert re.search(r'^gate, policy "host" [0-9a-f]{16}, up \d+ s, ', told)
    assert "eth0 (wan): up, carrier, " in told
    assert re.search(r"^memory: \d+ KiB free$", told, re.M)
    assert_as_planned(running.booted)


def test_the_clock_is_the_hardware_s(running: RunningMachine) -> None:
    told = re.search(r"(\d+-\d+-\d+ \d+:\d+):\d+ UTC", running.booted.guest.run("status"))
    assert told is not None
    near = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() + s)) for s in (-60, 0, 60))
    assert told[1] in near


def test_a_cable_that_is_pulled_is_seen_and_comes_back_filtered(running: RunningMachine) -> None:
    guest = running.booted.guest
    for _ in range(FLAPS):
        running.cable("off")
        guest.expect(CARRIER_LOST)
        running.cable("on")
        guest.expect(CARRIER_BACK)
    guest.send_line("")
    guest.wait_for_prompt()
    assert f"carrier changed {2 * FLAPS} times" in guest.run("status")
    time.sleep(2)  # addresses of IPv6 are tried anew
    assert_as_planned(running.booted)


def test_a_word_is_completed_and_a_line_comes_back(running: RunningMachine) -> None:
    guest = running.booted.guest
    guest.press(f"aud{TAB}\n")
    guest.expect("sysctls: as planned")
    guest.wait_for_prompt()
    guest.press(f"{UP_KEY}\n")
    guest.expect("sysctls: as planned")
    guest.wait_for_prompt()


def test_help_names_every_command(running: RunningMachine) -> None:
    told = running.booted.guest.run("help")
    for word in ("status", "audit", "rules", "probe", "listen", "absent", "poweroff", "reboot"):
        assert re.search(rf"^  {word}\b", told, re.M)


def test_it_reboots_in_order(running: RunningMachine) -> None:
    running.booted.guest.send_line("reboot")
    running.booted.guest.expect("going down")
    running.booted.guest.wait_for_end()
    assert "reboot: Restarting system" in running.booted.guest.transcript
