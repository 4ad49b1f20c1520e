"""Whatever fails before the links: no interface goes up, and the machine says why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from factory.image import Artefacts, archive
from factory.qemu import Accelerator, Machine, Nic
from pbrinit import bootfile
from pbrinit.bootfile import BootPlan
from pbrinit.cli import load
from pbrinit.netlink import encode
from tests.boot.conftest import CLOSED, GUEST_MAC, MEMORY, Booted, boot, direct
from tests.boot.wire import Wire

PLAN = encode(load(Path("examples/host.toml")), "host")


def changed(**fields: object) -> bytes:
    """The plan's file with some fields changed, and its checksum right."""
    return bootfile.pack(BootPlan(**{**vars(PLAN), **fields}))


def one_byte_flipped() -> bytes:
    data = bytearray(bootfile.pack(PLAN))
    data[len(data) // 2] ^= 1
    return bytes(data)


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "damaged": (one_byte_flipped, "the plan: it is damaged, its checksum does not match"),
    "refused": (
        lambda: changed(rules=PLAN.rules + PLAN.rules[-1:], texts=PLAN.texts + PLAN.texts[-1:]),
        "rules: -6 rule add pref 1 iif lo goto 100000: File exists",
    ),
    "left-over": (
        lambda: changed(removals=PLAN.removals[:-1]),
        "the rules read back differ: not in the plan: family 10, preference 0",
    ),
    "sysctl": (
        lambda: changed(sysctls=(*PLAN.sysctls, ("net/ipv4/no_such_thing", "1"))),
        "sysctls: [Errno 2] No such file or directory",
    ),
}


@pytest.fixture(params=FAULTS, scope="module")
def closed(
    request: pytest.FixtureRequest,
    artefacts: Artefacts,
    accelerated: Accelerator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Booted, str]]:
    """The image with one fault in its plan, and what the console must say of it."""
    make, message = FAULTS[request.param]
    folder = tmp_path_factory.mktemp("closed")
    (folder / "fault.cpio").write_bytes(archive("etc/pbrinit", {"plan": make()}))
    subprocess.run(["zstd", "-q", folder / "fault.cpio"], check=True)
    initramfs = folder / "initramfs"
    fault = (folder / "fault.cpio.zst").read_bytes()
    initramfs.write_bytes(artefacts.initramfs.read_bytes() + fault)
    with Wire() as wire:
        machine = Machine(direct(artefacts, initramfs), (Nic(wire.netdev, GUEST_MAC),), MEMORY)
        for booted in boot(f"closed-{request.param}", machine, accelerated, wire):
            yield booted, message


def test_it_stays_closed_and_says_why(closed: tuple[Booted, str]) -> None:
    booted, message = closed
    assert f"{CLOSED}: {message}" in booted.told
    assert booted.guest.run("status") == next(
        line.partition("pbrinit: ")[2] for line in booted.told.splitlines() if message in line
    )
    assert booted.guest.run("probe tcp 192.0.2.1 80").startswith(CLOSED)
    assert booted.wire.frames() == []
    booted.guest.send_line("poweroff")
    booted.guest.expect("going down")
    booted.guest.wait_for_end()
    assert booted.wire.frames() == []
