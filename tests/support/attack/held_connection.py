"""A TCP connection between guest and peer that is kept open, and forged ICMP errors about it.

In: an `AttackRange`.  Out: a `HeldConnection`; its `Flow`, and shots with errors that quote it,
from several senders.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6
from scapy.packet import Packet, Raw

from tests.support.attack.range import AttackRange
from tests.support.attack.shot import Shot, checksum, ether, ip, tag
from tests.support.host_example import MGMT, NEIGHBOUR, ROUTER, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.vm.probe import Key
from tests.support.vm.tcp_stream import Stream
from tests.support.vm.wire import Frame

SECONDS = 10.0


@dataclass(frozen=True)
class Flow:
    """The ends of a connection and where the guest is in it (its next sequence number)."""

    version: int
    far: str
    far_port: int
    own_port: int
    sequence: int


class HeldConnection:
    """The peer's end. It accepts the guest's connection to `far`, or connects to `own_port`."""

    def __init__(
        self, attack_range: AttackRange, far: str, far_port: int, own_port: int | None = None
    ) -> None:
        self._range = attack_range
        self._far, self._far_port = far, far_port
        self._own = SELF[6 if ":" in far else 4]
        self._stream: Stream | None = None
        self._sequence = 0
        attack_range.open_ports.add(far_port)
        attack_range.wires[0].listen(self._receive)
        if own_port is not None:
            self._open(own_port).open()

    @property
    def flow(self) -> Flow:
        """The ends that an ICMP error has to quote."""
        assert self._stream is not None
        version = 6 if ":" in self._far else 4
        return Flow(version, self._far, self._far_port, self._stream.key[4], self._sequence)

    def wait(self, condition: Callable[[Stream], bool]) -> bool:
        """Whether the condition becomes true in time."""
        give_up = time.monotonic() + SECONDS
        while self._stream is None or not condition(self._stream):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.02)
        return True

    def close(self) -> None:
        """Reset the connection."""
        if self._stream is not None:
            self._stream.abort()
        self._range.open_ports.discard(self._far_port)
        self._stream = None

    def _open(self, own_port: int) -> Stream:
        key = ("tcp", self._far, self._far_port, self._own, own_port)
        self._stream = Stream(key, self._send, b"")
        return self._stream

    def _receive(self, frame: Frame) -> None:
        head = frame.packet.payload
        body = head.payload
        if not isinstance(body, TCP) or self._far_port not in self._range.open_ports:
            return
        if (head.dst, body.dport) != (self._far, self._far_port):
            return
        stream = self._stream
        if stream is None and body.flags.S and not body.flags.A:
            stream = self._open(body.sport)
        if stream is not None and body.sport == stream.key[4]:
            self._sequence = (body.seq + len(body.payload) + bool(body.flags.S)) % 2**32
            stream.receive(body)

    def _send(self, key: Key, body: Packet) -> None:
        frame = ether(PEER_MACS[0], GUEST_MACS[0]) / ip(key[1], key[3]) / body
        self._range.wires[0].send(frame)


SENDERS = {"mgmt": MGMT, "router": ROUTER, "stranger": STRANGER, "neighbour": NEIGHBOUR}
ERRORS = {
    4: (
        *((3, code, 0) for code in range(16)), *((3, 4, mtu) for mtu in (68, 552, 1400)), (4, 0, 0),
        *((5, code, 0xC0000242) for code in range(4)), (11, 0, 0), (11, 1, 0),
        *((12, code, 0x14000000) for code in range(3)),
    ),
    6: (
        *((1, code, 0) for code in range(9)), *((2, 0, mtu) for mtu in (0, 68, 1280, 1400)),
        (3, 0, 0), (3, 1, 0), *((4, code, 40) for code in range(3)),
    ),
}  # fmt: skip
"""Type, code and the word that follows: the next hop's MTU, a gateway, or a pointer."""

ANY_FLOWS = tuple(Flow(version, STRANGER[version], 443, 40000, 7) for version in (4, 6))


def errors(flows: tuple[Flow, ...] = ANY_FLOWS) -> Iterator[Shot]:
    """ICMP errors of every type about open connections, from every sender."""
    for flow in flows:
        own = SELF[flow.version]
        segment = TCP(sport=flow.own_port, dport=flow.far_port, flags="A", seq=flow.sequence)
        for sender, addresses in SENDERS.items():
            for kind, code, word in ERRORS[flow.version]:
                # The tag is behind the header that is quoted: a sender may quote more than 8 bytes.
                quoted = bytes(ip(own, flow.far) / segment / Raw(tag()))
                packet = _error(addresses[flow.version], own, (kind, code, word), quoted)
                yield Shot(
                    "forged error",
                    f"IPv{flow.version} {kind}/{code} ({word}) from {sender} about {flow.far}",
                    (bytes(ether(PEER_MACS[0], GUEST_MACS[0]) / packet),),
                    flow.version == 6 or sender == "mgmt",
                )


def _error(source: str, own: str, error: tuple[int, int, int], quoted: bytes) -> Packet:
    kind, code, word = error
    body = word.to_bytes(4, "big") + quoted
    if ":" in own:
        return IPv6(src=source, dst=own, hlim=64) / ICMPv6Unknown(
            type=kind, code=code, msgbody=body
        )
    head = bytes([kind, code])
    message = head + checksum(head + b"\0\0" + body).to_bytes(2, "big") + body
    return IP(src=source, dst=own, proto=1) / Raw(message)


TABLES = (errors,)
