"""The disk image, booted as a machine would boot it: by UEFI, with another network card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic, disk
from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import IN_FORCE, BootedGuest, boot
from tests.support.vm.wire import Wire


@pytest.fixture(scope="module")
def uefi(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedGuest]:
    """The disk in a machine with 128 MiB and an Intel card."""
    scratch: Path = tmp_path_factory.mktemp("uefi")
    with Wire() as wire:
        nic = Nic(wire.netdev, GUEST_MAC, "e1000e")
        yield from boot(
            "uefi", Machine(disk(artefacts.disk, scratch), (nic,), 128), accelerated, wire
        )


def test_the_disk_boots_filters_and_switches_itself_off(uefi: BootedGuest) -> None:
    in_force = uefi.guest.printed_at(IN_FORCE)
    assert uefi.wire.frames(until=in_force) == []
    for version in (4, 6):
        assert uefi.peer.ping(MGMT[version], SELF[version]).verdict == "reply"
        assert uefi.peer.ping(STRANGER[version], SELF[version], timeout=1).verdict == "silence"
    assert "in force, as planned" in uefi.guest.run("status")
    uefi.guest.send_line("poweroff")
    uefi.guest.expect("going down")
    uefi.guest.wait_for_end()
