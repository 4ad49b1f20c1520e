"""The image that `make test` built, booted, and the network that it is on."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.packet import Packet

from factory.image.build import BASE, CHECKOUT, Artefacts, archive, of_programs
from factory.vm.qemu import Accelerator, Direct, Machine, Nic, accelerator
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan
from tests.support.vm.guest import Guest
from tests.support.vm.peer import Peer
from tests.support.vm.probe import Arp, Neighbour, Ping, Probe, Tcp, Udp
from tests.support.vm.wire import Wire

IMAGE, PC_IMAGE = Path("build/test"), Path("build/test-pc")
LOGS = Path("build/log")
MAC, GUEST_MAC, GUEST_LAN_MAC = "52:54:00:00:00:fe", "52:54:00:12:34:56", "52:54:00:12:34:57"
MEMORY = 64

SELF = {4: "192.0.2.2", 6: "2001:db8::2"}
ROUTER = {4: "192.0.2.1", 6: "2001:db8::1"}
MGMT = {4: "198.51.100.9", 6: "2001:db8:5::9"}
RESOLVER = {4: "192.0.2.53", 6: "2001:db8::53"}
NEIGHBOUR = {4: "192.0.2.66", 6: "2001:db8::66"}
STRANGER = {4: "203.0.113.7", 6: "2001:db8:7::7"}
VERSIONS = (4, 6)
CLOSED, IN_FORCE = "CLOSED", "rules in force"


@pytest.fixture(scope="session")
def artefacts() -> Artefacts:
    """What `make test` built before it started us."""
    return artefacts_in(IMAGE)


@pytest.fixture(scope="session")
def pc_artefacts() -> Artefacts:
    """The same of the variant for real machines."""
    return artefacts_in(PC_IMAGE)


def artefacts_in(folder: Path) -> Artefacts:
    """What is in a folder; fails where something is missing, or not of the code that is tested."""
    names = ("vmlinuz", "initramfs.cpio.zst", "cmdline", "pbrinit.efi", "pbrinit.img")
    found = Artefacts(*(folder / name for name in names))
    for path in vars(found).values():
        if not path.exists():
            pytest.fail(f"{path} is not there: `make test` builds it before it tests")
    made = found.initramfs.stat().st_mtime
    for path in (path for pattern in BASE for path in CHECKOUT.glob(pattern)):
        if path.stat().st_mtime > made:
            pytest.fail(f"{folder} is older than {path}: `make test` builds it before it tests")
    return found


@pytest.fixture(scope="session")
def accelerated() -> Accelerator:
    """How guests are run here."""
    return accelerator()


@dataclass(frozen=True)
class Booted:
    """A guest at its prompt, with all that passed on the wire since power-on."""

    guest: Guest
    wire: Wire
    peer: Peer
    told: str


def direct(artefacts: Artefacts, initramfs: Path | None = None) -> Direct:
    """A boot without firmware, of the image's own initramfs or another."""
    cmdline = artefacts.cmdline.read_text().strip()
    return Direct(artefacts.vmlinuz, initramfs or artefacts.initramfs, cmdline)


def with_files(artefacts: Artefacts, folder: Path, *archives: bytes) -> Path:
    """The image's initramfs with more behind it, unpacked over its own."""
    more = subprocess.run(
        ["zstd", "-q", "-c"], input=b"".join(archives), check=True, capture_output=True
    ).stdout
    whole = folder / "initramfs"
    whole.write_bytes(artefacts.initramfs.read_bytes() + more)
    return whole


def with_plan(artefacts: Artefacts, folder: Path, plan: bytes) -> Path:
    """The image's initramfs with another plan."""
    return with_files(artefacts, folder, archive("etc/pbrinit", {"plan": plan}))


def with_example(artefacts: Artefacts, name: str, folder: Path) -> Path:
    """The image's initramfs with the plan of another example, but without its programs."""
    plan = bootplan.pack(encode(load(Path(f"examples/{name}.toml")), name))
    return with_plan(artefacts, folder, plan)


def with_programs(artefacts: Artefacts, folder: Path, policy: Path) -> Direct:
    """A boot of the image with another policy, and with what its programs bring along."""
    plan = bootplan.pack(encode(load(policy), policy.stem))
    archives = (
        archive("etc/pbrinit", {"plan": plan}),
        of_programs(policy, artefacts.initramfs.read_bytes()),
    )
    return direct(artefacts, with_files(artefacts, folder, *archives))


def questions() -> Iterator[Packet]:
    """What a network asks a machine that comes up, without end: it must not answer too early."""
    for number in itertools.count(40000):
        for version in VERSIONS:
            peers = (MGMT[version], ROUTER[version])
            probes: list[Probe] = [Ping(peer, SELF[version]) for peer in peers]
            probes += [Tcp(peer, SELF[version], port) for peer in peers for port in (22, 80)]
            probes += [Udp(peer, SELF[version], 53) for peer in peers]
            for probe in probes:
                yield probe.frame(MAC, GUEST_MAC, number)
        yield Arp(SELF[4], ROUTER[4]).frame(MAC, GUEST_MAC, number)
        yield Neighbour(SELF[6], ROUTER[6]).frame(MAC, GUEST_MAC, number)


def boot(name: str, machine: Machine, accelerated: Accelerator, wire: Wire) -> Iterator[Booted]:
    """Boot a machine with the wire on its card; it is asked all the time until its prompt."""
    peer = Peer(wire, MAC, GUEST_MAC, [])
    done = threading.Event()

    def ask() -> None:
        for frame in questions():
            if done.wait(0.02):
                return
            wire.send(frame)

    with Guest(name, machine, accelerated, LOGS) as guest:
        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        try:
            told = guest.wait_for_prompt()
        finally:
            done.set()
            asker.join()
        peer.addresses.update(ROUTER.values(), RESOLVER.values(), NEIGHBOUR.values())
        time.sleep(0.5)
        yield Booted(guest, wire, peer, told)


@pytest.fixture(scope="session")
def host(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[Booted]:
    """The image with the example policy, in a small machine with a virtio card."""
    with Wire(LOGS / "boot-host.pcap") as wire:
        nic = Nic(wire.netdev, GUEST_MAC)
        yield from boot("host", Machine(direct(artefacts), (nic,), MEMORY), accelerated, wire)
