"""The shipped image under the example policy, on a wire that sees every frame."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NS, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MAC, MAC
from tests.support.vm.booted import IN_FORCE, BootedGuest
from tests.support.vm.probe import Ping, Probe, Tcp, Udp, ip

versions = pytest.mark.parametrize("version", [4, 6])
UPDATER = "as updater"
REFUSED = "refused by the policy (EACCES)"


def test_nothing_leaves_before_the_rules_are_in_force(host: BootedGuest) -> None:
    in_force = host.guest.printed_at(IN_FORCE)
    asked = [frame for frame in host.wire.sent() if frame.at < in_force]
    assert len(asked) > 10, "the guest was not asked before its rules were in force"
    assert host.wire.frames(until=in_force) == []
    assert host.wire.frames(since=in_force) != []


def test_what_it_says_to_everybody_is_neighbour_discovery_and_arp(host: BootedGuest) -> None:
    """The kernel's own: who has an address, which groups it is in. No router is asked for."""
    for frame in host.wire.frames(until=host.guest.printed_at("ready")):
        packet = frame.packet
        to_everybody = bool(int(packet.dst[:2], 16) & 1)
        kinds = (ICMPv6ND_NS, ICMPv6MLReport2, ARP)
        assert not to_everybody or any(map(packet.haslayer, kinds)), packet.show2(True)


def _syn(source: str, own: str, port: int) -> Packet:
    return ip(source, own) / TCP(
        sport=port, dport=22, flags="S", seq=1, options=[("MSS", 1400)] * 4
    )


def _whole(source: str, own: str, port: int) -> list[Packet]:
    return [_syn(source, own, port)]


def _atomic(source: str, own: str, port: int) -> list[Packet]:
    """One fragment that is all of it (RFC 6946); IPv4 has no such thing, it is a whole packet."""
    whole = _syn(source, own, port)
    if ":" not in own:
        return [whole]
    return [ip(source, own) / IPv6ExtHdrFragment(id=7, nh=6) / _tcp_part(whole)]


def _tiny(source: str, own: str, port: int) -> list[Packet]:
    """A first fragment with the ports and a later one with the rest, eight bytes and up."""
    body = bytes(_tcp_part(_syn(source, own, port)))
    pieces = ((0, 1, body[:24]), (3, 0, body[24:]))
    if ":" not in own:
        return [
            IP(src=source, dst=own, proto=6, id=9, flags=more, frag=offset) / part
            for offset, more, part in pieces
        ]
    return [
        ip(source, own) / IPv6ExtHdrFragment(id=9, nh=6, offset=offset, m=more) / part
        for offset, more, part in pieces
    ]


def _tcp_part(packet: Packet) -> Packet:
    """The TCP part with its checksum made."""
    return Raw(bytes(type(packet)(bytes(packet)).payload))


@pytest.fixture(scope="class")
def listening(host: BootedGuest) -> Iterator[None]:
    """Programs listen on the allowed port and on others."""
    host.guest.send_line("listen tcp 22 80 udp 22 53")
    host.guest.expect(r"listening on")
    yield
    host.guest.press("\x03")
    host.guest.wait_for_prompt()


@pytest.mark.usefixtures("listening")
class TestListening:
    @versions
    def test_management_reaches_ssh_and_hears_its_banner(
        self, host: BootedGuest, version: int
    ) -> None:
        assert host.peer.tcp(MGMT[version], SELF[version], 22).verdict == "syn-ack"
        said = host.peer.tcp_talk(MGMT[version], SELF[version], 22)
        assert said == b"pbrinit hears you\n"
        host.guest.expect(rf"connection from {MGMT[version]} ")

    @versions
    def test_a_fragmented_question_is_silence(self, host: BootedGuest, version: int) -> None:
        """Fragments carry no ports where the rules look; in IPv6 not even a single one."""
        own, ports = SELF[version], iter((41001, 41002, 41003))
        before = time.monotonic()
        for pieces in (_whole, _atomic, _tiny):
            for piece in pieces(MGMT[version], own, next(ports)):
                host.wire.send(Ether(src=MAC, dst=GUEST_MAC) / piece)
        assert host.peer.probes([], marker=Tcp(MGMT[version], own, 22)) == []
        heard = [f.packet[TCP].dport for f in host.wire.frames(since=before) if TCP in f.packet]
        assert 41001 in heard, "the question that is not fragmented was not answered"
        assert not {41002, 41003} & set(heard) - ({41002} if version == 4 else set())

    @versions
    def test_all_else_is_silence(self, host: BootedGuest, version: int) -> None:
        """Every port from where it is not allowed, and other ports from where one is."""
        own = SELF[version]
        strangers = (STRANGER[version], NEIGHBOUR[version], ROUTER[version], RESOLVER[version])
        ports = (1, 21, 22, 23, 53, 80, 443, 8080, 40000)
        asked: list[Probe] = [Ping(who, own) for who in strangers]
        asked += [Tcp(who, own, port) for who in strangers for port in ports]
        asked += [Udp(who, own, port) for who in strangers for port in (22, 53, 123, 40000)]
        asked += [Tcp(MGMT[version], own, port) for port in ports if port != 22]
        asked += [Udp(MGMT[version], own, port) for port in (22, 53, 123, 40000)]
        asked += [Tcp(MGMT[version], own, 22, flags=flags) for flags in ("", "F", "FPU")]
        results = host.peer.probes(asked, marker=Tcp(MGMT[version], own, 22))
        heard = [result for result in results if result.verdict != "silence"]
        assert heard == []


