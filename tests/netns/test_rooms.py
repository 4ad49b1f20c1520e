"""Programs in the rooms of an appliance, and their peers on the wire, on this machine's kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from pbrinit.cli.build import loaded
from pbrinit.net.addresses import Family
from pbrinit.policy.room_addresses import room_address
from tests.support.host_example import BEHIND, LENGTH, ON_LINK, SELF
from tests.support.namespaces import in_namespace, room_netns
from tests.support.namespaces.lab import Lab, Namespace

POLICY, PLAN = loaded(Path("examples/rooms.toml"))
SLICES = {run.name: run.client_ports for run in POLICY.programs}
INSIDE = {
    (run.name, family.version): str(room_address(POLICY, run, family))
    for run in POLICY.rooms
    for family in Family
}
MGMT = {version: named["mgmt"] for version, named in BEHIND.items()}
STRANGER = {version: named["stranger"] for version, named in BEHIND.items()}
RESOLVER = {version: named["resolver"] for version, named in ON_LINK.items()}
NEIGHBOUR = {version: named["neighbour"] for version, named in ON_LINK.items()}
LISTENS = (("tcp", 22), ("udp", 53), ("tcp", 53), ("tcp", 443))
MARK = b"from a room"
versions = pytest.mark.parametrize("version", [4, 6])


@dataclass(frozen=True)
class Appliance:
    """The machine, its rooms by the names of their programs, and everybody else."""

    machine: Namespace
    rooms: dict[str, Namespace]
    peer: Namespace


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    """The plan in force; everybody listens on the same ports, on every address."""
    on_link = [f"{a}/{LENGTH[v]}" for v, named in ON_LINK.items() for a in named.values()]
    behind = [address for named in BEHIND.values() for address in named.values()]
    with Lab(on_link, behind) as lab, ExitStack() as stack:
        inside = room_netns.enforce(lab.machine, PLAN)
        for room in inside.values():
            stack.callback(room.close)
        slice_ports = [("udp", ports.first) for ports in SLICES.values()]
        slice_ports += [("tcp", ports.first) for ports in SLICES.values()]
        for side in (lab.machine, *inside.values()):
            for protocol, port in (*LISTENS, *slice_ports):
                side.do(in_namespace.serve, protocol, port)
        there = (*STRANGER.values(), *RESOLVER.values())
        for protocol, port in LISTENS:
            lab.peer.do(in_namespace.serve, protocol, port, there)
        yield Appliance(lab.machine, inside, lab.peer)


def ask(side: Namespace, protocol: str, there: str, port: int, source: str = "") -> str:
    bound = (source, 0) if source else None
    return side.do(in_namespace.send_probe, in_namespace.Probe(protocol, there, port, source=bound))


def heard(appliance: Appliance, protocol: str, port: int) -> dict[str, int]:
    """How many came to each who listens on a port."""
    sides = {"the machine": appliance.machine, **appliance.rooms}
    return {
        name: len(side.do(in_namespace.clients_of, protocol, port)) for name, side in sides.items()
    }


@versions
def test_ssh_gets_to_its_room_and_to_nobody_else(appliance: Appliance, version: int) -> None:
    before = heard(appliance, "tcp", 22)
    assert ask(appliance.peer, "tcp", SELF[version], 22, MGMT[version]) == "answered"
    after = heard(appliance, "tcp", 22)
    assert after == {**before, "sshd": before["sshd"] + 1}


@versions
def test_strangers_get_nowhere(appliance: Appliance, version: int) -> None:
    for protocol, port in LISTENS:
        assert ask(appliance.peer, protocol, SELF[version], port, STRANGER[version]) == "silence"


@versions
def test_each_room_asks_what_its_entries_say(appliance: Appliance, version: int) -> None:
    far, near = STRANGER[version], RESOLVER[version]
    told = {
        name: (
            ask(room, "tcp", far, 443),
            ask(room, "udp", near, 53),
            ask(room, "tcp", near, 53),
            ask(room, "udp", far, 53),
            ask(room, "tcp", far, 22),
        )
        for name, room in appliance.rooms.items()
    }
    yes, no = "answered", "silence"
    assert told == {
        "sshd": (no, no, no, no, no),
        "updater": (yes, no, no, no, no),
        "resolver": (no, yes, yes, no, no),
    }


@versions
def test_the_machine_itself_asks_nobody(appliance: Appliance, version: int) -> None:
    for protocol, port in (("tcp", 443), ("udp", 53)):
        assert ask(appliance.machine, protocol, RESOLVER[version], port) == "EACCES"


@versions
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_room_asks_another_only_as_between_says(
    appliance: Appliance, version: int, protocol: str
) -> None:
    asked = {
        (one, other): ask(room, protocol, INSIDE[other, version], 53)
        for one, room in appliance.rooms.items()
        for other in appliance.rooms
        if one != other
    }
    allowed = [ends for ends, told in asked.items() if told == "answered"]
    assert allowed == [("updater", "resolver")]
    assert {asked[ends] for ends in asked if ends not in allowed} == {"silence"}


@versions
def test_its_own_address_is_in_each_room_its_own(appliance: Appliance, version: int) -> None:
    before = heard(appliance, "tcp", 22)
    assert ask(appliance.rooms["updater"], "tcp", SELF[version], 22) == "answered"
    assert heard(appliance, "tcp", 22) == {**before, "updater": before["updater"] + 1}


@versions
@pytest.mark.parametrize("name", ["sshd", "updater", "resolver"])
def test_a_strangers_answer_gets_to_nobody_but_who_may_have_asked(
    appliance: Appliance, version: int, name: str
) -> None:
    """From port 443, with the form of an answer to the clients of each room in turn."""
    port = SLICES[name].first
    hardware = appliance.machine.do(in_namespace.mac)
    before = heard(appliance, "udp", port), heard(appliance, "tcp", port)
    source = NEIGHBOUR[version]
    told = appliance.peer.do(
        in_namespace.send_probe,
        in_namespace.Probe("tcp", SELF[version], port, source=(source, 443)),
    )
    appliance.peer.do(
        in_namespace.send_forged, hardware, (source, 443), (SELF[version], port), "udp"
    )
    appliance.peer.do(in_namespace.captured_frames)
    after = heard(appliance, "udp", port), heard(appliance, "tcp", port)
    reached = {"updater": before[1]["updater"] + 1} if name == "updater" else {}
    assert told == ("answered" if reached else "silence")
    assert after == (before[0], {**before[1], **reached})


def frames(mac: str, version: int) -> list[Layer]:
    """What root in the updater's room may try that its entries do not name."""
    own, far, near = SELF[version], STRANGER[version], NEIGHBOUR[version]
    resolver, inside = RESOLVER[version], INSIDE["resolver", version]
    client = SLICES["updater"].first
    header: type[Layer] = IP if version == Family.V4.version else IPv6

    def packet(source: str, destination: str, body: Layer) -> Layer:
        return Ether(src=mac, dst=mac) / header(src=source, dst=destination) / body / MARK

    web = TCP(sport=client, dport=443, flags="S")
    made = [
        packet(near, far, web),
        packet(MGMT[version], far, web),
        packet(INSIDE["updater", version], far, web),
        packet(INSIDE["sshd", version], inside, UDP(sport=client, dport=53)),
        packet(own, inside, UDP(sport=client, dport=53)),
        packet(own, far, TCP(sport=client - 1, dport=443, flags="S")),
        packet(own, far, TCP(sport=SLICES["resolver"].first, dport=443, flags="S")),
        packet(own, far, TCP(sport=22, dport=40000, flags="SA")),
        packet(own, far, TCP(sport=client, dport=444, flags="S")),
        packet(own, far, UDP(sport=client, dport=443)),
        packet(own, resolver, UDP(sport=client, dport=53)),
        packet(own, own, TCP(sport=client, dport=22, flags="S")),
        packet(own, own, UDP(sport=client, dport=53)),
        Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / Raw(MARK),
        Ether(src=mac, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(MARK),
        Ether(src=mac, dst=mac) / Dot1Q(vlan=7) / header(src=own, dst=far) / web / MARK,
    ]
    if version == Family.V4.version:
        shouts = ("255.255.255.255", "192.0.2.255", "224.0.0.1", "224.0.0.251", "239.1.2.3")
        made += [packet(own, shout, UDP(sport=client, dport=443)) for shout in shouts]
        made += [packet(far, shout, UDP(sport=443, dport=443)) for shout in shouts]
        made.append(packet(own, far, ICMP()))
        made.append(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc=own, pdst=near) / MARK)
        bootp = UDP(sport=68, dport=67) / BOOTP(chaddr=MARK)
        made.append(packet("0.0.0.0", "255.255.255.255", bootp))
        made.append(packet(own, far, IP(src=own, dst=far) / web))
    else:
        groups = ("ff02::1", "ff02::fb", "ff05::1", "ff02::1:ff00:2")
        made += [packet(own, group, UDP(sport=client, dport=443)) for group in groups]
        made += [packet("fe80::1", far, web), packet("::", far, web)]
        made.append(packet(own, far, ICMPv6EchoRequest()))
        made.append(packet(own, "fe80::2", UDP(sport=client, dport=443)))
        made.append(packet(own, far, IPv6(src=own, dst=far) / web))
    return made


