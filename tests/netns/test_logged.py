"""Who is refused for a logged deny entry is written down, and nobody else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from pbrinit.boot.observe import reject_log
from tests.support.namespaces import in_namespace, run_reject_log
from tests.support.namespaces.lab import Namespace
from tests.support.namespaces.two_sided import (
    ADMIN,
    CLOCK,
    ELSEWHERE,
    SELF_OUTER,
    SERVER,
    TwoSided,
    two_sided,
)

versions = pytest.mark.parametrize("version", [4, 6])
MANY = "".join(f"198.18.{n}.0/25\n2001:db8:18:{n:x}::/64\n" for n in range(1, 41))
"""More than are written as rules, so that in IPv4 the return path decides of them."""

POLICY = """
hostname = "listener"
[interface.wan]
device  = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device  = "eth1"
address = ["10.0.0.1/16", "fd00:10::1/64"]
[network]
bad   = ["203.0.113.0/24", "2001:db8:7::/48"]
quiet = ["198.51.100.128/25", "2001:db8:5:8000::/49"]
many  = { file = "many.txt" }
[service]
ssh  = "tcp/22"
web  = "tcp/80"
icmp = "icmp"
gre  = "ip/47"
smtp = "tcp/25"
[[input]]
service = ["ssh", "icmp"]
[[output]]
service = "icmp"
[[forward]]
in      = "wan"
out     = "lan"
service = ["ssh", "web", "smtp"]
[[deny]]
from = "bad"
log  = true
[[deny]]
from = ["quiet", "many"]
[[deny]]
on      = "wan"
service = ["gre", "smtp"]
log     = true
"""
QUIET = {4: "198.51.100.129", 6: "2001:db8:5:8000::9"}
LISTED = {4: "198.18.7.7", 6: "2001:db8:18:7::7"}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSided]:
    """The policy in force, with its logger."""
    with listening(tmp_path_factory.mktemp("logged"), POLICY) as sides:
        yield sides


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSided]:
    """The same, where all that is refused is logged."""
    with listening(tmp_path_factory.mktemp("whole"), f"log = true\n{POLICY}") as sides:
        yield sides


@contextmanager
def listening(folder: Path, policy: str) -> Iterator[TwoSided]:
    path = folder / "listener.toml"
    path.write_text(policy)
    path.with_name("many.txt").write_text(MANY)
    with two_sided(path) as sides:
        sides.machine.do(run_reject_log.start)
        for version, inner in ((4, "10.0.0.0/16"), (6, "fd00:10::/64")):
            way = ("via", SELF_OUTER[version])
            sides.outside.run("ip", f"-{version}", "route", "add", inner, *way)
            assert asks(sides, version) == ["answered"] * 2, "neighbours know each other now"
        yield sides
        sides.machine.do(run_reject_log.stop)


@pytest.fixture(autouse=True)
def rested() -> None:
    """The kernel speaks of a sender once a second, six times at once: let it have its breath."""
    time.sleep(1.1)


def asks(sides: TwoSided, version: int) -> list[str]:
    """What comes of ssh to the machine, and through it."""
    ends = ((ADMIN, SELF_OUTER), (CLOCK, SERVER))
    probes = (in_namespace.Probe("tcp", there[version], 22, source=(own[version], 0))
                 for own, there in ends)  # fmt: skip
    return [sides.outside.do(in_namespace.send_probe, probe) for probe in probes]


def knock(sides: TwoSided, *packets: Packet) -> None:
    ends: dict[str, Any] = {
        "src": sides.outside.do(in_namespace.mac),
        "dst": sides.machine.do(in_namespace.mac),
    }
    sides.outside.do(in_namespace.transmit, [bytes(Ether(**ends) / packet) for packet in packets])


def told_of(machine: Namespace, before: tuple[int, int, list[str]]) -> list[str]:
    return run_reject_log.new_entries(machine.do(run_reject_log.entries), before)


def packet(source: str, destination: str, rest: Packet) -> Packet:
    header = IPv6 if ":" in source else IP
    return header(src=source, dst=destination) / rest


def syn(source: str, destination: str, port: int, own: int = 40000) -> Packet:
    return packet(source, destination, TCP(sport=own, dport=port, flags="S"))


def line(source: str, destination: str, port: int, protocol: str = "tcp") -> str:
    where = "[{}]:{}" if ":" in source else "{}:{}"
    return f"{protocol} {where.format(source, 40000)} > {where.format(destination, port)}"


@versions
def test_who_is_denied_is_named_whatever_he_asks_for(sides: TwoSided, version: int) -> None:
    """What entries allow others, what they allow nobody, and what would pass through."""
    before = sides.machine.do(run_reject_log.entries)
    bad, own, server = ELSEWHERE[version], SELF_OUTER[version], SERVER[version]
    knock(sides, syn(bad, own, 22), syn(bad, server, 80))
    knock(sides, packet(bad, own, UDP(sport=40000, dport=53) / b"?"))
    assert told_of(sides.machine, before) == [
        line(bad, own, 22), line(bad, server, 80), line(bad, own, 53, "udp"),
    ]  # fmt: skip


@versions
def test_another_deny_and_what_nobody_allows_are_not_named(sides: TwoSided, version: int) -> None:
    before = sides.machine.do(run_reject_log.entries)
    own, server = SELF_OUTER[version], SERVER[version]
    for source in (QUIET[version], LISTED[version], ADMIN[version]):
        knock(sides, syn(source, own, 23), syn(source, server, 23))
    for source in (QUIET[version], LISTED[version]):
        knock(sides, syn(source, own, 22), syn(source, server, 80))
    assert told_of(sides.machine, before) == []
    assert sides.machine.do(run_reject_log.entries)[0] == before[0]


@versions
def test_who_is_let_in_is_not_named(sides: TwoSided, version: int) -> None:
    before = sides.machine.do(run_reject_log.entries)
    assert asks(sides, version) == ["answered"] * 2
    assert told_of(sides.machine, before) == []


@versions
def test_a_service_is_named_from_whoever_asks_for_it(sides: TwoSided, version: int) -> None:
    """A protocol that no port tells apart, and what others may not ask through here."""
    before = sides.machine.do(run_reject_log.entries)
    source, own, server = ADMIN[version], SELF_OUTER[version], SERVER[version]
    header: dict[str, Any] = {"proto": 47} if version == 4 else {"nh": 47}
    kind = IP if version == 4 else IPv6
    knock(sides, kind(src=source, dst=own, **header) / Raw(b"\0\0\x08\0" + b"x" * 20))
    knock(sides, syn(source, server, 25), syn(source, own, 25))
    assert told_of(sides.machine, before) == [
        f"ip/47 {source} > {own}", line(source, server, 25), line(source, own, 25),
    ]  # fmt: skip


@versions
def test_nothing_of_it_is_on_the_wire(sides: TwoSided, version: int) -> None:
    """Although root here may send all of ICMP to everybody."""
    sides.outside.do(in_namespace.capture)
    before = sides.machine.do(run_reject_log.entries)
    network = "203.0.113.{}" if version == 4 else "2001:db8:7::{:x}"
    for number in range(20, 40):
        source = network.format(number)
        target = SELF_OUTER[version] if number % 2 else SERVER[version]
        knock(sides, syn(source, target, 22), packet(source, target, UDP(dport=9) / (b"x" * 900)))
    assert sides.machine.do(run_reject_log.entries)[0] - before[0] >= 20
    assert said_to(sides.outside, sides.machine.do(in_namespace.mac)) == []


def said_to(peer: Namespace, by: str) -> list[str]:
    """What the machine said there, neighbour discovery left out."""
    machine = bytes.fromhex(by.replace(":", ""))
    frames = [
        Ether(frame) for frame in peer.do(in_namespace.captured_frames) if frame[6:12] == machine
    ]
    spoken = [f for f in frames if f.haslayer(IP) or (f.haslayer(IPv6) and f[IPv6].nh != 58)]
    errors = [f for f in frames if f.haslayer(IPv6) and f[IPv6].nh == 58
              and bytes(f[IPv6].payload)[0] < 128]  # fmt: skip
    return [frame.summary() for frame in (*spoken, *errors)]


@versions
def test_who_claims_to_be_us_is_not_spoken_of(sides: TwoSided, version: int) -> None:
    before = sides.machine.do(run_reject_log.entries)
    knock(sides, syn(SELF_OUTER[version], SERVER[version], 25))
    assert told_of(sides.machine, before) == []


@versions
def test_a_flood_is_a_line_a_second(sides: TwoSided, version: int) -> None:
    before, lines = (
        sides.machine.do(run_reject_log.entries),
        len(sides.machine.do(run_reject_log.console_lines)),
    )
    seconds = 3.0
    sent = sides.outside.do(run_reject_log.flood, SELF_OUTER[version], ELSEWHERE[version], seconds)
    assert sent > 3000
    after = sides.machine.do(run_reject_log.entries)
    most = 60 if version == 4 else 50 + 1000 * (seconds + 1)
    assert 1 <= after[0] - before[0] <= most
    assert (
        len(sides.machine.do(run_reject_log.console_lines)) - lines
        <= reject_log.LINES_AT_ONCE + seconds + 2
    )
    assert asks(sides, version) == ["answered"] * 2


@versions
def test_where_all_is_logged_who_is_forged_is_named(whole: TwoSided, version: int) -> None:
    """Those inside, outside; and nobody is told, there or here."""
    whole.outside.do(in_namespace.capture)
    whole.inside.do(in_namespace.capture)
    before = whole.machine.do(run_reject_log.entries)
    own, server = SELF_OUTER[version], SERVER[version]
    inner = server.removesuffix("7") + "99"
    knock(whole, syn(inner, own, 22), syn(inner, server, 80))
    assert told_of(whole.machine, before) == [line(inner, own, 22), line(inner, server, 80)]
    devices = ((whole.outside, "eth0"), (whole.inside, "eth1"))
    for peer, device in devices:
        assert said_to(peer, whole.machine.do(in_namespace.mac, device)) == []


@versions
def test_by_an_entry_alone_who_is_forged_is_not_spoken_of(sides: TwoSided, version: int) -> None:
    before = sides.machine.do(run_reject_log.entries)
    inner = SERVER[version].removesuffix("7") + "99"
    knock(sides, syn(inner, SERVER[version], 25), syn(inner, SELF_OUTER[version], 25))
    assert told_of(sides.machine, before) == []
