"""Frames of every kind that root in a room may try to send.

In: the addresses that a room knows of.  Out: `Attempt`s, each a marked frame, and whether the
policy lets the room send it.  The policy is examples/rooms.toml, the room that of `updater`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, GRE, LLC, SNAP, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from tests.support.namespaces.marked_frames import MARK

WEB = 443
BROADCAST = "ff:ff:ff:ff:ff:ff"
OTHER_MACS = (
    BROADCAST, "01:00:5e:00:00:01", "01:00:5e:7f:ff:fa", "33:33:00:00:00:01", "33:33:ff:00:00:02",
    *(f"01:80:c2:00:00:{last:02x}" for last in range(16)), "00:00:00:00:00:00",
    "02:de:ad:be:ef:01",
)  # fmt: skip
ETHERTYPES = (*range(0x0600, 0x0900, 7), 0x0806, 0x8035, *range(0x8000, 0x9200, 61), 0xFFFF,
              0x0800, 0x86DD, 0x8847, 0x8848, 0x8863, 0x8864, 0x888E, 0x88CC, 0x88E5)  # fmt: skip


@dataclass(frozen=True)
class RoomAddresses:
    """Addresses of one version of IP, the room's client ports, and hardware addresses.

    `own` is the machine's address, `reachable` are the hosts to which the policy lets the room
    send, `inside` is the room's own inside address, `other_rooms` those of the others, and
    `unusual` are addresses that no host has.
    """

    version: int
    own: str
    reachable: tuple[str, ...]
    inside: str
    other_rooms: tuple[str, ...]
    unusual: tuple[str, ...]
    first_port: int
    last_port: int
    mac: str
    foreign_macs: tuple[str, ...]

    @property
    def header(self) -> type[Layer]:
        """The IP header's class."""
        return IP if self.version == 4 else IPv6


@dataclass(frozen=True)
class Attempt:
    """One frame; `allowed` says that the policy lets the room send what it carries."""

    what: str
    data: bytes
    allowed: bool = False


def attempts(room: RoomAddresses, first_number: int = 1) -> Iterator[Attempt]:
    """All of them, marked by their number from this one on."""
    numbers = itertools.count(first_number)
    for what, make, allowed in itertools.chain(
        _protocols(room), _ends(room), _hardware(room), _link(room), _tricks(room)
    ):
        yield Attempt(what, bytes(make / Raw(MARK % next(numbers))), allowed)


Candidates = Iterable[tuple[str, Layer, bool]]


def _packet(room: RoomAddresses, source: str, destination: str, **fields: Any) -> Layer:
    return Ether(src=room.mac, dst=room.mac) / room.header(src=source, dst=destination, **fields)


def _protocols(room: RoomAddresses) -> Candidates:
    """All 256 protocols, to a host that the room may reach."""
    field = "proto" if room.version == 4 else "nh"
    for number in range(256):
        packet = _packet(room, room.own, room.reachable[0], **{field: number})
        yield f"protocol {number}", packet, False


def _ends(room: RoomAddresses) -> Candidates:
    """Every source to every destination, from several ports to several."""
    sources = (room.own, *room.reachable, room.inside, *room.other_rooms, *room.unusual)
    destinations = (*room.reachable, room.own, *room.other_rooms, *room.unusual)
    bodies = (
        (TCP(sport=room.last_port, dport=WEB, flags="S"), True),
        (TCP(sport=room.first_port - 1, dport=WEB, flags="S"), False),
        (TCP(sport=room.last_port + 1, dport=WEB, flags="S"), False),
        (TCP(sport=22, dport=40000, flags="SA"), False),
        (TCP(sport=WEB, dport=WEB, flags="R"), False),
        (TCP(sport=room.first_port, dport=22, flags="S"), False),
        (UDP(sport=room.first_port, dport=WEB), False),
        (UDP(sport=68, dport=67), False),
        (UDP(sport=5353, dport=5353), False),
        (ICMP() if room.version == 4 else ICMPv6EchoRequest(), False),
    )
    for source, destination in itertools.product(sources, destinations):
        for body, good in bodies:
            allowed = good and source == room.own and destination in room.reachable
            what = f"{source} > {destination} {body.summary()}"
            yield what, _packet(room, source, destination) / body, allowed


def _hardware(room: RoomAddresses) -> Candidates:
    """An allowed packet, from and to other hardware addresses."""
    inner = room.header(src=room.own, dst=room.reachable[0])
    inner = inner / TCP(sport=room.first_port, dport=WEB, flags="S")
    for mac in (*OTHER_MACS, *room.foreign_macs):
        yield f"to {mac}", Ether(src=room.mac, dst=mac) / inner, False
        yield f"from {mac}", Ether(src=mac, dst=BROADCAST) / inner, False
    for kind in ETHERTYPES:
        for mac in (room.mac, BROADCAST, *room.foreign_macs):
            yield f"type {kind:#x} to {mac}", Ether(src=room.mac, dst=mac, type=kind), False