@versions
def test_root_in_a_room_gets_nothing_else_out_of_it(appliance: Appliance, version: int) -> None:
    room = appliance.rooms["updater"]
    others = {name: side for name, side in appliance.rooms.items() if name != "updater"}
    for side in (appliance.peer, *others.values()):
        side.do(in_namespace.capture)
    mac = room.do(in_namespace.mac)
    allowed = Ether(src=mac, dst=mac) / (IP if version == Family.V4.version else IPv6)(
        src=SELF[version], dst=STRANGER[version]
    ) / TCP(sport=SLICES["updater"].last, dport=443, flags="S") / MARK  # fmt: skip
    room.do(in_namespace.transmit, [bytes(made) for made in (*frames(mac, version), allowed)])
    out = [Ether(data) for data in appliance.peer.do(in_namespace.captured_frames) if MARK in data]
    assert {(made[TCP].sport, made[TCP].dport) for made in out} == {(SLICES["updater"].last, 443)}
    for side in others.values():
        assert [data for data in side.do(in_namespace.captured_frames) if MARK in data] == []


def test_from_nobody_to_all_reaches_the_machine_itself_and_nothing_beyond(
    appliance: Appliance,
) -> None:
    """What no rule decides: docs/meaning.md, its last part."""
    room = appliance.rooms["updater"]
    mac = room.do(in_namespace.mac)
    before = heard(appliance, "udp", 53)
    shout = IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=53) / b"?"
    room.do(in_namespace.transmit, [bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / shout)])
    from_peer = IP(src=RESOLVER[4], dst="255.255.255.255") / UDP(sport=53, dport=53) / b"?"
    room.do(in_namespace.transmit, [bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / from_peer)])
    room.do(in_namespace.captured_frames)
    assert heard(appliance, "udp", 53) == {**before, "the machine": before["the machine"] + 1}


def test_each_room_takes_clients_ports_from_its_slice(appliance: Appliance) -> None:
    for name, room in appliance.rooms.items():
        told = room.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").split()
        assert (int(told[0]), int(told[1])) == (SLICES[name].first, SLICES[name].last)


def test_an_inside_address_is_the_first_free_one(appliance: Appliance) -> None:
    told = appliance.rooms["resolver"].run("ip", "-4", "address", "show", "dev", "eth0")
    assert ip_address(INSIDE["resolver", 4]) == ip_address("169.254.77.3")
    assert "169.254.77.3/32" in told
