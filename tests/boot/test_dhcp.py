"""An image whose address comes by DHCP: without one, with one, with another, and without again.
A page is served in a room.

The tests are one story: a dnsmasq comes, gives, changes its mind, and goes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP
from scapy.packet import Packet as Layer

from factory.image import Artefacts, archive
from factory.qemu import Accelerator, Machine, Nic
from pbrinit import bootfile
from pbrinit.cli import load
from pbrinit.netlink import encode
from tests.boot import pester
from tests.boot.conftest import GUEST_MAC, LOGS, direct, with_files
from tests.boot.guest import Guest
from tests.boot.network import Network
from tests.boot.wire import Wire
from tests.kernel import acts, leased
from tests.kernel.acts import Question

POLICY = Path("examples/dhcp.toml")
SERVER, MGMT, STRANGER = "192.0.2.1", "198.51.100.9", "203.0.113.7"
FIRST, SECOND = "192.0.2.77", "192.0.2.90"
RENEWAL = "--dhcp-option=option:T1,40"
"""Seconds: later than a slow guest has the plan for its lease in force."""

LEASE_SECONDS = 120
MORE_MEMORY = 112
"""Megabytes. The compiler runs on the machine, beside PID 1, what asks for the address, and the
Python that serves the page.
"""

SERVER_OF_PAGE = """
import socket
one = socket.create_server(("", 80))
print("serving")
while True:
    one.accept()[0].send(b"hello")
"""
ROOM = f"""
[run.page]
command = ["/usr/bin/python3", "-ISBuc", {json.dumps(SERVER_OF_PAGE)}]
user = "page"
[[input]]
on = "wan"
from = "mgmt"
service = "page"
run = "page"
"""
NAMES = {"[service]": 'page = "tcp/80"', "[user]": "page = 1002"}


def with_a_room() -> str:
    """The policy's text, with a program that serves in a room."""
    text = POLICY.read_text()
    for section, name in NAMES.items():
        text = text.replace(section, f"{section}\n{name}")
    return text + ROOM


@dataclass
class Appliance:
    """A guest that wants an address, and the network that it is on."""

    guest: Guest
    wire: Wire
    network: Network
    folder: Path

    def serve(self, servers: ExitStack, address: str) -> None:
        """Let a dnsmasq give this address alone."""
        pool = f"--dhcp-range={address},{address},2m"
        servers.enter_context(leased.served(self.network.inside, self.folder, pool, RENEWAL))

    def reached(self, address: str, port: int = 22) -> dict[str, str]:
        """What becomes of those who ask the machine there for ssh: nobody listens, so that who may
        is refused by TCP.
        """
        ask = partial(Question, "tcp", address, port)
        return {
            name: self.network.inside.do(acts.ask, ask(source=(source, 0)))
            for name, source in (("mgmt", MGMT), ("stranger", STRANGER), ("server", SERVER))
        }

    def page(self, address: str) -> dict[str, str]:
        """The same of the page, as soon as its room has the address, or some seconds later."""
        end = time.monotonic() + 20
        while (told := self.reached(address, 80)) != SERVED and time.monotonic() < end:
            time.sleep(0.5)
        return told

    def serves(self, address: str) -> bool:
        """Whether anybody gets the page there."""
        return "answered" in self.reached(address, 80).values()


NOBODY = {"mgmt": "silence", "stranger": "silence", "server": "silence"}
SERVED = {"mgmt": "answered", "stranger": "silence", "server": "silence"}
AS_WRITTEN = {"mgmt": "ECONNREFUSED", "stranger": "silence", "server": "silence"}


@pytest.fixture(scope="module")
def appliance(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Appliance]:
    folder = tmp_path_factory.mktemp("dhcp")
    policy = folder / "policy.toml"
    policy.write_text(with_a_room())
    plan = bootfile.pack(encode(load(policy), POLICY.stem))
    files = archive("etc/pbrinit", {"plan": plan, "policy.toml": policy.read_bytes()})
    machine = direct(artefacts, with_files(artefacts, folder, files))
    with (
        Wire(LOGS / "boot-dhcp.pcap") as wire,
        Network(wire, folder, [f"{SERVER}/24"], [MGMT, STRANGER]) as network,
        Guest("dhcp", Machine(machine, (Nic(wire.netdev, GUEST_MAC),), MORE_MEMORY), accelerated,
              LOGS) as guest,
    ):  # fmt: skip
        guest.wait_for_prompt()
        yield Appliance(guest, wire, network, folder)


@pytest.fixture(scope="module")
def servers(appliance: Appliance) -> Iterator[ExitStack]:
    """The dnsmasq that runs on the appliance's network."""
    assert appliance.folder.exists()
    with ExitStack() as running:
        yield running


def four(appliance: Appliance, since: float = 0.0) -> list[Layer]:
    """What of IPv4 and ARP the guest sent."""
    packets = (frame.packet for frame in appliance.wire.frames(since))
    return [packet for packet in packets if IP in packet or ARP in packet]


