"""The variant for real machines, in QEMU as near to one as it comes: cards, screen, board."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import QEMU, Accelerator, Card, Machine, Nic, command, disk
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan
from tests.support.mac_addresses import MAC
from tests.support.vm.built_image import PYTHON, direct, init_archive, with_files, with_plan
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.peer import Peer
from tests.support.vm.screen import Screen
from tests.support.vm.wire import Wire

CARDS: tuple[Card, ...] = ("e1000e", "igb", "usb-net")
MEMORY = 256
TEXT_SHADES = 3
CURSOR = 500
MOST_SECONDS = 120
"""Until the machine is off, where other guests run beside it."""

"""Bytes of a picture that the blinking cursor lights."""

SCREEN = ("-device", "VGA")
WATCHDOG = ("-global", "ICH9-LPC.noreboot=false")
HANG = """
import time
from pbrinit.boot.init import _mount
from pbrinit.boot.system import watchdog
from pbrinit.boot.system.log import log
_mount()
watchdog.SECONDS = 4
fed = watchdog.start_watchdog()
log(f"fed {fed and fed.seconds}")
for _ in range(3):
    fed.feed()
    time.sleep(2)
log("hangs")
while True:
    time.sleep(60)
"""


def cards() -> list[Card]:
    """Those of CARDS that this QEMU has."""
    told = subprocess.run([QEMU, "-device", "help"], check=True, capture_output=True, text=True)
    return [card for card in CARDS if f'name "{card}"' in told.stdout]


def policy(found: list[Card]) -> str:
    """An interface for each card, found by its MAC address, that may be pinged on its network."""
    parts = ['hostname = "pc"\n[service]\nping = ["icmp/echo"]\n']
    for number, card in enumerate(found, 1):
        name = card.replace("-", "")
        parts.append(
            f'[interface.{name}]\nmac = "52:54:00:00:01:{number:02x}"\n'
            f'address = ["10.0.{number}.2/24", "fd00:{number}::2/64"]\n'
            f'[[input]]\non = "{name}"\nservice = "ping"\n'
        )
    return "".join(parts)


@pytest.fixture(scope="module")
def peers(
    pc_artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Guest, Screen, dict[str, Peer]]]:
    """A machine with every card that QEMU has, each on a wire of its own."""
    folder = tmp_path_factory.mktemp("pc")
    found = cards()
    (folder / "policy.toml").write_text(policy(found))
    plan = encode(load(folder / "policy.toml"), "pc")
    initramfs = with_plan(pc_artefacts, folder, bootplan.pack(plan))
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(LOGS / f"boot-pc-{card}.pcap")) for card in found]
        nics = tuple(
            Nic(wire.netdev, f"52:54:00:00:01:{number:02x}", card)
            for number, (wire, card) in enumerate(zip(wires, found, strict=True), 1)
        )
        peers: dict[str, Peer] = {
            nic.model: Peer(wire, MAC, nic.mac, [f"10.0.{number}.1", f"fd00:{number}::1"])
            for number, (wire, nic) in enumerate(zip(wires, nics, strict=True), 1)
        }
        machine = Machine(
            direct(pc_artefacts, initramfs),
            nics,
            MEMORY,
            usb=True,
            monitor=folder / "monitor",
            more=(*SCREEN, *WATCHDOG, "-smp", "2"),
        )
        guest = stack.enter_context(Guest("pc", machine, accelerated, LOGS))
        guest.wait_for_prompt()
        screen = stack.enter_context(Screen(folder / "monitor"))
        yield guest, screen, peers


def test_every_card_that_qemu_has_is_up_and_answers(
    peers: tuple[Guest, Screen, dict[str, Peer]],
) -> None:
    guest, _, found = peers
    assert len(found) >= 2
    status = guest.run("status")
    assert "in force, as planned" in status
    for number, (card, peer) in enumerate(found.items(), 1):
        assert f"({card.replace('-', '')}): up" in status
        for own, other in (
            (f"10.0.{number}.2", f"10.0.{number}.1"),
            (f"fd00:{number}::2", f"fd00:{number}::1"),
        ):
            assert peer.ping(other, own).verdict == "reply", f"{card}: {own}"


def test_nothing_of_what_is_closed_came_with_the_drivers(
    peers: tuple[Guest, Screen, dict[str, Peer]],
) -> None:
    told = peers[0].run("absent").splitlines()
    assert len(told) > 100
    assert [line for line in told if line.startswith(("PRESENT", "MISSING"))] == []


def test_the_watchdog_is_found_and_fed(peers: tuple[Guest, Screen, dict[str, Peer]]) -> None:
    assert "watchdog: a reset follows" in peers[0].transcript


def test_the_power_button_ends_the_machine_in_order(
    peers: tuple[Guest, Screen, dict[str, Peer]],
) -> None:
    """Last of those that share the machine."""
    guest, screen, _ = peers
    screen.command("system_powerdown")
    guest.expect("going down")
    guest.wait_for_end()


def test_a_pid_1_that_hangs_is_reset(
    pc_artefacts: Artefacts, accelerated: Accelerator, tmp_path: Path
) -> None:
    initramfs = with_files(pc_artefacts, tmp_path, init_archive(PYTHON + HANG.encode()))
    machine = Machine(direct(pc_artefacts, initramfs), memory=MEMORY, more=WATCHDOG)
    with Guest("pc-hang", machine, accelerated, LOGS) as guest:
        guest.expect("fed 4", 60)
        guest.expect("hangs")
        start = time.monotonic()
        # A reset ends QEMU too (-no-reboot).
        guest.wait_for_end(60)
        assert time.monotonic() - start > 1


def test_a_person_with_a_screen_and_a_keyboard_has_a_console(
    pc_artefacts: Artefacts, accelerated: Accelerator, tmp_path: Path
) -> None:
    """By UEFI, on its frame buffer, and no serial port at all."""
    machine = Machine(
        disk(pc_artefacts.disk, tmp_path),
        memory=MEMORY,
        usb=True,
        serial=False,
        monitor=tmp_path / "monitor",
        more=SCREEN,
    )
    words = command(machine, accelerated)
    with (
        subprocess.Popen(words, stdin=subprocess.DEVNULL) as running,
        Screen(tmp_path / "monitor") as screen,
    ):
        try:
            before = _settled(screen)
            screen.type("help\n")
            time.sleep(2)
            after = screen.picture(LOGS / "pc-console.png")
            assert after.lit_bytes() > before * 1.2, "what help says did not come on the screen"
            screen.type("poweroff\n")
            assert running.wait(MOST_SECONDS) == 0
        finally:
            running.kill()


def _settled(screen: Screen) -> int:
    """Wait until the screen has text and no longer changes; how much of it is lit."""
    seen: list[int] = []
    end = time.monotonic() + 180
    while time.monotonic() < end:
        time.sleep(4)
        picture = screen.picture(LOGS / "pc-screen.png")
        # The firmware's picture has many shades; the cursor blinks.
        seen = [*seen[-2:], picture.lit_bytes()] if picture.shade_count() <= TEXT_SHADES else []
        if len(seen) == 3 and max(seen) - min(seen) <= CURSOR and min(seen) > CURSOR:
            return seen[-1]
    pytest.fail("the screen never came to rest; see build/log/pc-screen.png")
