"""One TCP connection at the peer: enough of RFC 9293 for a cable that loses nothing.

In: the guest's segments.  Out: the segments that answer them, and the data of the guest.  Nothing
is sent again: a lost segment shows in the test.
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

    `data` is sent once it is established, followed by a FIN if `closes`; otherwise the FIN
    follows the guest's. `send` sends a TCP segment of the key.
    """

    key: Key
    send: Callable[[Key, Packet], object]
    data: bytes
    closes: bool = False
    received: bytearray = field(default_factory=bytearray)
    established: bool = False
    ended: bool = False
    _sent: int = INITIAL
    _acknowledged: int = 0
    _finished: bool = False

    def open(self) -> None:
        """Send the SYN of a client."""
        self._send("S")
        self._sent += 1

    def abort(self) -> None:
        """Reset the connection, so that nothing is left in the guest."""
        self._send("RA" if self.established else "R")

    def receive(self, segment: Packet) -> None:
        """Handle the guest's next segment."""
        flags, data = segment.flags, bytes(segment.payload)
        if flags.R:
            self.ended = True
        elif flags.S and not flags.A:
            # The guest is the client; a repeated SYN gets the same answer.
            self._acknowledged = (segment.seq + 1) % WRAP
            self._sent = INITIAL
            self._send("SA")
            self._sent += 1
        elif flags.S:
            self._acknowledged = (segment.seq + 1) % WRAP
            self._send("A")
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
        if self.data:
            self._send("PA", self.data)
            self._sent += len(self.data)
        if self.closes:
            self._finish()

    def _take(self, segment: Packet, data: bytes) -> None:
        if not data and not segment.flags.F:
            return
        if segment.seq == self._acknowledged:
            self.received += data
            self._acknowledged = (self._acknowledged + len(data) + bool(segment.flags.F)) % WRAP
            if segment.flags.F:
                self._finish()
                self.ended = True
        self._send("A")

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._send("FA")
            self._sent += 1

    def _send(self, flags: str, data: bytes = b"") -> None:
        _, _, sport, _, dport = self.key
        head = TCP(sport=sport, dport=dport, flags=flags, seq=self._sent, ack=self._acknowledged)
        self.send(self.key, head / data if data else head)
