"""What a neighbour on the link tries to change, and what is left of the machine after a flood."""

from __future__ import annotations

import time

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP
from scapy.packet import Packet

from tests.support.attack.observation import reply_words
from tests.support.attack.range import AttackRange
from tests.support.attack.shot import Shot, echo, ether, ip, tcp, udp
from tests.support.host_example import MGMT, NEIGHBOUR, ROUTER, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS

OTHER_MAC = "52:54:00:66:66:66"
ROUTES = ("/proc/net/route", "/proc/net/ipv6_route", "/proc/net/if_inet6", "/proc/net/fib_trie")
FLOOD = 20000
EVERY = 500
SPARE_KIB = 3000
LOCKED_SECONDS = 1.2
"""An entry that was just changed is kept for a second (locktime, arp(7))."""
FREED_SECONDS = 30.0


def _lies() -> list[tuple[str, Packet]]:
    """What would move a route, an address or a setting, if anybody listened."""
    prefix = ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::", prefixlen=64, L=1, A=1)
    advert = ICMPv6ND_RA(routerlifetime=1800, prf=1, chlim=3)
    quoted = ip(SELF[4], STRANGER[4]) / tcp(40000, 443)
    quoted_six = bytes(ip(SELF[6], STRANGER[6]) / tcp(40000, 443))
    found: list[tuple[str, Packet]] = [
        (
            "a router advertisement",
            IPv6(src=source, dst=to, hlim=255)
            / advert
            / ICMPv6NDOptSrcLLAddr(lladdr=OTHER_MAC)
            / prefix
            / ICMPv6NDOptMTU(mtu=1280),
        )
        for source in ("fe80::1", ROUTER[6])
        for to in (SELF[6], "ff02::1", "fe80::5054:ff:fe12:3456")
    ]
    redirect = ICMPv6ND_Redirect(tgt="fe80::66", dst=STRANGER[6])
    found += [
        ("an IPv6 redirect", IPv6(src=source, dst=SELF[6], hlim=255) / redirect / quoted_six)
        for source in ("fe80::1", ROUTER[6])
    ]
    found += [
        ("a redirect", ip(ROUTER[4], SELF[4]) / ICMP(type=5, code=code, gw=NEIGHBOUR[4]) / quoted)
        for code in (0, 1, 2, 3)
    ]  # fmt: skip
    found += [
        ("an advertisement of our own address",
         IPv6(src=source, dst=to, hlim=255) / ICMPv6ND_NA(tgt=SELF[6], R=0, S=0, O=1)
         / ICMPv6NDOptDstLLAddr(lladdr=OTHER_MAC))
        for source in (NEIGHBOUR[6], "fe80::66") for to in (SELF[6], "ff02::1")
    ]  # fmt: skip
    return found


def _arps() -> list[tuple[str, Packet]]:
    """ARP that tells what nobody asked for."""
    claims = (SELF[4], STRANGER[4], "0.0.0.0", "127.0.0.1", "192.0.2.99")
    return [
        (f"ARP {op}, {address} is at another's",
         ARP(op=op, hwsrc=OTHER_MAC, psrc=address, pdst=asked))
        for op in (1, 2) for address in claims for asked in (address, "192.0.2.99")
    ]  # fmt: skip


def _state(attack_range: AttackRange) -> dict[str, list[list[str]]]:
    """What is in the files, but for IPv6's counts of references and of use."""
    found = {}
    for path in ROUTES:
        rows = [line.split() for line in attack_range.agent.do("read", path).splitlines()]
        found[path] = [[*row[:6], *row[8:]] if "ipv6_route" in path else row for row in rows]
    return found


def test_nobody_on_the_link_changes_a_route_or_an_address(gate: AttackRange) -> None:
    mac, everybody = GUEST_MACS[0], "ff:ff:ff:ff:ff:ff"
    before = _state(gate)
    shots = [
        Shot("link", what, (bytes(ether(OTHER_MAC, to) / packet),))
        for what, packet in [*_lies(), *_arps()]
        for to in ((mac, everybody) if ARP in packet else (mac,))
    ]
    seen = gate.fire(shots)
    assert [(s.shot.what, s.answer) for s in seen if s.answer] == []
    assert _state(gate) == before
    assert "as planned" in gate.guest.run("status")


