"""Frames that root in a room may try, of every kind that can be thought of.

In: who is where, a hardware address.  Out: `Attempt`s, each a frame with a mark in it, and whether
it is one that the policy lets the room send.  Whose policy: the updater's of examples/rooms.toml.
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
class World:
    """Addresses of one version of IP: the machine's, of those that may be asked, of those whose a
    room might pretend to be, and of what is nobody's; the room's ports, and all hardware addresses.
    """

    version: int
    own: str
    reached: tuple[str, ...]
    inside: str
    others_inside: tuple[str, ...]
    odd: tuple[str, ...]
    first_port: int
    last_port: int
    mac: str
    foreign_macs: tuple[str, ...]

    @property
    def header(self) -> type[Layer]:
        """IP's."""
        return IP if self.version == 4 else IPv6


@dataclass(frozen=True)
class Attempt:
    """One frame; `allowed` says that the policy lets the room send what it carries."""

    what: str
    data: bytes
    allowed: bool = False


def attempts(world: World, first_number: int = 1) -> Iterator[Attempt]:
    """All of them, marked by their number from this one on."""
    numbers = itertools.count(first_number)
    for what, make, allowed in itertools.chain(
        _protocols(world), _ends(world), _hardware(world), _link(world), _tricks(world)
    ):
        yield Attempt(what, bytes(make / Raw(MARK % next(numbers))), allowed)


Made = Iterable[tuple[str, Layer, bool]]


def _packet(world: World, source: str, destination: str, **fields: Any) -> Layer:
    return Ether(src=world.mac, dst=world.mac) / world.header(src=source, dst=destination, **fields)


def _protocols(world: World) -> Made:
    """All 256 protocols, to one whom the room may ask."""
    field = "proto" if world.version == 4 else "nh"
    for number in range(256):
        packet = _packet(world, world.own, world.reached[0], **{field: number})
        yield f"protocol {number}", packet, False


def _ends(world: World) -> Made:
    """Every source to every destination, from several ports to several."""
    sources = (world.own, *world.reached, world.inside, *world.others_inside, *world.odd)
    destinations = (*world.reached, world.own, *world.others_inside, *world.odd)
    bodies = (
        (TCP(sport=world.last_port, dport=WEB, flags="S"), True),
        (TCP(sport=world.first_port - 1, dport=WEB, flags="S"), False),
        (TCP(sport=world.last_port + 1, dport=WEB, flags="S"), False),
        (TCP(sport=22, dport=40000, flags="SA"), False),
        (TCP(sport=WEB, dport=WEB, flags="R"), False),
        (TCP(sport=world.first_port, dport=22, flags="S"), False),
        (UDP(sport=world.first_port, dport=WEB), False),
        (UDP(sport=68, dport=67), False),
        (UDP(sport=5353, dport=5353), False),
        (ICMP() if world.version == 4 else ICMPv6EchoRequest(), False),
    )
    for source, destination in itertools.product(sources, destinations):
        for body, good in bodies:
            allowed = good and source == world.own and destination in world.reached
            what = f"{source} > {destination} {body.summary()}"
            yield what, _packet(world, source, destination) / body, allowed


def _hardware(world: World) -> Made:
    """What would be allowed, from and to other hardware addresses."""
    inner = world.header(src=world.own, dst=world.reached[0])
    inner = inner / TCP(sport=world.first_port, dport=WEB, flags="S")
    for mac in (*OTHER_MACS, *world.foreign_macs):
        yield f"to {mac}", Ether(src=world.mac, dst=mac) / inner, False
        yield f"from {mac}", Ether(src=mac, dst=BROADCAST) / inner, False
    for kind in ETHERTYPES:
        for mac in (world.mac, BROADCAST, *world.foreign_macs):
            yield f"type {kind:#x} to {mac}", Ether(src=world.mac, dst=mac, type=kind), False


def _link(world: World) -> Made:
    """What makes sense on a link only: VLAN tags, neighbours, 802.3."""
    inner = world.header(src=world.own, dst=world.reached[0])
    inner = inner / TCP(sport=world.first_port, dport=WEB, flags="S")
    own, other = world.own, world.reached[-1]
    for mac in (world.mac, BROADCAST, *world.foreign_macs):
        ether = Ether(src=world.mac, dst=mac)
        for vlan in (0, 1, 7, 4095):
            # Number 0 is none, a priority alone (IEEE 802.1Q): the same packet as without the tag.
            same = vlan == 0 and mac == world.mac
            yield f"VLAN {vlan} to {mac}", ether / Dot1Q(vlan=vlan) / inner, same
        yield "QinQ", ether / Dot1AD(vlan=7) / Dot1Q(vlan=8) / inner, False
        low = Dot3(src=world.mac, dst=mac) / LLC()
        yield "LLC", low, False
        yield "STP", low / STP(), False
        yield "SNAP", low / SNAP(), False
        if world.version == 4:
            for op, tells, asks in itertools.product((1, 2, 3, 4), (own, other), (own, other)):
                said = ARP(op=op, psrc=tells, pdst=asks, hwsrc=world.mac)
                yield f"ARP {op}: {tells} {asks}", ether / said, False
    if world.version == 6:
        yield from _neighbours(world)


