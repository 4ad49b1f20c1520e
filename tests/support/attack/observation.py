"""What came of a shot, and what a frame says in a word or two.

In: frames of the guest, what its taps were handed.  Out: `Seen`, words.
"""

from __future__ import annotations

from dataclasses import dataclass

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS
from scapy.layers.l2 import ARP
from scapy.packet import Packet

from tests.support.attack.shot import Shot, tags
from tests.support.vm.probe import answer
from tests.support.vm.wire import Frame

EXTENSIONS = (0, 43, 44, 60)
"""IPv6 headers that a raw socket sees as protocols; what they carry may still be dropped."""


@dataclass(frozen=True)
class Seen:
    """What came of a shot. `frames`: what the guest sent, by any of its cards."""

    shot: Shot
    arrived: tuple[tuple[int, int], ...]
    frames: tuple[tuple[int, Frame], ...]

    @property
    def answer(self) -> str:
        """What came back by the card of the shot, and was not passed on to it."""
        back = (told(frame.packet) for nic, frame in self.frames if nic == self.shot.nic)
        return " ".join(dict.fromkeys(back))

    @property
    def passed(self) -> bool:
        """Whether it left by another card."""
        return any(nic != self.shot.nic and self.shot.tags & tags(frame.data)
                   for nic, frame in self.frames)  # fmt: skip

    @property
    def stray(self) -> tuple[str, ...]:
        """What left by another card and is not the packet of the shot."""
        return tuple(
            told(frame.packet)
            for nic, frame in self.frames
            if nic != self.shot.nic and not self.shot.tags & tags(frame.data)
        )

    @property
    def handed_on(self) -> bool:
        """Whether a protocol was handed what the packet carries."""
        return any(version == 4 or number not in EXTENSIONS for version, number in self.arrived)

    @property
    def good(self) -> bool:
        """Whether all is as the shot says."""
        return (
            self.handed_on == self.shot.arrives
            and self.answer in (self.shot.answer, *([""] if self.shot.limited else []))
            and self.passed == self.shot.passes
            and not self.stray
        )


def told(packet: Packet) -> str:
    """What a frame says to a shot, in a word or two."""
    said = answer(packet)
    if said is None:
        return words(packet)
    # With ECN a SYN-ACK has one flag more (RFC 3168 6.1.1).
    return "syn-ack" if said.verdict == "tcp SAE" else said.verdict


def words(packet: Packet) -> str:
    """Whose frame it is and what it asks."""
    body = packet.payload
    inner = body.payload
    found = packet.summary()
    if isinstance(body, ARP):
        found = f"arp who-has {body.pdst}" if body.op == 1 else "arp reply"
    elif isinstance(inner, ICMP):
        found = f"icmp {inner.type}/{inner.code}"
    elif isinstance(inner, ICMPv6ND_NS):
        found = f"who-has {inner.tgt}"
    elif isinstance(inner, ICMPv6ND_NA):
        found = f"neighbour {inner.tgt}"
    elif isinstance(inner, TCP | UDP):
        kind = "tcp" if isinstance(inner, TCP) else "udp"
        found = f"{kind} {body.src}:{inner.sport} > {body.dst}:{inner.dport}"
    elif isinstance(body, IP):
        found = f"protocol {body.proto} {body.src} > {body.dst}"
    return found
