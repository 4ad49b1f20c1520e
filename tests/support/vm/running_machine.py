"""The machine of examples/host.toml, booted with a monitor of its hardware.

In: the image's artefacts.  Out: a `RunningMachine`, whose cable can be pulled.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic
from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import MEMORY, BootedGuest, boot
from tests.support.vm.built_image import direct
from tests.support.vm.guest import LOGS
from tests.support.vm.wire import Wire

CARRIER_LOST, CARRIER_BACK = "eth0 has lost its carrier", "eth0 has its carrier again"


@dataclass(frozen=True)
class RunningMachine:
    """A booted guest, and the monitor by which its hardware is controlled."""

    booted: BootedGuest
    monitor: socket.socket

    def cable(self, state: str) -> None:
        """Pull the cable ("off") or plug it in ("on")."""
        self.monitor.sendall(f"set_link net0 {state}\n".encode())


def machine_running(
    artefacts: Artefacts, accelerated: Accelerator, name: str
) -> Iterator[RunningMachine]:
    """The machine of the example, on a wire, with QEMU's monitor."""
    with (
        tempfile.TemporaryDirectory(prefix="monitor-") as folder,
        Wire(LOGS / f"boot-{name}.pcap") as wire,
        socket.socket(socket.AF_UNIX) as monitor,
    ):
        path = Path(folder, "socket")
        machine = Machine(direct(artefacts), (Nic(wire.netdev, GUEST_MAC),), MEMORY, monitor=path)
        for booted in boot(name, machine, accelerated, wire):
            monitor.connect(str(path))
            yield RunningMachine(booted, monitor)


def assert_as_planned(booted: BootedGuest) -> None:
    """Assert that the audit finds no difference and that packets are filtered."""
    assert booted.guest.run("audit").endswith("as planned")
    assert "NOT AS PLANNED" not in booted.guest.run("audit")
    for version in (4, 6):
        assert booted.peer.ping(MGMT[version], SELF[version]).verdict == "reply"
        assert booted.peer.tcp(STRANGER[version], SELF[version], 22).verdict == "silence"