def _neighbours(world: World) -> Made:
    own, other = world.own, world.reached[-1]
    known = ICMPv6NDOptSrcLLAddr(lladdr=world.mac)
    said = (
        ICMPv6ND_NA(tgt=own, R=0, S=0, O=1), ICMPv6ND_NA(tgt=other, R=1, S=1, O=1) / known,
        ICMPv6ND_NS(tgt=own), ICMPv6ND_NS(tgt=other) / known, ICMPv6ND_RS() / known,
        ICMPv6ND_RA(routerlifetime=9000) / ICMPv6NDOptPrefixInfo(prefix="2001:db8:9::") / known,
        ICMPv6ND_Redirect(tgt=own, dst=other), ICMPv6MLReport2(),
    )  # fmt: skip
    for message in said:
        for source in (own, other, "fe80::1", "fe80::2", "::"):
            for destination in (other, own, "ff02::1", "ff02::2", "ff02::1:ff00:2", "fe80::1"):
                packet = _packet(world, source, destination, hlim=255) / message
                yield f"{source} > {destination} {message.summary()}", packet, False


def _tricks(world: World) -> Made:
    """Packets in pieces, in others, with options, with few hops, or not what they say."""
    own, far, near = world.own, world.reached[0], world.reached[-1]
    web = TCP(sport=world.first_port, dport=WEB, flags="S")
    inner = world.header(src=own, dst=far) / web
    within = (
        ("4 in it", IP(src="192.0.2.9", dst="203.0.113.7") / web),
        ("6 in it", IPv6(src="2001:db8::9", dst="2001:db8:7::7") / web),
        ("GRE", GRE() / inner),
        ("GRE of Ethernet", GRE(proto=0x6558) / Ether(src=world.mac, dst=BROADCAST) / inner),
    )
    for source, destination in itertools.product((own, near), (far, own)):
        for what, layer in within:
            packet = _packet(world, source, destination) / layer
            yield f"{what}: {source} > {destination}", packet, False
    if world.version == 4:
        yield from _tricks_of_4(world, web)
        yield "4 as 6", Ether(src=world.mac, dst=world.mac, type=0x86DD) / inner, False
    else:
        yield from _tricks_of_6(world, web)
        yield "6 as 4", Ether(src=world.mac, dst=world.mac, type=0x0800) / inner, False


def _tricks_of_4(world: World, web: Layer) -> Made:
    own, far, near = world.own, world.reached[0], world.reached[-1]
    for offset, flags in itertools.product((0, 1, 5, 185), ("", "MF", "DF", "evil")):
        if offset or flags == "MF":
            piece = _packet(world, own, far, frag=offset, flags=flags)
            yield f"piece {offset} {flags}", piece / web, False
    for option in (IPOption_LSRR(routers=["192.0.2.1"]), IPOption_RR(routers=["0.0.0.0"])):
        for source, destination in ((near, far), (own, own), (near, own)):
            packet = _packet(world, source, destination, options=[option]) / web
            yield f"{option.name}: {source} > {destination}", packet, False
    yield (
        "source route",
        _packet(world, own, far, options=[IPOption_LSRR(routers=[near])]) / web,
        False,
    )
    for hops in (0, 1):
        yield f"ttl {hops}", _packet(world, own, far, ttl=hops) / web, False
    yield "bad checksum", _packet(world, own, far, chksum=1) / web, False
    bootp = UDP(sport=68, dport=67) / BOOTP()
    yield "DHCP", _packet(world, "0.0.0.0", "255.255.255.255") / bootp, False


def _tricks_of_6(world: World, web: Layer) -> Made:
    own, far, near = world.own, world.reached[0], world.reached[-1]
    for offset, more in itertools.product((0, 1, 5), (0, 1)):
        if offset or more:
            piece = IPv6ExtHdrFragment(offset=offset, m=more, id=7)
            yield f"piece {offset} {more}", _packet(world, own, far) / piece / web, False
    route = IPv6ExtHdrRouting(type=0, addresses=[far])
    for header in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), route):
        for source, destination in ((near, far), (own, own), (near, own)):
            packet = _packet(world, source, destination) / header / web
            yield f"{header.name}: {source} > {destination}", packet, False
    for hops in (0, 1):
        yield f"hop limit {hops}", _packet(world, own, far, hlim=hops) / web, False