@versions
def test_management_pings_and_nobody_else(host: BootedGuest, version: int) -> None:
    assert host.peer.ping(MGMT[version], SELF[version]).verdict == "reply"
    others = [Ping(who[version], SELF[version]) for who in (STRANGER, NEIGHBOUR, ROUTER)]
    marker = Ping(MGMT[version], SELF[version])
    assert [r.verdict for r in host.peer.probes(others, marker=marker)] == ["silence"] * 3


@versions
def test_the_updater_fetches_and_asks_names(host: BootedGuest, version: int) -> None:
    host.peer.serve_tcp(STRANGER[version], 443, b"hello from 443\n")
    host.peer.serve_udp(RESOLVER[version], 53, b"an answer")
    told = host.guest.run(f"probe tcp {STRANGER[version]} 443 {UPDATER}")
    assert told.startswith("connected, it says 'hello from 443'"), told
    told = host.guest.run(f"probe udp {RESOLVER[version]} 53 {UPDATER}")
    assert told.startswith("answered 'an answer'"), told


@versions
def test_other_output_is_refused_at_once_and_sends_nothing(host: BootedGuest, version: int) -> None:
    services = [host.peer.serve_tcp(STRANGER[version], port) for port in (80, 443, 22)] + [
        host.peer.serve_udp(STRANGER[version], 53),
        host.peer.serve_ping(ROUTER[version]),
    ]
    for line in (
        f"tcp {STRANGER[version]} 443",
        f"tcp {STRANGER[version]} 80 {UPDATER}",
        f"tcp {STRANGER[version]} 22",
        f"udp {STRANGER[version]} 53 {UPDATER}",
        f"udp {RESOLVER[version]} 53",
        f"ping {ROUTER[version]}",
        f"ping {MGMT[version]}",
    ):
        told = host.guest.run(f"probe {line}")
        assert told.startswith(REFUSED), f"{line}: {told}"
        assert int(told.split()[-2]) < 1000, f"{line}: not at once: {told}"
    assert [service.requests for service in services] == [[]] * len(services)


def test_arp_is_answered_to_the_link_and_to_nobody_else(host: BootedGuest) -> None:
    assert host.peer.arp(SELF[4], ROUTER[4]).mac == GUEST_MAC
    assert host.peer.arp(SELF[4], NEIGHBOUR[4]).mac == GUEST_MAC
    assert host.peer.arp(SELF[4], STRANGER[4], timeout=1).verdict == "silence"
    assert host.peer.arp("192.0.2.3", ROUTER[4], timeout=1).verdict == "silence"


def test_neighbour_solicitations_are_answered(host: BootedGuest) -> None:
    assert host.peer.neighbour(SELF[6], ROUTER[6]).mac == GUEST_MAC
    assert host.peer.neighbour("2001:db8::3", ROUTER[6], timeout=1).verdict == "silence"


def test_status_and_rules_say_that_all_is_as_planned(host: BootedGuest) -> None:
    status = host.guest.run("status")
    assert 'gate, policy "host"' in status
    assert "in force, as planned" in status
    assert "dropped on arrival: " in status
    assert " refused, IPv4" in status
    assert " not-delivered, IPv6" in status
    assert SELF[4] in status
    assert SELF[6] in status
    rules = host.guest.run("rules")
    assert rules.splitlines()[-1].endswith("rules, as planned")
    assert "ip -4 rule add pref 1 iif lo goto 100000" in rules


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "there is no command 'nonsense'; help lists them"),
        (
            "probe tcp 192.0.2.1",
            "probe tcp|udp ADDRESS PORT [as USER], probe ping ADDRESS [as USER]",
        ),
        ("probe tcp 192.0.2.1 80 as nobody", "the policy has no user 'nobody', only updater"),
        ("listen tcp 70000", "'70000' is neither tcp nor udp nor a port"),
        ("", ""),
    ],
)
def test_a_mistake_at_the_console_is_explained(host: BootedGuest, line: str, told: str) -> None:
    assert host.guest.run(line) == told


def test_nothing_came_from_a_source_that_is_not_ours(host: BootedGuest) -> None:
    """Looked at last, over everything that the tests before made it say."""
    link_local = "fe80::5054:ff:fe12:3456"
    for frame in host.wire.frames():
        packet = frame.packet
        assert packet.src == GUEST_MAC
        source = getattr(packet.payload, "src", None) or getattr(packet.payload, "psrc", None)
        assert source in (*SELF.values(), link_local, "::", "0.0.0.0"), packet.show2(True)