def _claims(version: int, mac: str) -> dict[str, bytes]:
    """Frames by which somebody has the gateway's address at his hardware address."""
    gateway, own, everybody = ROUTER[version], SELF[version], "ff:ff:ff:ff:ff:ff"
    if version == 4:
        bodies: dict[str, tuple[str, Packet]] = {
            "unasked, to everybody": (
                everybody,
                ARP(op=2, hwsrc=mac, psrc=gateway, hwdst=everybody, pdst=gateway),
            ),
            "an answer": (GUEST_MACS[0], ARP(op=2, hwsrc=mac, psrc=gateway, pdst=own)),
            "a question": (GUEST_MACS[0], ARP(op=1, hwsrc=mac, psrc=gateway, pdst=own)),
        }
    else:
        head = IPv6(src=gateway, dst=own, hlim=255)
        at = ICMPv6NDOptDstLLAddr(lladdr=mac)
        asked = ICMPv6ND_NS(tgt=own) / ICMPv6NDOptSrcLLAddr(lladdr=mac)
        bodies = {
            "unasked, to everybody": (GUEST_MACS[0], head / ICMPv6ND_NA(tgt=gateway, S=0) / at),
            "an answer": (GUEST_MACS[0], head / ICMPv6ND_NA(tgt=gateway, S=1) / at),
            "a question": (GUEST_MACS[0], head / asked),
        }
    return {how: bytes(ether(mac, to) / body) for how, (to, body) in bodies.items()}


BELIEVED = {"unasked, to everybody": False, "an answer": True, "a question": True}
"""What nobody asked for is dropped (drop_gratuitous_arp, drop_unsolicited_na)."""


@pytest.mark.parametrize("how", BELIEVED)
@pytest.mark.parametrize("version", [4, 6])
def test_who_claims_the_address_of_the_gateway_gets_what_is_for_it_and_no_more(
    gate: AttackRange, version: int, how: str
) -> None:
    """A way out that is left, docs/ways-out.md, 11: a neighbour's answers and questions are
    believed (arp_process, ndisc_recv_na, ndisc_recv_ns). What he gets the policy lets out anyhow.
    """
    time.sleep(LOCKED_SECONDS)
    try:
        gate.wires[0].send(_claims(version, OTHER_MAC)[how])
        assert _answered_to(gate, version) == (OTHER_MAC if BELIEVED[how] else PEER_MACS[0])
        ssh = ip(STRANGER[version], SELF[version]) / tcp(40000, 22)
        [refused] = gate.fire(
            [Shot("link", "ssh", (bytes(ether(OTHER_MAC, GUEST_MACS[0]) / ssh),))]
        )
        assert refused.as_expected
    finally:
        time.sleep(LOCKED_SECONDS)
        gate.wires[0].send(_claims(version, PEER_MACS[0])["a question"])
    assert _answered_to(gate, version) == PEER_MACS[0]


def _answered_to(attack_range: AttackRange, version: int) -> str:
    """The hardware address to which the answer to a ping from beyond the gateway goes."""
    ping = bytes(ether(PEER_MACS[0], GUEST_MACS[0]) / ip(MGMT[version], SELF[version])
                 / echo(version))  # fmt: skip
    [seen] = attack_range.fire([Shot("link", "a ping", (ping,), True, "reply")])
    assert seen.as_expected, seen.answer
    [mac] = {frame.packet.dst for _, frame in seen.frames if reply_words(frame.packet) == "reply"}
    return str(mac)


def test_during_a_flood_who_is_allowed_is_answered_and_afterwards_memory_is_back(
    gate: AttackRange,
) -> None:
    """As fast as the guest takes it: refused, forged, in fragments, and half-open calls."""
    peer, mac = PEER_MACS[0], GUEST_MACS[0]
    kinds = [
        bytes(ether(peer, mac) / packet)
        for version in (4, 6)
        for packet in (
            ip(STRANGER[version], SELF[version]) / tcp(40000, 22),
            ip(STRANGER[version], SELF[version]) / udp(40000, 53),
            ip(SELF[version], SELF[version]) / tcp(443, 40000),
            ip(STRANGER[version], SELF[version]) / tcp(443, 40000),
            ip(MGMT[version], SELF[version]) / tcp(40000, 22),
        )
    ]
    fragment = [
        bytes(ether(peer, mac) / ip(MGMT[4], SELF[4], proto=1, id=n, flags=1) / bytes(1400))
        for n in range(500)
    ]  # fmt: skip
    before = _available(gate)
    for number in range(FLOOD):
        gate.wires[0].send(kinds[number % len(kinds)])
        if number < len(fragment):
            gate.wires[0].send(fragment[number])
        if number % EVERY == 0:
            gate.wait_for_marker()
    give_up = time.monotonic() + FREED_SECONDS + 30
    while _available(gate) < before - SPARE_KIB and time.monotonic() < give_up:
        time.sleep(1)
    assert _available(gate) >= before - SPARE_KIB
    assert gate.peers[0].tcp(MGMT[4], SELF[4], 22).verdict == "syn-ack"
    assert gate.peers[0].tcp(MGMT[6], SELF[6], 22).verdict == "syn-ack"


def _available(attack_range: AttackRange) -> int:
    """Kibibytes that the guest can still give, once the taps are empty."""
    attack_range.agent.do("tapped_tags")
    text = attack_range.agent.do("read", "/proc/meminfo")
    return int(text.partition("MemAvailable:")[2].split()[0])
