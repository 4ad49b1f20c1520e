"""Probes to a guest, and what a frame of the guest answers.

In: a probe, or a frame.  Out: the probe's frame; the answer, with the key of its probe.  Only
values: nothing is sent here. Addresses are text; they decide the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP_REPLY = 2
TCP_VERDICTS = {"SA": "syn-ack", "R": "rst", "RA": "rst"}
ICMPV6 = 58
ICMPV6_FIRST_INFORMATIONAL = 128  # RFC 4443 2.1: below it are errors
ICMP_ERRORS = (3, 4, 5, 11, 12)  # RFC 1122 3.2.2, redirect among them

# The kind of probe, address and port of its source, address and port of its destination.
Key: TypeAlias = tuple[str, str, int, str, int]


@dataclass(frozen=True)
class Tcp:
    """One TCP segment, a SYN unless `flags` (scapy's letters) say otherwise."""

    src: str
    dst: str
    dport: int
    sport: int | None = None
    flags: str = "S"

    def frame(self, mac: str, guest_mac: str, number: int) -> Packet:
        tcp = TCP(sport=self.sport or number, dport=self.dport, flags=self.flags, seq=1)
        return Ether(src=mac, dst=guest_mac) / ip(self.src, self.dst) / tcp

    def key(self, number: int) -> Key:
        return ("tcp", canonical(self.src), self.sport or number, canonical(self.dst), self.dport)


@dataclass(frozen=True)
class Udp:
    """One datagram."""

    src: str
    dst: str
    dport: int
    payload: bytes = b"probe"
    sport: int | None = None

    def frame(self, mac: str, guest_mac: str, number: int) -> Packet:
        udp = UDP(sport=self.sport or number, dport=self.dport) / self.payload
        return Ether(src=mac, dst=guest_mac) / ip(self.src, self.dst) / udp

    def key(self, number: int) -> Key:
        return ("udp", canonical(self.src), self.sport or number, canonical(self.dst), self.dport)


@dataclass(frozen=True)
class Ping:
    """One echo request."""

    src: str
    dst: str

    def frame(self, mac: str, guest_mac: str, number: int) -> Packet:
        header = ip(self.src, self.dst)
        four = isinstance(header, IP)
        echo = ICMP(id=number, seq=1) if four else ICMPv6EchoRequest(id=number, seq=1)
        return Ether(src=mac, dst=guest_mac) / header / echo

    def key(self, number: int) -> Key:
        return ("ping", canonical(self.src), number, canonical(self.dst), number)


@dataclass(frozen=True)
class Arp:
    """An ARP request; from 0.0.0.0 it is an address probe (RFC 5227)."""

    who_has: str
    tell: str
    unicast: bool = False

    def frame(self, mac: str, guest_mac: str, number: int) -> Packet:  # noqa: ARG002
        ether = Ether(src=mac, dst=guest_mac if self.unicast else BROADCAST)
        return ether / ARP(op="who-has", hwsrc=mac, psrc=self.tell, pdst=self.who_has)

    def key(self, number: int) -> Key:  # noqa: ARG002
        return ("arp", self.tell, 0, self.who_has, 0)


@dataclass(frozen=True)
class Neighbour:
    """A neighbour solicitation; from :: it is an address probe (RFC 4861 7.2, RFC 4862 5.4)."""

    target: str
    src: str
    unicast: bool = False

    def frame(self, mac: str, guest_mac: str, number: int) -> Packet:  # noqa: ARG002
        low = IPv6Address(self.target).packed[-3:]
        group = str(IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:-3] + low))
        group_mac = "33:33:ff:" + low.hex(":")
        ether = Ether(src=mac, dst=guest_mac if self.unicast else group_mac)
        header = IPv6(src=self.src, dst=self.target if self.unicast else group, hlim=255)
        solicitation = ether / header / ICMPv6ND_NS(tgt=self.target)
        return solicitation if self.src == "::" else solicitation / ICMPv6NDOptSrcLLAddr(lladdr=mac)

    def key(self, number: int) -> Key:  # noqa: ARG002
        return ("neighbour", canonical(self.src), 0, canonical(self.target), 0)


