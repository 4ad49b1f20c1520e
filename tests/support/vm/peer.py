"""The rest of the network: hosts and routers with one hardware address on a `Wire`.

In: the guest's frames.  Out: answers to ARP and neighbour discovery, services, and the results of
probes to the guest.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from tests.support.vm.probe import (
    Answer,
    Arp,
    Key,
    Neighbour,
    Ping,
    Probe,
    Tcp,
    Udp,
    answer,
    canonical,
    ends,
    ip,
)
from tests.support.vm.tcp_stream import Stream
from tests.support.vm.wire import Frame, Wire

TIMEOUT = 2.0

ECHO_REQUEST = 8

# After the marker, for an answer that still waited for neighbour discovery.
SETTLE = 0.2


@dataclass(frozen=True)
class Result:
    """The result of a probe.

    `verdict` is "syn-ack", "rst", "reply" (ping), "answer" (UDP, ARP, neighbour), "icmp TYPE/CODE",
    "tcp FLAGS" for any other segment, or "silence". Two more exist so that nothing else counts as
    silence. "unresolved": the guest tried to resolve `src` and got no answer. "undelivered": QEMU
    did not accept the probe (see `Wire.send`).
    """

    probe: Probe
    verdict: str
    payload: bytes = b""
    mac: str | None = None
    frames: tuple[Frame, ...] = ()


@dataclass
class Service:
    """A service of the peer. `requests` has every SYN, datagram and echo request, also repeats."""

    reply: bytes | None
    requests: list[Frame] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)


class Peer:
    """Hosts and routers at `addresses`, all with the hardware address `mac`.

    `addresses` may be changed at any time. The peer answers ARP and neighbour solicitations for
    them only, and only while `resolving`. Probes may have any source: one behind the guest's
    gateway needs only the gateway's address among `addresses`.
    """

    def __init__(self, wire: Wire, mac: str, guest_mac: str, addresses: Iterable[str]) -> None:
        self.wire = wire
        self.mac = mac
        self.guest_mac = guest_mac
        self.addresses = set(addresses)
        self.resolving = True
        self._numbers = itertools.cycle(range(50000, 60000))
        self._changed = threading.Condition()
        self._answers: dict[Key, list[tuple[Frame, Answer]]] = {}
        self._streams: dict[Key, Stream] = {}
        self._services: dict[tuple[str, str, int], Service] = {}
        self._unanswered: list[tuple[float, str]] = []
        wire.listen(self._receive)

    # Probes

    def tcp(
        self, src: str, dst: str, dport: int, *, sport: int | None = None, timeout: float = TIMEOUT
    ) -> Result:
        """A SYN. A SYN-ACK is answered with a RST, so that nothing stays half open."""
        return self.probes([Tcp(src, dst, dport, sport)], timeout)[0]

    def udp(
        self,
        src: str,
        dst: str,
        dport: int,
        payload: bytes = b"probe",
        *,
        sport: int | None = None,
        timeout: float = TIMEOUT,
    ) -> Result:
        """A datagram; the result's payload is the answer's."""
        return self.probes([Udp(src, dst, dport, payload, sport)], timeout)[0]

    def ping(self, src: str, dst: str, *, timeout: float = TIMEOUT) -> Result:
        """An echo request."""
        return self.probes([Ping(src, dst)], timeout)[0]

    def arp(self, who_has: str, tell: str, *, timeout: float = TIMEOUT) -> Result:
        """A broadcast ARP request; the result has the hardware address."""
        return self.probes([Arp(who_has, tell)], timeout)[0]

    def neighbour(self, target: str, src: str, *, timeout: float = TIMEOUT) -> Result:
        """A multicast neighbour solicitation; the result has the hardware address."""
        return self.probes([Neighbour(target, src)], timeout)[0]

    def probes(
        self, probes: Sequence[Probe], timeout: float = TIMEOUT, *, marker: Probe | None = None
    ) -> list[Result]:
        """Send all at once; their results in the same order.

        Waits until all are answered, at most `timeout` seconds after the last was sent. A `marker`
        is a probe that the guest is known to answer. It is sent last. As the guest handles frames
        in order, its answer shows that all others were handled: silence is then known at once,
        however slow the guest is. No answer to it is an error.
        """
        began = time.monotonic()
        all_probes = [*probes, *([] if marker is None else [marker])]
        numbers = [next(self._numbers) for _ in all_probes]
        keys = [probe.key(number) for probe, number in zip(all_probes, numbers, strict=True)]
        if len(set(keys)) != len(keys):
            raise ValueError("two probes of a batch cannot be told apart by their answers")
        with self._changed:
            self._answers.update((key, []) for key in keys)
        delivered = [
            self.wire.send(probe.frame(self.mac, self.guest_mac, number))
            for probe, number in zip(all_probes, numbers, strict=True)
        ]
        with self._changed:
            if marker is not None:
                if not self._changed.wait_for(lambda: self._answers[keys[-1]], timeout):
                    raise AssertionError(f"the guest did not answer {marker} in {timeout} s")
                timeout = SETTLE
            self._changed.wait_for(lambda: all(self._answers[key] for key in keys), timeout)
            answers = [self._answers.pop(key) for key in keys]
            unresolved = {address for at, address in self._unanswered if at >= began}
        return [
            _result(*each, unresolved) for each in zip(probes, answers, delivered, strict=False)
        ]

    def tcp_talk(
        self, src: str, dst: str, dport: int, request: bytes = b"", *, timeout: float = TIMEOUT
    ) -> bytes:
        """Connect, send `request`, and read until the guest closes or `timeout` seconds passed.

        What was read: nothing where the guest refused or was silent, see `tcp` for which.
        """
        key = Tcp(src, dst, dport).key(next(self._numbers))
        with self._changed:
            stream = self._streams[key] = Stream(key, self._send, request)
            stream.open()
            self._changed.wait_for(lambda: stream.ended, timeout)
            stream.abort()
            del self._streams[key]
        return bytes(stream.received)

    # Services

    def serve_tcp(self, address: str, port: int, banner: bytes = b"hello\n") -> Service:
        """Accept connections, send `banner` and close at once; a client may send nothing."""
        return self._serve("tcp", address, port, banner)

    def serve_udp(self, address: str, port: int, reply: bytes | None = None) -> Service:
        """Answer each datagram with `reply`, or with its own data."""
        return self._serve("udp", address, port, reply)

    def serve_ping(self, address: str) -> Service:
        """Answer echo requests."""
        return self._serve("ping", address, 0, None)

    def _serve(self, kind: str, address: str, port: int, reply: bytes | None) -> Service:
        service = Service(reply)
        self._services[kind, canonical(address), port] = service
        return service

    # The guest's frames

    def _receive(self, frame: Frame) -> None:
        packet = frame.packet
        if packet.dst != self.mac and not int(packet.dst[:2], 16) & 1:
            return
        self._resolve(frame)
        with self._changed:
            reply = answer(packet)
            if reply is not None and reply.key in self._answers:
                self._answers[reply.key].append((frame, reply))
                if reply.verdict == "syn-ack":
                    reset = TCP(sport=reply.key[2], dport=reply.key[4], flags="R")
                    reset.seq = packet.payload.payload.ack
                    self._send(reply.key, reset)
            elif isinstance(packet.payload, IP | IPv6):
                self._serve_packet(frame)
            self._changed.notify_all()

    def _resolve(self, frame: Frame) -> None:
        body = frame.packet.payload
        if isinstance(body, ARP) and body.op == 1:
            target, source = body.pdst, body.psrc
            reply: Packet = ARP(
                op="is-at", hwsrc=self.mac, psrc=target, hwdst=body.hwsrc, pdst=source
            )
        elif isinstance(body.payload, ICMPv6ND_NS):
            target, source = body.payload.tgt, body.src
            # R: a router, S: solicited, O: replaces what the guest knew (RFC 4861 4.4)
            message = ICMPv6ND_NA(tgt=target, R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=self.mac)
            reply = IPv6(src=target, dst=source, hlim=255) / message
        else:
            return
        if self.resolving and canonical(target) in map(canonical, self.addresses):
            self.wire.send(Ether(src=self.mac, dst=frame.packet.src) / reply)
        else:
            self._unanswered.append((frame.at, canonical(target)))

    def _serve_packet(self, frame: Frame) -> None:
        packet = frame.packet.payload
        key = ends(packet)
        if key is None:
            return
        kind, address, port, own, own_port = key
        back = (kind, own, own_port, address, port)
        inner = packet.payload
        if back in self._streams:
            self._streams[back].receive(inner)
            return
        service = self._services.get((kind, own, 0 if kind == "ping" else own_port))
        if service is None:
            return
        if isinstance(inner, TCP) and inner.flags == "S":
            service.requests.append(frame)
            # A repeated SYN starts anew: its answer was late, not lost.
            banner = service.reply or b""
            self._streams[back] = Stream(back, self._send, banner, True, service.received)
            self._streams[back].receive(inner)
        elif isinstance(inner, UDP):
            data = bytes(inner.payload)
            service.requests.append(frame)
            service.received += data
            reply = data if service.reply is None else service.reply
            self._send(back, UDP(sport=own_port, dport=port) / reply)
        elif isinstance(inner, ICMPv6EchoRequest):
            service.requests.append(frame)
            self._send(back, ICMPv6EchoReply(id=inner.id, seq=inner.seq, data=inner.data))
        elif isinstance(inner, ICMP) and inner.type == ECHO_REQUEST:
            service.requests.append(frame)
            self._send(back, ICMP(type=0, id=inner.id, seq=inner.seq) / bytes(inner.payload))

    def _send(self, key: Key, body: Packet) -> None:
        """Send from the first end of `key` to the second."""
        _, own, _, guest, _ = key
        self.wire.send(Ether(src=self.mac, dst=self.guest_mac) / ip(own, guest) / body)


def _result(
    probe: Probe, answers: list[tuple[Frame, Answer]], delivered: bool, unresolved: set[str]
) -> Result:
    if answers:
        first = answers[0][1]
        frames = tuple(frame for frame, _ in answers)
        return Result(probe, first.verdict, first.payload, first.mac, frames)
    if not delivered:
        return Result(probe, "undelivered")
    source = probe.tell if isinstance(probe, Arp) else probe.src
    return Result(probe, "unresolved" if canonical(source) in unresolved else "silence")
