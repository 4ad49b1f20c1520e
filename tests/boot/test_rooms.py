"""The appliance with three rooms, booted: each program does its work, with real ones out there."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet as Layer

from factory import image
from factory.image import Artefacts
from factory.qemu import Accelerator, Dgram, Machine, Nic
from pbrinit import bootfile, language
from pbrinit.cli import load
from pbrinit.netlink import encode
from tests.boot import cable, client, servers
from tests.boot.conftest import GUEST_MAC, LOGS, MGMT, SELF, STRANGER, direct, with_files
from tests.boot.guest import Guest
from tests.kernel import acts
from tests.kernel.lab import Namespace

MEMORY = 128
SLICES = {
    port: run.name
    for run in language.read(Path("examples/rooms.toml")).runs
    for port in range(run.clients.first, run.clients.last + 1)
}
UPDATES, CONTENT = "203.0.113.80", b"the latest of all\n"
ON_LINK = ("192.0.2.1/24", "192.0.2.53/24", "2001:db8::1/64", "2001:db8::53/64")
NEIGHBOURS = {end.partition("/")[0] for end in ON_LINK}
versions = pytest.mark.parametrize("version", [4, 6])


@dataclass(frozen=True)
class Appliance:
    """The guest at its prompt, the rest of the network, and an administrator's key."""

    guest: Guest
    network: Namespace
    key: Path


@pytest.fixture(scope="module")
def appliance(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Appliance]:
    """The appliance on a network with a resolver and a server of updates."""
    folder = tmp_path_factory.mktemp("rooms")
    policy, key = client.policy_with_key("rooms", folder)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", folder / "tls", "-out", folder / "rooms/ca.pem", "-days", "2",
         "-subj", "/CN=updates.example.org", "-addext", "subjectAltName=DNS:updates.example.org"],
        check=True, capture_output=True,
    )  # fmt: skip
    plan = bootfile.pack(encode(load(policy), "rooms"))
    archives = (
        image.archive("etc/pbrinit", {"plan": plan}),
        image.of_programs(policy, artefacts.initramfs.read_bytes()),
    )
    booted = direct(artefacts, with_files(artefacts, folder, *archives))
    with tempfile.TemporaryDirectory(prefix="cable-") as name:
        wan = Dgram(Path(name, "guest"), Path(name, "far"))
        network = cable.plugged(wan, *ON_LINK, UPDATES, *MGMT.values(), *STRANGER.values())
        try:
            network.do(servers.resolver, "192.0.2.53", "updates.example.org", UPDATES)
            certificate, secret = str(folder / "rooms/ca.pem"), str(folder / "tls")
            network.do(servers.with_tls, UPDATES, certificate, secret, CONTENT)
            network.do(acts.watch, True)
            machine = Machine(booted, (Nic(wan, GUEST_MAC),), MEMORY)
            with Guest("rooms", machine, accelerated, LOGS) as guest:
                guest.wait_for_prompt()
                guest.expect(r"sshd: .*Not backgrounding")
                yield Appliance(guest, network, key)
        finally:
            network.close()


def test_the_updater_fetches_over_tls_what_the_resolver_has_found(appliance: Appliance) -> None:
    appliance.guest.expect(rf"updater: fetched {len(CONTENT)} bytes", timeout=60)
    assert set(appliance.network.do(servers.who_asked)) == {"192.0.2.2"}


@versions
def test_ssh_is_for_administrators_alone(appliance: Appliance, version: int) -> None:
    target = f"admin@{SELF[version]}"
    told = client.ssh(appliance.network, appliance.key, (MGMT[version], target), "id")
    assert (told.returncode, told.stdout[:19]) == (1, "This is a jump host"), told.stderr
    told = client.ssh(appliance.network, appliance.key, (STRANGER[version], target), "id")
    assert told.returncode == 255
    assert "timed out" in told.stderr


def test_each_room_has_sent_its_own_packets_and_nobody_any_other(appliance: Appliance) -> None:
    """All that has come by the wire since power-on."""
    frames = [Ether(data) for data in appliance.network.do(acts.seen)]
    flows = {flow(frame.payload) for frame in frames if not is_about_neighbours(frame)}
    assert flows == {
        ("resolver", "udp", 53, "192.0.2.53"),
        ("updater", "tcp", 443, UPDATES),
        ("sshd", "tcp", 22, MGMT[4]),
        ("sshd", "tcp", 22, MGMT[6]),
    }


def is_about_neighbours(frame: Layer) -> bool:
    """What the machine says by itself: who has the addresses of those it may reach, where its own
    are, and its groups.
    """
    if ARP in frame:
        return frame[ARP].psrc == SELF[4] and frame[ARP].pdst in NEIGHBOURS
    if ICMPv6ND_NS in frame:
        own = frame[IPv6].src == "::" or frame[IPv6].src.startswith("fe80:")
        return own or frame[ICMPv6ND_NS].tgt in NEIGHBOURS
    return ICMPv6ND_NA in frame or ICMPv6MLReport2 in frame


def flow(packet: Layer) -> tuple[str, str, int, str]:
    """Whose packet it is by its ports, and which service of whom it is about."""
    assert packet.src in SELF.values(), packet.summary()
    body = packet.payload
    assert isinstance(body, TCP | UDP), packet.summary()
    kind = "tcp" if isinstance(body, TCP) else "udp"
    if body.sport in SLICES:
        return (SLICES[body.sport], kind, body.dport, packet.dst)
    return ("sshd" if (kind, body.sport) == ("tcp", 22) else "", kind, body.sport, packet.dst)


def test_the_status_has_all_three_and_nothing_was_repaired(appliance: Appliance) -> None:
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    told = appliance.guest.run("status")
    for name in ("sshd", "updater", "resolver"):
        assert re.search(
            rf"^{name}: process \d+, up \d+ s, 0 restarts, room with ports", told, re.M
        )
    assert "0 repairs" in told
    assert appliance.guest.run("audit").endswith("as planned")