Probe: TypeAlias = Tcp | Udp | Ping | Arp | Neighbour


@dataclass(frozen=True)
class Answer:
    """The answer in a frame: `verdict` as in `Result`, `mac` for ARP and neighbour discovery."""

    key: Key
    verdict: str
    payload: bytes = b""
    mac: str | None = None


def answer(packet: Packet) -> Answer | None:
    """The answer in a frame of the guest, if it is one."""
    body = packet.payload
    if isinstance(body, ARP) and body.op == ARP_REPLY:
        return Answer(("arp", body.pdst, 0, body.psrc, 0), "answer", mac=body.hwsrc)
    if isinstance(body.payload, ICMPv6ND_NA):
        # The answer to a solicitation from :: is sent to all nodes.
        source = "::" if body.dst == "ff02::1" else canonical(body.dst)
        option = packet.getlayer(ICMPv6NDOptDstLLAddr)
        mac = packet.src if option is None else option.lladdr
        return Answer(("neighbour", source, 0, canonical(body.payload.tgt), 0), "answer", mac=mac)
    if isinstance(body, IP | IPv6):
        return _refusal(body) if is_error(body) else _reply(body)
    return None


def _refusal(packet: Packet) -> Answer | None:
    error = packet.payload
    # The quoted packet is the probe: its ends are the key as they stand.
    key = ends(error.payload) if isinstance(error.payload, IP | IPv6) else None
    return None if key is None else Answer(key, f"icmp {error.type}/{error.code}")


def _reply(packet: Packet) -> Answer | None:
    key_ends = ends(packet)
    if key_ends is None:
        return None
    kind, address, port, other, other_port = key_ends
    key = (kind, other, other_port, address, port)
    body = packet.payload
    if isinstance(body, TCP):
        verdict = TCP_VERDICTS.get(str(body.flags), f"tcp {body.flags}")
        return Answer(key, verdict, bytes(body.payload))
    if isinstance(body, UDP):
        return Answer(key, "answer", bytes(body.payload))
    echoed = isinstance(body, ICMPv6EchoReply) or (isinstance(body, ICMP) and body.type == 0)
    return Answer(key, "reply") if echoed else None


def is_error(packet: Packet) -> bool:
    """Is an IP packet an ICMP error, which quotes another packet?"""
    inner = packet.payload
    if isinstance(packet, IPv6):
        # By its first byte: scapy has no class for unknown types, which a router forwards.
        kind = bytes(inner)[:1]
        return packet.nh == ICMPV6 and b"" < kind < bytes([ICMPV6_FIRST_INFORMATIONAL])
    return isinstance(inner, ICMP) and inner.type in ICMP_ERRORS


def ends(packet: Packet) -> Key | None:
    """Kind, source and destination of an IP packet; an echo's identifier stands for the ports."""
    inner = packet.payload
    if isinstance(inner, TCP | UDP):
        kind, sport, dport = inner.name[:3].lower(), inner.sport, inner.dport
    elif isinstance(inner, ICMPv6EchoRequest | ICMPv6EchoReply) or (
        isinstance(inner, ICMP) and inner.type in (0, 8)
    ):
        kind, sport, dport = "ping", inner.id, inner.id
    else:
        return None
    return (kind, canonical(packet.src), sport, canonical(packet.dst), dport)


def ip(src: str, dst: str) -> Packet:
    """An IP header of the family of its addresses."""
    return IPv6(src=src, dst=dst) if ":" in dst else IP(src=src, dst=dst)


def canonical(address: str) -> str:
    """An address in its canonical form, so that two texts of it compare equal."""
    return str(ip_address(address))
