"""The outcome of a shot, and frames described in a word or two.

In: frames that the guest sent, what its taps received.  Out: `Observation`, words.
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
"""IPv6 headers that a raw socket receives as protocols; their payload may still be dropped."""


@dataclass(frozen=True)
class Observation:
    """The outcome of a shot. `frames` is what the guest sent, by any of its cards."""

    shot: Shot
    arrived: tuple[tuple[int, int], ...]
    frames: tuple[tuple[int, Frame], ...]

    @property
    def answer(self) -> str:
        """The replies on the card of the shot."""
        back = (reply_words(frame.packet) for nic, frame in self.frames if nic == self.shot.nic)
        return " ".join(dict.fromkeys(back))

    @property
    def forwarded(self) -> bool:
        """Whether its packet was sent by another card."""
        return any(nic != self.shot.nic and self.shot.tags & tags(frame.data)
                   for nic, frame in self.frames)  # fmt: skip

    @property
    def stray(self) -> tuple[str, ...]:
        """Frames that another card sent and that are not the packet of the shot."""
        return tuple(
            reply_words(frame.packet)
            for nic, frame in self.frames
            if nic != self.shot.nic and not self.shot.tags & tags(frame.data)
        )

    @property
    def delivered(self) -> bool:
        """Whether the packet was delivered to a protocol."""
        return any(version == 4 or number not in EXTENSIONS for version, number in self.arrived)

    @property
    def as_expected(self) -> bool:
        """Whether the outcome is what the shot expects."""
        return (
            self.delivered == self.shot.arrives
            and self.answer in (self.shot.answer, *([""] if self.shot.limited else []))
            and self.forwarded == self.shot.passes
            and not self.stray
        )


def reply_words(packet: Packet) -> str:
    """A reply to a shot, in a word or two."""
    reply = answer(packet)
    if reply is None:
        return frame_words(packet)
    # With ECN a SYN-ACK has one flag more (RFC 3168 6.1.1).
    return "syn-ack" if reply.verdict == "tcp SAE" else reply.verdict


def frame_words(packet: Packet) -> str:
    """A frame's protocol and ends, in a few words."""
    body = packet.payload
    inner = body.payload
    summary = packet.summary()
    if isinstance(body, ARP):
        summary = f"arp who-has {body.pdst}" if body.op == 1 else "arp reply"
    elif isinstance(inner, ICMP):
        summary = f"icmp {inner.type}/{inner.code}"
    elif isinstance(inner, ICMPv6ND_NS):
        summary = f"who-has {inner.tgt}"
    elif isinstance(inner, ICMPv6ND_NA):
        summary = f"neighbour {inner.tgt}"
    elif isinstance(inner, TCP | UDP):
        kind = "tcp" if isinstance(inner, TCP) else "udp"
        summary = f"{kind} {body.src}:{inner.sport} > {body.dst}:{inner.dport}"
    elif isinstance(body, IP):
        summary = f"protocol {body.proto} {body.src} > {body.dst}"
    return summary
