"""Packets as frames, each with a mark by which it is recognised.

In: a `Packet` and its number.  Out: an Ethernet frame.
"""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from pbrinit.net.addresses import Family
from pbrinit.net.packet import Fragment, Packet
from pbrinit.net.services import Protocol

TCP_, UDP_ = Protocol.TCP, Protocol.UDP
MARK = b"marked %05d"
PEER = "02:00:00:00:00:09"
"""The hardware address of every peer, on both sides."""

TOO_MUCH = 1380
"""The bytes added to a packet that is too big for a path MTU of 1,400 bytes."""

PIECES = {Fragment.WHOLE: (0, 0), Fragment.FIRST: (0, 1), Fragment.LATER: (5, 0)}


def frame(packet: Packet, number: int, hardware: str) -> bytes:
    """The packet as a frame, marked with its number."""
    four = packet.family is Family.V4
    mark = MARK % number
    body: Layer = Raw(bytes(8) + mark)
    if packet.protocol == TCP_:
        body = TCP(sport=packet.source_port, dport=packet.destination_port, flags="S") / mark
    elif packet.protocol == UDP_:
        body = UDP(sport=packet.source_port, dport=packet.destination_port) / mark
    elif packet.icmp is not None:
        kind, code = packet.icmp
        header: type[Layer] = ICMP if four else ICMPv6Unknown
        body = header(type=kind, code=code) / (bytes(4) + mark)
    if packet.too_big:
        body = body / bytes(TOO_MUCH)
    offset, more = PIECES[packet.fragment]
    source, destination = str(packet.source), str(packet.destination)
    network: Layer
    if four:
        flags = "DF" if packet.too_big else "MF" if more else 0
        network = IP(src=source, dst=destination, proto=packet.protocol, ttl=packet.ttl,
                     flags=flags, frag=offset)  # fmt: skip
    elif packet.fragment is Fragment.WHOLE:
        network = IPv6(src=source, dst=destination, nh=packet.protocol, hlim=packet.ttl)
    else:
        piece = IPv6ExtHdrFragment(nh=packet.protocol, offset=offset, m=more, id=number)
        network = IPv6(src=source, dst=destination, hlim=packet.ttl) / piece
    return bytes(Ether(src=PEER, dst=hardware) / network / body)


def mark_of(data: bytes) -> int | None:
    """The number of the packet in the received data, if any."""
    at = data.find(MARK[:7])
    return int(data[at + 7 : at + 12]) if at >= 0 else None
