"""The appliance with three rooms, booted: each program does its work, with real ones out there."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet as Layer

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Dgram, Machine, Nic
from pbrinit.policy.reader import reader
from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MAC
from tests.support.namespaces import in_namespace, neighbour_flood
from tests.support.namespaces.lab import Namespace
from tests.support.vm import cable, servers, ssh_client, ssh_questions
from tests.support.vm.built_image import with_programs
from tests.support.vm.guest import LOGS, Guest

MEMORY = 128
SLICES = {
    port: run.name
    for run in reader.read_policy(Path("examples/rooms.toml")).programs
    for port in range(run.client_ports.first, run.client_ports.last + 1)
}
UPDATES, CONTENT = "203.0.113.80", b"the latest of all\n"
ON_LINK = ("192.0.2.1/24", "192.0.2.53/24", "2001:db8::1/64", "2001:db8::53/64")
NEIGHBOURS = {end.partition("/")[0] for end in ON_LINK}
FLOOD_SECONDS, FLOOD_RATE = 20, 400
"""So long questions are answered while so many new neighbours come each second, at least."""

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
    policy, key = ssh_client.policy_with_key("rooms", folder)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", folder / "tls", "-out", folder / "rooms/ca.pem", "-days", "2",
         "-subj", "/CN=updates.example.org", "-addext", "subjectAltName=DNS:updates.example.org"],
        check=True, capture_output=True,
    )  # fmt: skip
    booted = with_programs(artefacts, folder, policy)
    with tempfile.TemporaryDirectory(prefix="cable-") as name:
        wan = Dgram(Path(name, "guest"), Path(name, "far"))
        network = cable.namespace_at(wan, *ON_LINK, UPDATES, *MGMT.values(), *STRANGER.values())
        try:
            network.do(servers.serve_dns, "192.0.2.53", "updates.example.org", UPDATES)
            certificate, secret = str(folder / "rooms/ca.pem"), str(folder / "tls")
            network.do(servers.serve_https, UPDATES, certificate, secret, CONTENT)
            network.do(in_namespace.capture, True)
            machine = Machine(booted, (Nic(wan, GUEST_MAC),), MEMORY)
            with Guest("rooms", machine, accelerated, LOGS) as guest:
                guest.wait_for_prompt()
                guest.expect(r"sshd: .*Not backgrounding")
                yield Appliance(guest, network, key)
        finally:
            network.close()


def test_the_updater_fetches_over_tls_what_the_resolver_has_found(appliance: Appliance) -> None:
    appliance.guest.expect(rf"updater: fetched {len(CONTENT)} bytes", timeout=60)
    assert set(appliance.network.do(servers.resolver_clients)) == {"192.0.2.2"}


def ssh(
    appliance: Appliance, source: str, *command: str, piped: str = "", seconds: int = 150
) -> subprocess.CompletedProcess[str]:
    """A real client, from this address."""
    target = f"admin@{SELF[6 if ':' in source else 4]}"
    key, network = appliance.key, appliance.network
    return ssh_client.ssh(network, key, (source, target), *command, piped=piped, seconds=seconds)


def gets_in(appliance: Appliance, source: str) -> bool:
    """Whether ssh from there gets to `pbrctl`; what does not is not answered at all."""
    told = ssh(appliance, source, "pbrctl status")
    assert (told.returncode, told.stderr) == (0, "") or "timed out" in told.stderr
    return told.returncode == 0


@versions
def test_ssh_is_for_administrators_alone(appliance: Appliance, version: int) -> None:
    assert gets_in(appliance, MGMT[version])
    assert not gets_in(appliance, STRANGER[version])


def test_each_room_has_sent_its_own_packets_and_nobody_any_other(appliance: Appliance) -> None:
    """All that has come by the wire since power-on."""
    frames = [Ether(data) for data in appliance.network.do(in_namespace.captured_frames)]
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


def test_the_machine_is_asked_over_ssh(appliance: Appliance) -> None:
    told = ssh(appliance, MGMT[4], "pbrctl status")
    assert re.search(r'^appliance, policy "rooms" [0-9a-f]{16}, up \d+ s, ', told.stdout)
    assert "rules: " in told.stdout
    assert "sshd: process " in told.stdout
    status = json.loads(ssh(appliance, MGMT[6], "pbrctl status --json").stdout)
    assert status["as_planned"] is True
    assert [program["name"] for program in status["programs"]] == ["sshd", "updater", "resolver"]
    assert ssh(appliance, MGMT[4], "audit").stdout.endswith("as planned\n")
    question = f"explain in wan tcp {STRANGER[4]}:40000 > {SELF[4]}:22"
    assert ssh(appliance, MGMT[4], question).stdout.startswith("dropped: ")


@pytest.mark.parametrize("words", ["id", "sh -i", "poweroff", "lease 192.0.2.9/24", "probe ping x"])
def test_nothing_else_is_done_there(appliance: Appliance, words: str) -> None:
    told = ssh(appliance, MGMT[4], words)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith(f"error: there is no command '{words.split(maxsplit=1)[0]}'")


def test_neighbours_without_number_take_no_room_its_network(appliance: Appliance) -> None:
    """The table of neighbours is one for all devices: who fills it must not push rooms out."""
    appliance.network.do(neighbour_flood.start, SELF[6])
    end = time.monotonic() + FLOOD_SECONDS
    try:
        while time.monotonic() < end:
            for version in (4, 6):
                assert appliance.network.do(ssh_questions.ask, MGMT[version], SELF[version]) < 5
    finally:
        appliance.network.do(neighbour_flood.stop)
    assert appliance.network.do(neighbour_flood.count) > FLOOD_SECONDS * FLOOD_RATE
    assert ssh(appliance, MGMT[6], "audit").stdout.endswith("as planned\n")


POLICY = Path("examples/rooms.toml").read_text()
OURS = 'admins   = ["198.51.100.0/24", "2001:db8:5::/48"]'
BOTH = 'admins = ["198.51.100.0/24", "2001:db8:5::/48", "203.0.113.0/24", "2001:db8:7::/48"]'
PING = """
[[input]]                         # no run: the machine itself answers
on      = "wan"
from    = "admins"
service = "ping"
"""
GATEWAY = 'gateway = ["192.0.2.1", "2001:db8::1"]'
NOBODY_THERE = 'gateway = ["192.0.2.99", "2001:db8::99"]'
SECONDS = 40
"""So long a trial lasts: a slow guest needs half of it for the questions that are asked."""


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (('ask     = "try"', 'ask     = "status"'), 1, "programs differ: that takes a reboot"),
        (('from    = "updater"', 'from    = "updated"'), 2, 'did you mean "updater"?'),
        ((OURS, 'admins.file = "../etc/pbrinit/password"'), 2, "has no files beside it"),
        ((OURS, BOTH), 1, "a program cannot change its own entries, the console can"),
        (('hostname = "', 'on-failure = "reboot"\nhostname = "'), 1, "on-failure differs"),
    ],
)
def test_what_cannot_be_tried_is_said(
    appliance: Appliance, change: tuple[str, str], status: int, said: str
) -> None:
    told = ssh(appliance, MGMT[4], "pbrctl try - --confirm 60", piped=POLICY.replace(*change))
    assert (told.returncode, told.stdout) == (status, "")
    assert said in told.stderr
    assert "on trial" not in ssh(appliance, MGMT[4], "status").stdout


def rolls_back(appliance: Appliance) -> None:
    """What is on trial goes by itself, and all is as it was."""
    appliance.guest.expect('policy "piped" was not confirmed', SECONDS + 10)
    appliance.guest.expect('policy "rooms" [0-9a-f]{16}: [0-9]+ rules in force')
    for version in (4, 6):
        assert gets_in(appliance, MGMT[version])
        assert not gets_in(appliance, STRANGER[version])
    assert ssh(appliance, MGMT[4], "audit").stdout.endswith("as planned\n")


def is_pinged(appliance: Appliance, source: str) -> bool:
    """Whether the machine answers a ping from there."""
    target = SELF[6 if ":" in source else 4]
    return bool(appliance.network.do(in_namespace.ping, target, source))


def test_a_policy_is_tried_over_ssh_and_goes_unless_it_is_confirmed(appliance: Appliance) -> None:
    """The rooms live on, and one that is started meanwhile has its place in what is on trial."""
    assert is_pinged(appliance, MGMT[4])
    policy = POLICY.replace(PING, "")
    told = ssh(appliance, MGMT[4], f"pbrctl try - --confirm {SECONDS}", piped=policy)
    assert (told.returncode, told.stderr) == (0, "")
    assert f'policy "piped" is in force for {SECONDS} s; `pbrctl confirm ' in told.stdout
    assert not is_pinged(appliance, MGMT[4])
    for name in ("resolver", "updater"):
        assert ssh(appliance, MGMT[4], f"pbrctl restart {name}").stderr == ""
    told = ssh(appliance, MGMT[6], "audit")
    assert told.stdout.endswith("as planned\n"), told.stdout
    appliance.guest.expect(rf"updater: fetched {len(CONTENT)} bytes", timeout=60)
    rolls_back(appliance)
    assert is_pinged(appliance, MGMT[4])


def test_who_cuts_himself_off_is_let_in_again(appliance: Appliance) -> None:
    """His connection is as it was as well: its room was not touched."""
    command, policy = f"pbrctl try - --confirm {SECONDS}", POLICY.replace(GATEWAY, NOBODY_THERE)
    with ThreadPoolExecutor() as pool:
        cut_off = pool.submit(ssh, appliance, MGMT[4], command, piped=policy)
        appliance.guest.expect('policy "piped" [0-9a-f]{16}: [0-9]+ rules in force', 150)
        assert not gets_in(appliance, MGMT[4])
        assert not cut_off.done()
        rolls_back(appliance)
        told = cut_off.result()
    assert told.returncode == 0
    assert f'policy "piped" is in force for {SECONDS} s' in told.stdout


def test_what_is_confirmed_over_ssh_by_its_token_stays(appliance: Appliance) -> None:
    policy = POLICY.replace(PING, "")
    told = ssh(appliance, MGMT[6], f"pbrctl try - --confirm {SECONDS}", piped=policy)
    token = re.search(r"`pbrctl confirm ([0-9a-f]+)` keeps it", told.stdout)
    assert token is not None, told
    for words, status in (("confirm", 2), (f"confirm {'0' * len(token[1])}", 1)):
        refused = ssh(appliance, MGMT[4], f"pbrctl {words}")
        assert (refused.returncode, refused.stdout) == (status, ""), words
    told = ssh(appliance, MGMT[4], f"pbrctl confirm {token[1]}")
    assert told.stdout == 'policy "piped" is kept, until the machine starts again\n'
    time.sleep(SECONDS)
    assert not is_pinged(appliance, MGMT[4])
    assert "0 repairs" in ssh(appliance, MGMT[4], "status").stdout
