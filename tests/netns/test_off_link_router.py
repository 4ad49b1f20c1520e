"""A machine whose router is beyond its prefix: its ARP and its packets, by a policy and by DHCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import parse_assignment, with_assignments
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.namespaces.in_namespace import Probe
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.policy_text import by_dhcp

HOST = Path("examples/host.toml")
OWN, SIX = "203.0.113.7", "2001:db8:7::7"
ROUTER, ROUTER_SIX = "172.31.1.1", "2001:db8:f::1"
MGMT, STRANGER, MGMT_SIX, STRANGER_SIX = (
    "198.51.100.9", "192.0.2.66", "2001:db8:5::9", "2001:db8:8::8",
)  # fmt: skip
LEASE = "192.0.2.77/32,172.31.1.1,172.31.1.1,172.31.1.1/32="


def by_policy(folder: Path) -> Policy:
    text = HOST.read_text()
    for ordinary, alone in (
        ("192.0.2.2/24", f"{OWN}/32"), ("2001:db8::2/64", f"{SIX}/128"),
        ('"192.0.2.1", "2001:db8::1"', f'"{ROUTER}", "{ROUTER_SIX}"'),
    ):  # fmt: skip
        assert ordinary in text
        text = text.replace(ordinary, alone)
    path = folder / "cloud.toml"
    path.write_text(text)
    return read_policy(path)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Lab]:
    """A machine in a cloud, its plan in force, and its router."""
    on_link = (f"{ROUTER}/32", f"{ROUTER_SIX}/128")
    with Lab(on_link, [MGMT, STRANGER, MGMT_SIX, STRANGER_SIX]) as lab:
        plan = encode(compile_policy(by_policy(tmp_path)), "cloud")
        assert lab.machine.do(in_namespace.enforce, plan) == []
        for address in (OWN, SIX):
            lab.peer.run("ip", "route", "add", address, "dev", "eth0")
        yield lab


@pytest.mark.parametrize(("own", "mgmt", "stranger"), [
    (OWN, MGMT, STRANGER), (SIX, MGMT_SIX, STRANGER_SIX),
])  # fmt: skip
def test_what_the_policy_says_passes_by_the_router(
    cloud: Lab, own: str, mgmt: str, stranger: str
) -> None:
    cloud.machine.do(in_namespace.serve, "tcp", 22)
    cloud.peer.do(in_namespace.serve, "tcp", 443, (stranger,))
    probe = Probe("tcp", own, 22, source=(mgmt, 0))
    assert cloud.peer.do(in_namespace.send_probe, probe) == "answered"
    probe = Probe("tcp", own, 22, source=(stranger, 0))
    assert cloud.peer.do(in_namespace.send_probe, probe) == "silence"
    probe = Probe("tcp", stranger, 443, 1001)
    assert cloud.machine.do(in_namespace.send_probe, probe) == "answered"
    probe = Probe("tcp", stranger, 443, 1002)
    assert cloud.machine.do(in_namespace.send_probe, probe) == "EACCES"


def test_arp_of_the_router_is_answered_and_that_of_nobody_else(cloud: Lab) -> None:
    hardware = cloud.machine.do(in_namespace.mac)
    cloud.peer.do(in_namespace.capture)
    asked = {
        sender: bytes(
            Ether(src="02:00:00:00:00:09", dst="ff:ff:ff:ff:ff:ff")
            / ARP(op=1, hwsrc="02:00:00:00:00:09", psrc=sender, pdst=OWN)
        )
        for sender in (ROUTER, "172.31.1.2", STRANGER, OWN)
    }
    cloud.peer.do(in_namespace.transmit, list(asked.values()))
    frames = [Ether(frame) for frame in cloud.peer.do(in_namespace.captured_frames)]
    answers = [f[ARP].pdst for f in frames if f.src == hardware and ARP in f and f[ARP].op == 2]
    assert answers == [ROUTER]
    assert not [f for f in frames if f.src == hardware and IP in f]


def test_a_lease_alone_in_its_prefix_is_used() -> None:
    policy = by_dhcp(read_policy(HOST))
    leased = with_assignments(policy, parse_assignment(policy, LEASE))
    with Lab([f"{ROUTER}/32"], [MGMT]) as lab:
        assert lab.machine.do(in_namespace.enforce, encode(compile_policy(leased), "host")) == []
        lab.peer.run("ip", "route", "add", "192.0.2.77", "dev", "eth0")
        lab.machine.do(in_namespace.serve, "tcp", 22)
        probe = Probe("tcp", "192.0.2.77", 22, source=(MGMT, 0))
        assert lab.peer.do(in_namespace.send_probe, probe) == "answered"


@pytest.mark.parametrize(
    "forced",
    [
        ("1,255.255.255.255", f"3,{ROUTER}"),
        ("1,255.255.255.255", f"121,{ROUTER}/32,0.0.0.0,0.0.0.0/0,{ROUTER}"),
        ("1,255.255.255.255", f"121,0.0.0.0/0,{ROUTER}"),
    ],
)
def test_a_real_server_says_that_the_router_is_beyond(
    tmp_path: Path, forced: tuple[str, ...]
) -> None:
    policy = by_dhcp(read_policy(HOST))
    options = [f"--dhcp-option-force={option}" for option in forced]
    with Lab(["192.0.2.1/24", f"{ROUTER}/32"], []) as lab:
        assert lab.machine.do(in_namespace.enforce, encode(compile_policy(policy), "host")) == []
        pool = "--dhcp-range=192.0.2.77,192.0.2.77,2m"
        with dhcp_server.dnsmasq(lab.peer, tmp_path, pool, *options):
            lab.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
            given = ["none", "192.0.2.77/32,172.31.1.1,192.0.2.1,172.31.1.1/32="]
            assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == given, 8), (
                dhcp_server.recorded_leases(tmp_path)
            )
            lab.machine.do(dhcp_server.stop_client)
