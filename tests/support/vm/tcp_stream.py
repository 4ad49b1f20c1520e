"""One TCP connection, seen from the peer: enough of RFC 9293 for a cable that loses nothing.

In: the guest's segments.  Out: the segments that answer them, and what the guest said.
Nothing is sent again: a segment that is missed shows in the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scapy.layers.inet import TCP
from scapy.packet import Packet

from tests.support.vm.probe import Key

INITIAL = 1000
WRAP = 2**32


@dataclass
class Stream:
    """A connection whose own end is the first of `key`.

    `says` goes out once it is established, and with it the FIN where `closes`; else the FIN
    follows the guest's. `send` takes the key and a TCP segment.
    """

    key: Key
    send: Callable[[Key, Packet], object]
    says: bytes
    closes: bool = False
    received: bytearray = field(default_factory=bytearray)
    established: bool = False
    ended: bool = False
    _sent: int = INITIAL
    _heard: int = 0
    _finished: bool = False

    def open(self) -> None:
        """Be the client."""
        self._say("S")
        self._sent += 1

    def abort(self) -> None:
        """Leave nothing in the guest."""
        self._say("RA" if self.established else "R")

    def hear(self, segment: Packet) -> None:
        """Take the guest's next segment."""
        flags, data = segment.flags, bytes(segment.payload)
        if flags.R:
            self.ended = True
        elif flags.S and not flags.A:
            # The guest is the client; a repeated SYN gets the same answer.
            self._heard = (segment.seq + 1) % WRAP
            self._sent = INITIAL
            self._say("SA")
            self._sent += 1
        elif flags.S:
            self._heard = (segment.seq + 1) % WRAP
            self._say("A")
            self._establish()
        elif flags.A and not self.established and segment.ack == self._sent:
            self._establish()
            self._take(segment, data)
        else:
            self._take(segment, data)

    def _establish(self) -> None:
        if self.established:
            return
        self.established = True
        if self.says:
            self._say("PA", self.says)
            self._sent += len(self.says)
        if self.closes:
            self._finish()

    def _take(self, segment: Packet, data: bytes) -> None:
        if not data and not segment.flags.F:
            return
        if segment.seq == self._heard:
            self.received += data
            self._heard = (self._heard + len(data) + bool(segment.flags.F)) % WRAP
            if segment.flags.F:
                self._finish()
                self.ended = True
        self._say("A")

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._say("FA")
            self._sent += 1

    def _say(self, flags: str, data: bytes = b"") -> None:
        _, _, sport, _, dport = self.key
        head = TCP(sport=sport, dport=dport, flags=flags, seq=self._sent, ack=self._heard)
        self.send(self.key, head / data if data else head)
