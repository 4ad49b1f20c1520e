"""The example's image, booted once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import MEMORY, BootedGuest, boot
from tests.support.vm.built_image import direct
from tests.support.vm.fixtures import accelerated, artefacts, pc_artefacts
from tests.support.vm.guest import LOGS
from tests.support.vm.wire import Wire

__all__ = ["accelerated", "artefacts", "host", "pc_artefacts"]


@pytest.fixture(scope="session")
def host(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[BootedGuest]:
    """The image with the example policy, in a small machine with a virtio card."""
    with Wire(LOGS / "boot-host.pcap") as wire:
        nic = Nic(wire.netdev, GUEST_MAC)
        yield from boot("host", Machine(direct(artefacts), (nic,), MEMORY), accelerated, wire)