def is_discover(packet: Layer) -> bool:
    return (
        UDP in packet
        and (packet[UDP].sport, packet[UDP].dport) == (68, 67)
        and (packet[IP].src, packet[IP].dst) == ("0.0.0.0", "255.255.255.255")
    )


def test_without_a_server_nothing_of_ipv4_leaves_but_dhcp(appliance: Appliance) -> None:
    assert appliance.reached(FIRST) == NOBODY
    assert not appliance.serves(FIRST)
    assert "refused" in appliance.guest.run(f"probe tcp {SERVER} 443 as updater")
    time.sleep(4)
    sent = four(appliance)
    assert sent
    assert all(is_discover(packet) for packet in sent)


def test_with_a_lease_the_machine_is_as_the_policy_says(
    appliance: Appliance, servers: ExitStack
) -> None:
    appliance.serve(servers, FIRST)
    appliance.guest.expect(rf"wan: {FIRST}/24, gateway {SERVER} for 120 s from {SERVER}", 70)
    appliance.guest.expect(r'policy "dhcp" [0-9a-f]{16}: \d+ rules in force', 30)
    assert appliance.reached(FIRST) == AS_WRITTEN
    assert appliance.page(FIRST) == SERVED
    assert appliance.network.inside.do(acts.ping, FIRST, MGMT)
    appliance.network.inside.do(acts.serve, "tcp", 443, (SERVER,))
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    assert "connected" in appliance.guest.run(f"probe tcp {SERVER} 443 as updater")
    assert "refused" in appliance.guest.run(f"probe tcp {SERVER} 443")


def is_more_time(packet: Layer, own: str) -> bool:
    return (
        UDP in packet
        and (packet[UDP].sport, packet[UDP].dport) == (68, 67)
        and (packet[IP].src, packet[IP].dst) in ((own, SERVER), (own, "255.255.255.255"))
    )


def is_allowed(packet: Layer, own: str) -> bool:
    """Whether the machine may send it as the one that has this address."""
    if ARP in packet:
        return bool(packet[ARP].psrc == own)
    if packet[IP].src != own:
        return False
    if ICMP in packet:
        # The timestamp is the kernel's to tell whom it may answer (docs/ways-out.md).
        return packet[ICMP].type in (0, 14) and bool(packet[IP].dst == MGMT)
    if TCP in packet and packet[TCP].sport in (22, 80):
        return bool(packet[IP].dst == MGMT)
    to_web = TCP in packet and packet[TCP].dport == 443
    return to_web or is_more_time(packet, own)


def test_another_address_takes_the_place_of_the_first_without_a_gap(
    appliance: Appliance, servers: ExitStack
) -> None:
    """Everybody asks all the time, for both addresses; each frame of the machine is one that the
    first address, none, or the second allows, in this order.
    """
    servers.close()
    appliance.serve(servers, SECOND)
    start = time.monotonic()
    inside, hardware = appliance.network.inside, GUEST_MAC
    inside.do(pester.start, hardware, (FIRST, SECOND), (MGMT, STRANGER, SERVER))
    appliance.guest.expect(r"wan: no lease", LEASE_SECONDS)
    appliance.guest.expect(rf"wan: {SECOND}/24, gateway {SERVER} for 120 s from {SERVER}", 60)
    appliance.guest.expect(r'policy "dhcp" [0-9a-f]{16}: \d+ rules in force', 30)
    time.sleep(5)
    assert inside.do(pester.stop) > 2000
    sent = four(appliance, start)
    orders = [
        [is_allowed(packet, FIRST) for packet in sent],
        [is_discover(packet) for packet in sent],
        [is_allowed(packet, SECOND) for packet in sent],
    ]
    at = 0
    for allowed in orders:
        first = at
        while at < len(sent) and allowed[at]:
            at += 1
        assert at > first, sent[at].show(dump=True)
    assert at == len(sent), sent[at].show(dump=True)
    assert appliance.reached(SECOND) == AS_WRITTEN
    assert appliance.page(SECOND) == SERVED
    assert appliance.reached(FIRST) == NOBODY
    assert not appliance.serves(FIRST)


def test_a_lease_that_nobody_renews_ends_and_nothing_but_dhcp_is_left(
    appliance: Appliance, servers: ExitStack
) -> None:
    servers.close()
    gone = time.monotonic()
    appliance.guest.expect(r"wan: no lease", LEASE_SECONDS + 10)
    taken_away = time.monotonic()
    assert taken_away - gone <= LEASE_SECONDS + 5
    appliance.guest.expect(r'policy "dhcp" [0-9a-f]{16}: \d+ rules in force', 30)
    time.sleep(2)
    closed = time.monotonic()
    assert appliance.reached(SECOND) == NOBODY
    assert not appliance.serves(SECOND)
    assert not appliance.network.inside.do(acts.ping, SECOND, MGMT)
    time.sleep(5)
    sent = four(appliance, closed)
    assert sent
    assert all(is_discover(packet) for packet in sent)
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    assert SECOND not in appliance.guest.run("status")
    assert appliance.guest.run("audit").endswith("as planned")
