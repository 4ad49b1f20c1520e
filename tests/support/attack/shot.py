"""Shots: frames that are sent to the guest, and their expected outcome.

In: nothing (values only).  Out: `Shot`, one a line in tests/adversary/tables, and short functions
that build packets.  Each packet carries a number of its own, its tag, in its payload (TCP: in the
sequence number). By the tag it is recognised in the guest and on the wire.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6Unknown, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

MAGIC = b"\x5a\xa5"
_TAG = re.compile(re.escape(MAGIC) + b"(..)", re.DOTALL)
_numbers = itertools.cycle(range(2, 2**16, 2))
"""Even ones: the reset that answers a SYN-ACK carries the next. They come again after 32,767."""


@dataclass(frozen=True)
class Shot:
    """Frames that are sent one after the other, and their expected outcome.

    `arrives`: the packet is delivered to a protocol of the guest.  `answer`: the replies to the
    peer, as `observation.reply_words` writes them, or nothing.  `passes`: the packet is forwarded
    by the other card.  `limited`: the kernel does not send the answer each time (icmp_ratelimit).
    `kind` is the kind under which docs/security.md counts it.
    """

    kind: str
    what: str
    frames: tuple[bytes, ...]
    arrives: bool = False
    answer: str = ""
    passes: bool = False
    nic: int = 0
    limited: bool = False

    @property
    def tags(self) -> frozenset[int]:
        """The numbers that its packets carry."""
        return tags(b"".join(self.frames))


def tags(data: bytes) -> frozenset[int]:
    """The numbers of the packets in a frame."""
    return frozenset(int.from_bytes(match[1], "big") for match in _TAG.finditer(data))


def tag() -> bytes:
    """A new number, as it stands in a packet."""
    return MAGIC + next(_numbers).to_bytes(2, "big")


def ip(source: str, destination: str, **fields: Any) -> Packet:
    """An IP header of the family of its destination."""
    header: Any = IPv6 if ":" in destination else IP
    packet: Packet = header(src=source, dst=destination, **fields)
    return packet


def tcp(sport: int, dport: int, flags: str = "S") -> Packet:
    """A TCP segment."""
    return TCP(sport=sport, dport=dport, flags=flags, seq=int.from_bytes(tag(), "big"))


def udp(sport: int, dport: int) -> Packet:
    """A UDP datagram."""
    return UDP(sport=sport, dport=dport) / Raw(tag() * 2)


def echo(version: int) -> Packet:
    """An echo request."""
    number = tag()
    first, second = int.from_bytes(number[:2], "big"), int.from_bytes(number[2:], "big")
    header = ICMP if version == 4 else ICMPv6EchoRequest
    return header(id=first, seq=second)


def icmp(source: str, destination: str, kind: int, code: int, body: bytes = b"") -> Packet:
    """A packet with any ICMP or ICMPv6 message; its tag is the second word, before the body."""
    if ":" in destination:
        message = ICMPv6Unknown(type=kind, code=code, msgbody=tag() + (body or bytes(24)))
        return IPv6(src=source, dst=destination, hlim=255) / message
    data = bytes([kind, code, 0, 0]) + tag() + (body or bytes(24))
    checked = data[:2] + checksum(data).to_bytes(2, "big") + data[4:]
    return IP(src=source, dst=destination, proto=1) / Raw(checked)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(source: str, destination: str) -> Packet:
    """An Ethernet header."""
    return Ether(src=source, dst=destination)
