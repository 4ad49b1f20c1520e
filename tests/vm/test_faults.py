"""A fault at every step: no interface is up, nobody is answered, and the console names the step."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply

from factory.image.build import Artefacts, archive
from factory.vm.qemu import Accelerator, Machine, Nic
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import probe_frames
from tests.support.vm.built_image import PYTHON, direct, init_archive, with_files
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.wire import Frame, Wire

STRIDE = int(os.environ.get("STRIDE", "48"))
"""Every how many messages one goes wrong; `make soak` has each go wrong."""

PLAN = encode(load(Path("examples/host.toml")), "host")
VM = Path("tests/support/vm")
STAGES = ("^BEFORE LINKS: done", "^AT LINKS: done", "^ALL: done")
SECONDS = 120.0 + 20000.0 / STRIDE
MEMORY = 96
ANSWERS = (TCP, UDP, ICMP, ICMPv6EchoReply)


@dataclass(frozen=True)
class Run:
    """All faults of one boot: what was printed in each stage, and the frames of each."""

    before: str
    at_links: str
    open: str
    end: str
    frames_before: list[Frame]
    frames_at_links: list[Frame]
    frames_open: list[Frame]
    frames_end: list[Frame]


def overlay(artefacts: Artefacts, folder: Path, plan: BootPlan) -> Path:
    """The image's initramfs with another plan and the driver beside it."""
    return with_files(
        artefacts,
        folder,
        archive("etc/pbrinit", {"plan": bootplan.pack(plan)}),
        archive("faults/tests/support/vm", {"faults.py": (VM / "faults.py").read_bytes()}),
        archive("faults", {"stride": str(STRIDE).encode()}),
        init_archive(PYTHON + (VM / "fault_init.py").read_bytes()),
    )


@pytest.fixture(scope="module")
def faults(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """One boot in which everything goes wrong, one thing after another."""
    plan = BootPlan(**{**vars(PLAN), "on_failure": ("reboot", 7)})
    initramfs = overlay(artefacts, tmp_path_factory.mktemp("faults"), plan)
    boots = direct(artefacts, initramfs)
    with Wire(LOGS / "boot-faults.pcap") as wire, asked(wire):
        machine = Machine(boots, (Nic(wire.netdev, GUEST_MAC),), MEMORY)
        with Guest("faults", machine, accelerated, LOGS) as guest:
            for end in STAGES:
                guest.expect(end, SECONDS)
            guest.wait_for_end(SECONDS)
            times = [0.0, *map(guest.printed_at, STAGES), float("inf")]
        stages = [wire.frames(since, until) for since, until in pairwise(times)]
        before, at_links, opened, end = re.split("|".join(STAGES), guest.transcript, flags=re.M)
    return Run(before, at_links, opened, end, *stages)


class asked:  # noqa: N801  it reads as a word in a with statement
    """Ask the guest everything, over and over, until it is left."""

    def __init__(self, wire: Wire) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(wire,), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self, wire: Wire) -> None:
        for frame in probe_frames():
            if self._done.wait(0.01):
                return
            wire.send(frame)


def states(printed: str) -> Iterator[tuple[str, str, str]]:
    """Each fault's name, what was printed, and its state at the end."""
    parts = re.split(r"^FAULT (.*)$", printed, flags=re.MULTILINE)
    for name, told in zip(parts[1::2], parts[2::2], strict=True):
        state = re.search(rf"^STATE {re.escape(name)}: (.*)$", told, re.MULTILINE)
        assert state is not None, f"{name}: {told}"
        yield name, told, state[1]


STEPS = {
    "mount": "mounts: ",
    "plan byte": "the plan: ",
    "sysctl": "sysctls: ",
    "message": "(netlink|rules|reading the rules back|loopback and the tables of sets|"
    "reading the routes back): |the rules read back differ: ",
    "answer": "(netlink|rules|reading the rules back|loopback and the tables of sets|"
    "reading the routes back): ",
    "memory": "",
    "module": "(reading the routes back: )?No module named ",
}
"""What the console names, by the first word of a fault."""


def test_every_fault_before_the_links_leaves_every_interface_down(faults: Run) -> None:
    found = list(states(faults.before))
    assert len(found) > 150
    for name, told, state in found:
        down = "killed" if name.startswith("killed") else "(reboot|stay), up: ;.*"
        assert re.fullmatch(down, state), f"{name}: {told}"


def test_nothing_leaves_and_nobody_is_answered(faults: Run) -> None:
    assert faults.frames_before == []


def test_the_console_names_the_step(faults: Run) -> None:
    for name, told, _ in states(faults.before):
        step = next((step for start, step in STEPS.items() if name.startswith(start)), None)
        if step is not None:
            assert re.search(f"pbrinit: CLOSED: {step}", told), f"{name}: {told}"


def test_what_the_policy_wants_done_on_failure_is_known_even_where_the_plan_is_damaged(
    faults: Run,
) -> None:
    for name, told, state in states(faults.before):
        if name.startswith("killed") or name == "module pbrinit.wire.bootplan":
            continue
        head = re.fullmatch("plan byte (0|20|40)", name)
        assert state.startswith("stay" if head else "reboot"), f"{name}: {told}"


def test_an_interface_that_fails_is_down_and_nobody_is_answered(faults: Run) -> None:
    found = list(states(faults.at_links))
    assert len(found) > 10
    for name, told, state in found:
        assert re.fullmatch("(open|reboot), up: (lo)?;.*", state), f"{name}: {told}"
        assert "FAILED" in told or "CLOSED" in told
        assert name != "card up" or "CLOSED: eth0 was up before the rules were in force" in told
    for frame in faults.frames_at_links:
        assert not any(map(frame.packet.haslayer, ANSWERS)), frame.packet.show2(True)


def test_without_a_fault_the_same_machine_answers(faults: Run) -> None:
    [(_, _, state)] = states(faults.open)
    assert state.startswith("open, up: eth0 lo;")
    assert any(frame.packet.haslayer(TCP) for frame in faults.frames_open)
    assert any(frame.packet.haslayer(ICMPv6EchoReply) for frame in faults.frames_open)


def test_a_pid_1_that_is_killed_stops_the_kernel_which_starts_again(faults: Run) -> None:
    assert "Attempted to kill init" in faults.end
    assert faults.frames_end == []
