"""What takes long: a thousand pulled cables, a thousand replaced cards, half an hour of questions.

In: how many, how long.  Out: a bar, figures, and status 1 where something is not as planned.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from rich.progress import Progress, track

from factory.image.build import Artefacts
from factory.vm.qemu import accelerator
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace, run_guard
from tests.support.namespaces.lab import Lab
from tests.support.vm.booted import probe_frames
from tests.support.vm.built_image import IMAGE, artefacts_in
from tests.support.vm.running_machine import (
    CARRIER_BACK,
    CARRIER_LOST,
    assert_as_planned,
    machine_running,
)

EVERY = 100
REPLUG_SECONDS = 3.0
PAUSE_SECONDS = 0.01
ROUND_SECONDS = 30.0
SPARE_KIB = 1024
"""A guest that has not lost more than this in all the time has lost nothing."""


def cables(artefacts: Artefacts, count: int) -> None:
    """Pull the cable of a guest and plug it in, so often; all is as planned now and then."""
    for running in machine_running(artefacts, accelerator(), "soak"):
        guest = running.booted.guest
        for number in track(range(1, count + 1), "cables pulled"):
            running.cable("off")
            guest.expect(CARRIER_LOST)
            running.cable("on")
            guest.expect(CARRIER_BACK)
            if number % EVERY == 0 or number == count:
                guest.send_line("")
                guest.wait_for_prompt()
                time.sleep(2)
                assert_as_planned(running.booted)
        assert f"carrier changed {2 * count} times" in guest.run("status")


def cards(count: int) -> None:
    """Take the card of a machine away and put another in, so often; each time all comes back."""
    plan = encode(load(Path("examples/host.toml")), "host")
    with Lab(("192.0.2.1/24", "2001:db8::1/64"), ()) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(run_guard.start, plan)
        for _ in track(range(count), "cards replaced"):
            repairs = lab.machine.do(run_guard.record).repairs
            lab.machine.run("ip", "link", "del", "eth0")
            lab.machine.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other")
            end = time.monotonic() + REPLUG_SECONDS
            while (
                lab.machine.do(run_guard.record).repairs == repairs
                or lab.machine.do(run_guard.differences, plan)
                or "local default" not in lab.machine.run("ip", "route", "show", "table", "1000")
            ):
                assert time.monotonic() < end, lab.machine.do(run_guard.differences, plan)
                time.sleep(0.02)
        assert lab.machine.do(run_guard.is_alive)
        lab.machine.do(run_guard.stop)


def endurance(artefacts: Artefacts, minutes: float) -> None:
    """Ask a guest without a pause, what it answers and what it does not, and pull its cable now and
    then; all is as planned each time, and at the end it has as much memory as at the beginning.
    """
    for running in machine_running(artefacts, accelerator(), "endurance"):
        booted, asked, free = running.booted, 0, []
        end = time.monotonic() + 60 * minutes
        with Progress() as bar:
            task = bar.add_task("asked without a pause", total=60 * minutes)
            while time.monotonic() < end:
                start = time.monotonic()
                for frame in probe_frames():
                    booted.wire.send(frame)
                    asked += 1
                    time.sleep(PAUSE_SECONDS)
                    if time.monotonic() > start + ROUND_SECONDS:
                        break
                running.cable("off")
                booted.guest.expect(CARRIER_LOST)
                running.cable("on")
                booted.guest.expect(CARRIER_BACK)
                booted.guest.send_line("")
                booted.guest.wait_for_prompt()
                time.sleep(2)
                assert_as_planned(booted)
                free.append(_free(booted.guest.run("status")))
                bar.update(task, advance=time.monotonic() - start)
        print(f"{asked} questions, {len(free)} cables pulled, {free[0]} KiB free, then {free[-1]}")
        assert free[-1] >= free[0] - SPARE_KIB, free


def _free(status: str) -> int:
    """Kibibytes that programs can still have, as `status` tells."""
    told = re.search(r"(\d+) KiB free", status)
    assert told is not None, status
    return int(told[1])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="cables and cards")
    parser.add_argument("--minutes", type=float, default=30, help="of questions without a pause")
    asked = parser.parse_args()
    cards(asked.count)
    cables(artefacts_in(IMAGE), asked.count)
    endurance(artefacts_in(IMAGE), asked.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
