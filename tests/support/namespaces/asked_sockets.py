"""Inside a namespace: packets of real sockets and frames on real wires, and where each gets to.

In: plain values, so that they pass between processes.  Out: plain values.  All devices and their
far ends are in this namespace (`route_get.enforce`).  A veth has no queue: what a socket sends is
seen when the call returns.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.namespaces.marked_frames import MARK

ETH_P_ALL = 3
ROOM_FOR_FRAMES = 1 << 22
ADDRESSES = {b"\x08\x00": (26, 30, 34), b"\x86\xdd": (22, 38, 54)}
"""Where source and destination are in a frame, by its type."""

QUIET = 0.01
"""So long nothing is heard when all that was sent has been dealt with."""

taps: list[socket.socket] = []


@dataclass(frozen=True)
class Sending:
    """A packet of a program: what its socket is bound to, and where it sends."""

    protocol: int
    destination: tuple[str, int]
    uid: int
    source: tuple[str, int] | None = None
    device: str | None = None
    icmp: tuple[int, int] | None = None
    connects: bool = False


@dataclass(frozen=True)
class Arriving:
    """A frame that is put on the wire of a device, and the number it is marked with."""

    device: str
    data: bytes
    mark: int


def start(protocols: Sequence[int], devices: Sequence[str]) -> None:
    """Listen to all that leaves and all that is delivered. No neighbour has to say where he is."""
    for device in devices:
        subprocess.run(["ip", "link", "set", device, "arp", "off"], check=True)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    taps.append(wire)
    for family in (socket.AF_INET, socket.AF_INET6):
        taps.extend(socket.socket(family, socket.SOCK_RAW, protocol) for protocol in protocols)
    for tap in taps:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_FOR_FRAMES)
        tap.setblocking(False)


def send(sendings: Sequence[Sending], devices: Sequence[str]) -> list[tuple[str, str]]:
    """Send each; where it went: the device, "lo" or "", and the error's name, if any."""
    results = []
    for sending in sendings:
        _forget()
        error = _send(sending)
        packed = _packed(sending.destination[0])
        bound = _packed(sending.source[0]) if sending.source is not None else b""
        left = [
            device
            for device, data in _leaving((*devices, "lo"))
            if _ends(data)[1] == packed and (not any(bound) or _ends(data)[0] == bound)
        ]
        results.append((next((d for d in left if d != "lo"), left[0] if left else ""), error))
    return results


def _send(sending: Sending) -> str:
    family = _family(sending.destination[0])
    kinds = {socket.IPPROTO_TCP: socket.SOCK_STREAM, socket.IPPROTO_UDP: socket.SOCK_DGRAM}
    kind = kinds.get(sending.protocol, socket.SOCK_RAW)
    with socket.socket(family, kind, sending.protocol) as sender:
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if family == socket.AF_INET6 and kind != socket.SOCK_RAW:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            if sending.device is not None:
                device = sending.device.encode()
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            os.fchown(sender.fileno(), sending.uid, -1)  # the user of its look-ups
            if sending.source is not None:
                sender.bind(sending.source)
            _transmit(sender, sending, kind)
        except BlockingIOError:
            return ""  # a TCP socket is about to be connected
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return ""


def _transmit(sender: socket.socket, sending: Sending, kind: int) -> None:
    body = b"asked"
    if sending.icmp is not None:
        body = bytes([*sending.icmp, 0, 0, 0, 0, 0, 0])
    to: Any = sending.destination
    if kind == socket.SOCK_STREAM:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        sender.connect(to)
    elif sending.connects:
        sender.connect(to)
        sender.send(body)
    else:
        sender.sendto(body, to)


def receive(
    arrivals: Sequence[Arriving], far_ends: dict[str, str], devices: Sequence[str]
) -> list[str]:
    """Put each on the wire; whether it was delivered ("here"), or the device it left by, or ""."""
    _forget()
    wires = {device: _wire(far) for device, far in far_ends.items()}
    for arriving in arrivals:
        wires[arriving.device].send(arriving.data)
    found: dict[int, str] = {}
    asked = {arriving.mark: arriving for arriving in arrivals}
    while select.select(taps, [], [], QUIET)[0]:
        for device, data in _leaving(devices):
            mark = _mark(data)
            if mark in asked and _ends(data) == _ends(asked[mark].data):
                found[mark] = device
        for tap in taps[1:]:
            for data, _ in _heard(tap):
                # An ICMP error that quotes a frame has its mark further in.
                mark = _mark(data)
                if mark in asked and data.find(MARK[:7]) <= data_offset(tap, data):
                    found.setdefault(mark, "here")
    for wire in wires.values():
        wire.close()
    return [found.get(arriving.mark, "") for arriving in arrivals]


def data_offset(tap: socket.socket, data: bytes) -> int:
    """How far in the mark of a packet can be that was not quoted: after the longest header."""
    return (4 * (data[0] & 15) if tap.family == socket.AF_INET else 0) + 20


def _mark(data: bytes) -> int:
    at = data.find(MARK[:7])
    return int(data[at + 7 : at + 12]) if at >= 0 else -1


def _wire(device: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((device, 0))
    return wire


def _forget() -> None:
    for tap in taps:
        for _ in _heard(tap):
            pass


def _heard(tap: socket.socket) -> Iterator[tuple[bytes, Any]]:
    while True:
        try:
            yield tap.recvfrom(2048)
        except BlockingIOError:
            return


def _leaving(devices: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """What left by one of these devices."""
    for data, (device, _, kind, *_) in _heard(taps[0]):
        if kind == socket.PACKET_OUTGOING and device in devices and data[12:14] in ADDRESSES:
            yield device, data


def _ends(frame: bytes) -> tuple[bytes, bytes]:
    first, middle, last = ADDRESSES[frame[12:14]]
    return frame[first:middle], frame[middle:last]


def _packed(address: str) -> bytes:
    return socket.inet_pton(_family(address), address)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
