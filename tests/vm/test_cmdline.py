"""The kernel's command line is built in: what a boot loader gives changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic
from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import MEMORY, BootedGuest, boot
from tests.support.vm.built_image import direct
from tests.support.vm.wire import Wire

HOSTILE = (
    "rdinit=/usr/bin/python3 init=/usr/bin/python3 ignore_loglevel debug mitigations=off nopti "
    "nokaslr norandmaps console=tty9 net.ifnames=0 ip=192.0.2.2::192.0.2.1:255.255.255.0::eth0:off"
)
"""Another first program, all that the kernel has to say, no protection, a console that nobody sees,
and an address before there is a rule.
"""


@pytest.fixture(scope="module")
def misled(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[BootedGuest]:
    """The image behind a boot loader that means ill."""
    boots = replace(direct(artefacts), cmdline=HOSTILE)
    with Wire() as wire:
        machine = Machine(boots, (Nic(wire.netdev, GUEST_MAC),), MEMORY)
        yield from boot("cmdline", machine, accelerated, wire)


def test_pid_1_is_the_image_s_and_its_rules_are_in_force(misled: BootedGuest) -> None:
    assert "in force, as planned" in misled.guest.run("status")
    for version in (4, 6):
        assert misled.peer.ping(MGMT[version], SELF[version]).verdict == "reply"
        assert misled.peer.ping(STRANGER[version], SELF[version], timeout=1).verdict == "silence"


def test_the_kernel_says_no_more_than_its_own_command_line_wants(misled: BootedGuest) -> None:
    """`quiet` is in force, and `ignore_loglevel` is not."""
    assert "Linux version" not in misled.guest.transcript
    assert "Freeing unused kernel" not in misled.guest.transcript
