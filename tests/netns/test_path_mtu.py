"""A path of 1,300 bytes, two hops away: what a room's TCP makes of it, and who hears of it.

Between the machine's router and the next one the link is narrow. What is too big for it is dropped
there, and the router says so to the machine's address, which is each room's as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer

from pbrinit.cli.build import loaded
from tests.support.host_example import BEHIND, SELF
from tests.support.namespaces import in_namespace, room_netns, tcp_bulk
from tests.support.namespaces.lab import Lab, Namespace

POLICY, PLAN = loaded(Path("examples/rooms.toml"))
CLIENTS = next(run.client_ports for run in POLICY.programs if run.name == "updater")
NARROW = 1300
FRAGMENTATION_NEEDED = (3, 4)
BYTES = 1_000_000
ROUTER = {4: "192.0.2.1", 6: "2001:db8::1"}
LINKS = {4: ("10.9.1", "/24", "10.9.2"), 6: ("fd00:9:1:", "/64", "fd00:9:2:")}
FAR = {version: named["stranger"] for version, named in BEHIND.items()}
STRANGER = {4: "203.0.113.99", 6: "2001:db8:7::99"}
ADMIN = {version: named["mgmt"] for version, named in BEHIND.items()}
versions = pytest.mark.parametrize("version", [4, 6])


@dataclass(frozen=True)
class Path1300:
    """The machine, its rooms, the router that has the narrow link, and who is behind it."""

    machine: Namespace
    rooms: dict[str, Namespace]
    router: Namespace
    far: Namespace


@pytest.fixture(scope="module")
def path() -> Iterator[Path1300]:
    """The plan in force; router, narrow link, another router, and those who are far away."""
    with Lab((f"{ROUTER[4]}/24", f"{ROUTER[6]}/64"), ()) as lab, ExitStack() as stack:
        inside = room_netns.enforce(lab.machine, PLAN)
        second, far = Namespace(), Namespace()
        for namespace in (*inside.values(), second, far):
            stack.callback(namespace.close)
        _join(lab.peer, second, ("east", "west"), "1", NARROW)
        _join(second, far, ("east", "eth0"), "2", 1500)
        for router in (lab.peer, second):
            router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for version, (one, _, two) in LINKS.items():
            family = f"-{version}"
            for there in (FAR[version], ADMIN[version]):
                host = f"{there}/{32 if version == 4 else 128}"
                far.run("ip", "address", "add", host, "dev", "lo")
                lab.peer.run("ip", family, "route", "add", host, "via", _end(one, 2))
                second.run("ip", family, "route", "add", host, "via", _end(two, 2))
            far.run("ip", family, "route", "add", "default", "via", _end(two, 1))
            second.run("ip", family, "route", "add", "default", "via", _end(one, 1))
        yield Path1300(lab.machine, inside, lab.peer, far)


def _end(prefix: str, number: int) -> str:
    return f"{prefix}{':' if ':' in prefix else '.'}{number}"


def _join(one: Namespace, other: Namespace, names: tuple[str, str], link: str, mtu: int) -> None:
    other.do(len, ())
    one.run("ip", "link", "add", names[0], "mtu", str(mtu), "type", "veth", "peer",
            "name", names[1], "mtu", str(mtu), "netns", str(other.pid))  # fmt: skip
    for number, side, device in ((1, one, names[0]), (2, other, names[1])):
        side.run("ip", "link", "set", "lo", "up")
        side.run("ip", "link", "set", device, "up")
        for prefix, length, _ in LINKS.values():
            own = _end(prefix.replace("9.1", f"9.{link}").replace("9:1", f"9:{link}"), number)
            nodad = ("nodad",) if ":" in own else ()
            side.run("ip", "address", "add", own + length, "dev", device, *nodad)


def too_big(frames: list[bytes]) -> int:
    """How many of these are errors about a packet that was too big."""
    packets = [Ether(data) for data in frames]
    return sum(
        ICMPv6PacketTooBig in packet
        or (ICMP in packet and (packet[ICMP].type, packet[ICMP].code) == FRAGMENTATION_NEEDED)
        for packet in packets
    )


def everywhere(path: Path1300) -> dict[str, Namespace]:
    """The machine and its rooms."""
    return {"the machine": path.machine, **path.rooms}


def forgotten(path: Path1300) -> None:
    """Nobody knows yet how narrow the path is."""
    for side in (*everywhere(path).values(), path.far):
        for family in ("-4", "-6"):
            side.run("ip", family, "route", "flush", "cache")
        side.run("ip", "tcp_metrics", "flush")


@dataclass(frozen=True)
class Moved:
    """What came of an upload: the bytes that arrived by version, and by namespace how many errors
    were on its wire, and by version how many it was handed.
    """

    arrived: list[int]
    seen: dict[str, int]
    handed: dict[str, dict[int, int]]


def upload(path: Path1300, *versions: int) -> Moved:
    """The updater sends a megabyte in each version, with everybody watched."""
    sides = everywhere(path)
    before = {name: side.do(tcp_bulk.icmp_error_counts) for name, side in sides.items()}
    for side in sides.values():
        side.do(in_namespace.capture)
    path.far.do(tcp_bulk.serve, tuple(FAR.values()), 443, BYTES)
    calls = [((FAR[version], 443), "") for version in versions]
    arrived = path.rooms["updater"].do(tcp_bulk.transfer, calls, "upload", BYTES)
    seen = {name: too_big(side.do(in_namespace.captured_frames)) for name, side in sides.items()}
    after = {name: side.do(tcp_bulk.icmp_error_counts) for name, side in sides.items()}
    handed = {
        name: {version: after[name][version] - before[name][version] for version in versions}
        for name in sides
    }
    return Moved(arrived, seen, handed)


@pytest.fixture(scope="module")
def moved(path: Path1300) -> Moved:
    """An upload in both versions at once, when nobody knows the path."""
    forgotten(path)
    return upload(path, 4, 6)


def test_a_room_that_asks_sends_a_megabyte(moved: Moved) -> None:
    assert moved.arrived == [BYTES, BYTES]


def test_the_routers_errors_are_on_the_machines_wire_and_on_no_rooms(moved: Moved) -> None:
    assert moved.seen.pop("the machine") >= len(FAR)
    assert moved.seen == dict.fromkeys(("sshd", "updater", "resolver"), 0)


def test_the_machine_hears_of_them_in_ipv6_alone_and_no_room_does(moved: Moved) -> None:
    of_machine = moved.handed.pop("the machine")
    assert of_machine[4] == 0
    assert of_machine[6] >= 1
    assert moved.handed == {name: {4: 0, 6: 0} for name in ("sshd", "updater", "resolver")}


def test_a_room_that_asks_gets_a_megabyte(path: Path1300) -> None:
    forgotten(path)
    path.far.do(tcp_bulk.serve, tuple(FAR.values()), 443, BYTES)
    calls = [((there, 443), "") for there in FAR.values()]
    assert path.rooms["updater"].do(tcp_bulk.transfer, calls, "download", BYTES) == [BYTES, BYTES]


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_a_room_that_is_asked_moves_a_megabyte(path: Path1300, direction: str) -> None:
    forgotten(path)
    path.rooms["sshd"].do(tcp_bulk.serve, tuple(SELF.values()), 22, BYTES)
    calls = [((SELF[version], 22), ADMIN[version]) for version in (4, 6)]
    assert path.far.do(tcp_bulk.transfer, calls, direction, BYTES) == [BYTES, BYTES]


def forged(path: Path1300, version: int) -> list[bytes]:
    """A stranger's word that what the updater has sent, or an echo request that nobody has, was
    too big: for 552 bytes in IPv4 (ip_rt_min_pmtu), for 1,280 in IPv6.
    """
    four = version == 4
    header: type[Layer] = IP if four else IPv6
    error: Layer = ICMP(type=3, code=4, nexthopmtu=552) if four else ICMPv6PacketTooBig(mtu=1280)
    frame = Ether(src=path.router.do(in_namespace.mac), dst=path.machine.do(in_namespace.mac))
    frame = frame / header(src=STRANGER[version], dst=SELF[version]) / error
    asked = header(src=SELF[version], dst=FAR[version])
    bodies = (TCP(sport=CLIENTS.first, dport=443), ICMP() if four else ICMPv6EchoRequest())
    return [bytes(frame / asked / body) for body in bodies]


def test_a_forged_error_is_heard_no_further_and_stops_nothing(path: Path1300) -> None:
    forgotten(path)
    sides = everywhere(path)
    before = {name: side.do(tcp_bulk.icmp_error_counts) for name, side in sides.items()}
    for version in (4, 6):
        path.router.do(in_namespace.transmit, forged(path, version))
    path.router.do(in_namespace.captured_frames)
    after = {name: side.do(tcp_bulk.icmp_error_counts) for name, side in sides.items()}
    machine = before.pop("the machine")
    assert after.pop("the machine") == {4: machine[4], 6: machine[6] + 2}
    assert after == before
    assert upload(path, 6).arrived == [BYTES]