def _link(room: RoomAddresses) -> Candidates:
    """Frames that have a meaning on a link only: VLAN tags, ARP and neighbour discovery, 802.3."""
    inner = room.header(src=room.own, dst=room.reachable[0])
    inner = inner / TCP(sport=room.first_port, dport=WEB, flags="S")
    own, other = room.own, room.reachable[-1]
    for mac in (room.mac, BROADCAST, *room.foreign_macs):
        ether = Ether(src=room.mac, dst=mac)
        for vlan in (0, 1, 7, 4095):
            # Number 0 is none, a priority alone (IEEE 802.1Q): the same packet as without the tag.
            same = vlan == 0 and mac == room.mac
            yield f"VLAN {vlan} to {mac}", ether / Dot1Q(vlan=vlan) / inner, same
        yield "QinQ", ether / Dot1AD(vlan=7) / Dot1Q(vlan=8) / inner, False
        low = Dot3(src=room.mac, dst=mac) / LLC()
        yield "LLC", low, False
        yield "STP", low / STP(), False
        yield "SNAP", low / SNAP(), False
        if room.version == 4:
            for op, sender, target in itertools.product((1, 2, 3, 4), (own, other), (own, other)):
                message = ARP(op=op, psrc=sender, pdst=target, hwsrc=room.mac)
                yield f"ARP {op}: {sender} {target}", ether / message, False
    if room.version == 6:
        yield from _neighbours(room)


def _neighbours(room: RoomAddresses) -> Candidates:
    own, other = room.own, room.reachable[-1]
    option = ICMPv6NDOptSrcLLAddr(lladdr=room.mac)
    messages = (
        ICMPv6ND_NA(tgt=own, R=0, S=0, O=1), ICMPv6ND_NA(tgt=other, R=1, S=1, O=1) / option,
        ICMPv6ND_NS(tgt=own), ICMPv6ND_NS(tgt=other) / option, ICMPv6ND_RS() / option,
        ICMPv6ND_RA(routerlifetime=9000) / ICMPv6NDOptPrefixInfo(prefix="2001:db8:9::") / option,
        ICMPv6ND_Redirect(tgt=own, dst=other), ICMPv6MLReport2(),
    )  # fmt: skip
    for message in messages:
        for source in (own, other, "fe80::1", "fe80::2", "::"):
            for destination in (other, own, "ff02::1", "ff02::2", "ff02::1:ff00:2", "fe80::1"):
                packet = _packet(room, source, destination, hlim=255) / message
                yield f"{source} > {destination} {message.summary()}", packet, False


def _tricks(room: RoomAddresses) -> Candidates:
    """Fragments, tunnels, options, small hop limits, wrong versions and checksums."""
    own, far, near = room.own, room.reachable[0], room.reachable[-1]
    web = TCP(sport=room.first_port, dport=WEB, flags="S")
    inner = room.header(src=own, dst=far) / web
    payloads = (
        ("4 in it", IP(src="192.0.2.9", dst="203.0.113.7") / web),
        ("6 in it", IPv6(src="2001:db8::9", dst="2001:db8:7::7") / web),
        ("GRE", GRE() / inner),
        ("GRE of Ethernet", GRE(proto=0x6558) / Ether(src=room.mac, dst=BROADCAST) / inner),
    )
    for source, destination in itertools.product((own, near), (far, own)):
        for what, layer in payloads:
            packet = _packet(room, source, destination) / layer
            yield f"{what}: {source} > {destination}", packet, False
    if room.version == 4:
        yield from _tricks_of_4(room, web)
        yield "4 as 6", Ether(src=room.mac, dst=room.mac, type=0x86DD) / inner, False
    else:
        yield from _tricks_of_6(room, web)
        yield "6 as 4", Ether(src=room.mac, dst=room.mac, type=0x0800) / inner, False


def _tricks_of_4(room: RoomAddresses, web: Layer) -> Candidates:
    own, far, near = room.own, room.reachable[0], room.reachable[-1]
    for offset, flags in itertools.product((0, 1, 5, 185), ("", "MF", "DF", "evil")):
        if offset or flags == "MF":
            piece = _packet(room, own, far, frag=offset, flags=flags)
            yield f"piece {offset} {flags}", piece / web, False
    for option in (IPOption_LSRR(routers=["192.0.2.1"]), IPOption_RR(routers=["0.0.0.0"])):
        for source, destination in ((near, far), (own, own), (near, own)):
            packet = _packet(room, source, destination, options=[option]) / web
            yield f"{option.name}: {source} > {destination}", packet, False
    yield (
        "source route",
        _packet(room, own, far, options=[IPOption_LSRR(routers=[near])]) / web,
        False,
    )
    for hops in (0, 1):
        yield f"ttl {hops}", _packet(room, own, far, ttl=hops) / web, False
    yield "bad checksum", _packet(room, own, far, chksum=1) / web, False
    bootp = UDP(sport=68, dport=67) / BOOTP()
    yield "DHCP", _packet(room, "0.0.0.0", "255.255.255.255") / bootp, False


def _tricks_of_6(room: RoomAddresses, web: Layer) -> Candidates:
    own, far, near = room.own, room.reachable[0], room.reachable[-1]
    for offset, more in itertools.product((0, 1, 5), (0, 1)):
        if offset or more:
            piece = IPv6ExtHdrFragment(offset=offset, m=more, id=7)
            yield f"piece {offset} {more}", _packet(room, own, far) / piece / web, False
    route = IPv6ExtHdrRouting(type=0, addresses=[far])
    for header in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), route):
        for source, destination in ((near, far), (own, own), (near, own)):
            packet = _packet(room, source, destination) / header / web
            yield f"{header.name}: {source} > {destination}", packet, False
    for hops in (0, 1):
        yield f"hop limit {hops}", _packet(room, own, far, hlim=hops) / web, False
