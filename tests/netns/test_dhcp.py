"""A machine that gets its address by DHCP, from a real dnsmasq: what passes before and with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet as Layer

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import Assignment, with_assignments
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.namespaces.in_namespace import Probe
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.policy_text import by_dhcp

POLICY = by_dhcp(read_policy(Path("examples/host.toml")))
SERVER, OTHER = "192.0.2.1", "192.0.2.9"
MGMT, STRANGER = "198.51.100.9", "203.0.113.7"
OWN = "192.0.2.77"
GIVEN = Assignment(IPv4Interface(f"{OWN}/24"), IPv4Address(SERVER), IPv4Address(SERVER))
WRITTEN = f"{OWN}/24,{SERVER},{SERVER}"
POOL = f"--dhcp-range={OWN},{OWN},2m"
SERVED = (("tcp", 22), ("udp", 22), ("udp", 67), ("udp", 69), ("udp", 40000), ("tcp", 40000))
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def in_force(folder: Path, given: Assignment | None) -> BootPlan:
    return encode(compile_policy(with_assignments(POLICY, given)), folder.name)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Lab]:
    """A machine without an address, its plan in force, that may be asking; and a peer."""
    with Lab([f"{SERVER}/24"], [MGMT, STRANGER]) as lab:
        assert lab.machine.do(in_namespace.enforce, in_force(tmp_path, None)) == []
        lab.peer.do(in_namespace.capture)
        yield lab


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Lab]:
    """A machine that has its lease already, and the plan for it in force."""
    with Lab([f"{SERVER}/24", f"{OTHER}/24"], [MGMT, STRANGER]) as lab:
        assert lab.machine.do(in_namespace.enforce, in_force(tmp_path, GIVEN)) == []
        yield lab


def leaves(lab: Lab) -> list[Layer]:
    """The IPv4 and ARP frames that the machine put on the wire."""
    hardware = lab.machine.do(in_namespace.mac)
    frames = [Ether(frame) for frame in lab.peer.do(in_namespace.captured_frames)]
    return [f for f in frames if f.src == hardware and (IP in f or ARP in f)]


def is_dhcp(frame: Layer) -> bool:
    return (
        UDP in frame
        and (frame[UDP].sport, frame[UDP].dport) == (68, 67)
        and (frame[IP].src, frame[IP].dst) == ("0.0.0.0", "255.255.255.255")
    )


def test_the_routes_of_a_real_server_come_with_the_lease(waiting: Lab, tmp_path: Path) -> None:
    ways = f"203.0.113.0/25,{OTHER},10.99.0.0/16,{OTHER},192.0.2.0/25,{OTHER},0.0.0.0/0,{SERVER}"
    option = f"--dhcp-option=option:classless-static-route,{ways}"
    with dhcp_server.dnsmasq(waiting.peer, tmp_path, POOL, option):
        waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
        told = f"{WRITTEN},203.0.113.0/25={OTHER},10.99.0.0/16={OTHER}"
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == ["none", told], 8)


def test_a_lease_is_given_and_nothing_but_dhcp_leaves(waiting: Lab, tmp_path: Path) -> None:
    with dhcp_server.dnsmasq(waiting.peer, tmp_path, POOL):
        waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
        given = ["none", WRITTEN]
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == given, 8)
        assert dhcp_server.dhcp_messages(tmp_path) == ["DISCOVER", "OFFER", "REQUEST", "ACK"]
        asker = waiting.machine.do(dhcp_server.reading_process)
        status = waiting.machine.do(dhcp_server.process_status, asker)
        root = waiting.machine.run("readlink", f"/proc/{asker}/root").strip()
        waiting.machine.do(dhcp_server.stop_client)
    frames = leaves(waiting)
    assert len(frames) == 2
    assert all(is_dhcp(frame) for frame in frames)
    assert status["Uid"].split() == ["65533"] * 4
    assert root == "/run/empty"
    assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["Groups"]) == (0, "1", "")


def shots(hardware: str, destination: str) -> list[bytes]:
    """What everybody could try to an address, or to all, but for what a DHCP server says."""
    frames: list[Layer] = []
    for source in (SERVER, MGMT, STRANGER, "192.0.2.66"):
        ends = IP(src=source, dst=destination)
        for ports in ((67, 69), (53, 68), (67, 40000), (40000, 22), (68, 67), (53, 40000)):
            frames.append(ends / UDP(sport=ports[0], dport=ports[1]) / b"?")
        frames += [ends / TCP(sport=40000, dport=port, flags="S") for port in (22, 40000)]
        frames += [ends / ICMP(), ends / ICMP(type=13), ends / UDP(sport=67, dport=22) / b"?"]
    ask = ARP(op=1, psrc=SERVER, pdst=destination)
    probe = ARP(op=1, psrc="0.0.0.0", pdst=destination)
    return [bytes(Ether(src="02:00:00:00:00:09", dst=hardware) / f) for f in (*frames, ask, probe)]


def test_nobody_reaches_a_machine_that_waits_and_nothing_is_answered(waiting: Lab) -> None:
    for protocol, port in (*SERVED, ("udp", 68)):
        waiting.machine.do(in_namespace.serve, protocol, port)
    hardware = waiting.machine.do(in_namespace.mac)
    for destination in (OWN, "192.0.2.255", "255.255.255.255", "224.0.0.1"):
        waiting.peer.do(in_namespace.transmit, shots(hardware, destination))
        waiting.peer.do(in_namespace.transmit, shots(EVERYBODY, destination))
    answer = IP(src=SERVER, dst=OWN) / UDP(sport=67, dport=68) / b"?"
    waiting.peer.do(in_namespace.transmit, [bytes(Ether(dst=hardware) / answer)])
    assert leaves(waiting) == []
    heard = {
        what: waiting.machine.do(in_namespace.clients_of, *what) for what in (*SERVED, ("udp", 68))
    }
    assert not any(heard.values()), heard


@pytest.mark.parametrize(
    ("source", "destination"), [(SERVER, "255.255.255.255"), (STRANGER, "224.0.0.1")]
)
def test_a_server_is_heard_where_it_answers_everybody(
    waiting: Lab, source: str, destination: str
) -> None:
    """Also where it answers a group: of those, too, only the return path is asked."""
    waiting.machine.do(in_namespace.serve, "udp", 68)
    waiting.peer.do(in_namespace.send_to_all, (source, 67), (destination, 68))
    assert wait_until(lambda: waiting.machine.do(in_namespace.clients_of, "udp", 68) == [source], 2)


@pytest.mark.parametrize("device", [None, "eth0"])
@pytest.mark.parametrize("uid", [0, 1001])
def test_no_program_sends_anything_from_a_machine_that_waits(
    waiting: Lab, uid: int, device: str | None
) -> None:
    told = {
        (protocol, address, port): waiting.machine.do(
            in_namespace.send_probe, Probe(protocol, address, port, uid, device=device)
        )
        for protocol in ("tcp", "udp")
        for address in (SERVER, MGMT)
        for port in (22, 67, 443)
    }
    assert "answered" not in told.values()
    assert leaves(waiting) == []


def test_a_server_that_gives_what_another_interface_has_is_not_taken(
    waiting: Lab, tmp_path: Path
) -> None:
    with dhcp_server.dnsmasq(waiting.peer, tmp_path, POOL):
        taken = ((192 << 24 | 2 << 8, 25),)
        waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"), False, taken)
        assert wait_until(lambda: dhcp_server.dhcp_messages(tmp_path).count("OFFER") > 1, 12)
        waiting.machine.do(dhcp_server.stop_client)
    assert dhcp_server.recorded_leases(tmp_path) == ["none"]
    assert "REQUEST" not in dhcp_server.dhcp_messages(tmp_path)


def test_who_asks_is_started_again_and_goes_on_with_the_lease(waiting: Lab, tmp_path: Path) -> None:
    with dhcp_server.dnsmasq(waiting.peer, tmp_path, POOL):
        waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
        given = ["none", WRITTEN]
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == given, 8)
        first = waiting.machine.do(dhcp_server.reading_process)
        waiting.machine.run("kill", "-KILL", str(first))
        assert wait_until(
            lambda: waiting.machine.do(dhcp_server.reading_process) not in (0, first), 4
        )
        time.sleep(4)
        waiting.machine.do(dhcp_server.stop_client)
    assert dhcp_server.recorded_leases(tmp_path) == given
    assert dhcp_server.dhcp_messages(tmp_path) == ["DISCOVER", "OFFER", "REQUEST", "ACK"]


def test_with_a_lease_its_server_gives_more_time_from_address_to_address(
    holding: Lab, tmp_path: Path
) -> None:
    with dhcp_server.dnsmasq(holding.peer, tmp_path, POOL, "--dhcp-option=option:T1,5"):
        holding.peer.do(in_namespace.capture)
        holding.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"), True)
        assert wait_until(lambda: dhcp_server.dhcp_messages(tmp_path).count("ACK") == 2, 14)
        holding.machine.do(dhcp_server.stop_client)
    assert dhcp_server.dhcp_messages(tmp_path) == ["REQUEST", "ACK", "REQUEST", "ACK"]
    assert dhcp_server.recorded_leases(tmp_path) == [WRITTEN]
    frames = [frame for frame in leaves(holding) if UDP in frame]
    assert {(f[IP].src, f[IP].dst, f[UDP].sport, f[UDP].dport) for f in frames} == {
        (OWN, SERVER, 68, 67)
    }


def pull_cable(lab: Lab, seconds: float) -> None:
    """Take the peer's end down for a while: the machine's end has no carrier then."""
    lab.peer.run("ip", "link", "set", "eth0", "down")
    time.sleep(seconds)
    lab.peer.run("ip", "link", "set", "eth0", "up")


@pytest.mark.parametrize("seconds", [0, 1])
def test_when_the_cable_comes_back_the_lease_is_asked_for_anew(
    holding: Lab, tmp_path: Path, seconds: float
) -> None:
    with dhcp_server.dnsmasq(holding.peer, tmp_path, POOL):
        holding.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"), True)
        assert wait_until(lambda: dhcp_server.dhcp_messages(tmp_path) == ["REQUEST", "ACK"], 9)
        pull_cable(holding, seconds)
        again = ["REQUEST", "ACK"] * 2
        assert wait_until(lambda: dhcp_server.dhcp_messages(tmp_path) == again, 8)
        holding.machine.do(dhcp_server.stop_client)
    assert dhcp_server.recorded_leases(tmp_path) == [WRITTEN]


def test_when_the_cable_comes_back_elsewhere_the_lease_is_let_go(
    holding: Lab, tmp_path: Path
) -> None:
    """The server there is another one, with other addresses."""
    holding.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"), True)
    other = "--dhcp-range=192.0.2.90,192.0.2.99,2m"
    with dhcp_server.dnsmasq(holding.peer, tmp_path, other):
        assert wait_until(lambda: holding.machine.do(dhcp_server.reading_process) != 0, 4)
        pull_cable(holding, 0)
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path)[-1:] == ["none"], 3)
        holding.machine.do(dhcp_server.stop_client)
    assert dhcp_server.dhcp_messages(tmp_path)[:2] == ["REQUEST", "NAK"]


def test_with_a_lease_its_server_may_take_it_away(holding: Lab, tmp_path: Path) -> None:
    """The refusal comes to everybody (RFC 2131, section 4.3.2)."""
    other = "--dhcp-range=192.0.2.90,192.0.2.99,2m"
    with dhcp_server.dnsmasq(holding.peer, tmp_path, other):
        holding.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"), True)
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path)[-1:] == ["none"], 9)
        holding.machine.do(dhcp_server.stop_client)
    assert dhcp_server.recorded_leases(tmp_path) == [WRITTEN, "none"]
    assert dhcp_server.dhcp_messages(tmp_path)[:2] == ["REQUEST", "NAK"]


def test_with_a_lease_the_machine_does_what_the_policy_says(holding: Lab) -> None:
    for protocol, port in (("tcp", 22), ("udp", 68), ("tcp", 80)):
        holding.machine.do(in_namespace.serve, protocol, port)
    holding.peer.do(in_namespace.serve, "tcp", 443, (SERVER,))
    holding.peer.do(in_namespace.serve, "udp", 67, (SERVER, OTHER))
    reached = {
        (source, port): holding.peer.do(
            in_namespace.send_probe, Probe("tcp", OWN, port, source=(source, 0))
        )
        for source in (MGMT, STRANGER)
        for port in (22, 80)
    }
    assert reached.pop((MGMT, 22)) == "answered"
    assert set(reached.values()) == {"silence"}
    assert holding.peer.do(in_namespace.ping, OWN, MGMT)
    assert (
        holding.machine.do(in_namespace.send_probe, Probe("tcp", SERVER, 443, 1001)) == "answered"
    )
    assert holding.machine.do(in_namespace.send_probe, Probe("tcp", SERVER, 443, 1002)) == "EACCES"


def test_with_a_lease_only_its_server_is_spoken_to_by_dhcp(holding: Lab) -> None:
    holding.machine.do(in_namespace.serve, "udp", 68)
    hardware = holding.machine.do(in_namespace.mac)
    for server in (OTHER, SERVER):
        holding.peer.do(in_namespace.send_forged, hardware, (server, 67), (OWN, 68), "udp")
    assert wait_until(lambda: holding.machine.do(in_namespace.clients_of, "udp", 68) == [SERVER], 2)
    holding.peer.do(in_namespace.capture)
    for server in (OTHER, SERVER):
        for port, device in ((68, "eth0"), (69, None), (69, "eth0")):
            asked = Probe("udp", server, 67, source=("0.0.0.0", port), device=device)
            assert holding.machine.do(in_namespace.send_probe, asked) != "answered"
    frames = [frame for frame in leaves(holding) if UDP in frame]
    assert {(frame[IP].dst, frame[UDP].sport) for frame in frames} == {(SERVER, 68)}


def test_beside_another_interface_the_question_carries_its_address(tmp_path: Path) -> None:
    """inet_select_addr (net/ipv4/devinet.c) takes any device's where the right one has none; a
    server gives a lease all the same, and is answered by nothing else (docs/ways-out.md).
    """
    router = by_dhcp(read_policy(Path("examples/router.toml")))
    (lan,) = (i for i in router.interfaces if not i.dynamic_families)
    with Lab([f"{SERVER}/24"], []) as lab:
        lab.connect(lan.device, [], [])
        assert lab.machine.do(in_namespace.enforce, encode(compile_policy(router), "router")) == []
        lab.peer.do(in_namespace.capture)
        with dhcp_server.dnsmasq(lab.peer, tmp_path, POOL):
            lab.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
            given = ["none", WRITTEN]
            assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == given, 8)
            lab.machine.do(dhcp_server.stop_client)
        sent = {(frame[IP].src, frame[IP].dst, frame[UDP].dport) for frame in leaves(lab)}
    own = next(str(address.ip) for address in lan.addresses if address.version == 4)
    assert sent == {(own, "255.255.255.255", 67)}
