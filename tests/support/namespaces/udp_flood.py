"""A flood of datagrams while plans are switched, and what of it arrives: calls for `lab`.

In: plain values, so that they pass between processes.  Out: plain values.  Each datagram carries
its port and the time at which it was sent (CLOCK_MONOTONIC, which all namespaces share).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TypeVar
from unittest import mock

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from pbrinit.boot.guard import gate, requests, switch
from pbrinit.boot.guard.requests import Offer
from pbrinit.boot.guard.trial import Trial
from pbrinit.boot.network import rules, slots
from pbrinit.boot.state import active_plan
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.netlink.socket import HEADER, Kernel, removal

STAMP = struct.Struct("!QIH")
MAGIC = 0x5EEDF00D
CLIENT = 40000
ROOM = 1 << 26
SO_RCVBUFFORCE = 33
sent: list[tuple[int, int, int]] = []
arrived: list[tuple[int, int, int]] = []
running = threading.Event()
threads: list[threading.Thread] = []
T = TypeVar("T")


def receive(ports: tuple[int, ...]) -> None:
    """Record all datagrams to these ports, as (version, port, time of sending)."""
    for port in ports:
        for family in (socket.AF_INET, socket.AF_INET6):
            ear = socket.socket(family, socket.SOCK_DGRAM)
            ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
            if family == socket.AF_INET6:
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ear.bind(("", port))
            threading.Thread(target=_receive, args=(ear, family), daemon=True).start()


def _receive(ear: socket.socket, family: int) -> None:
    version = 6 if family == socket.AF_INET6 else 4
    while True:
        when, magic, port = STAMP.unpack(ear.recv(STAMP.size))
        if magic == MAGIC:
            arrived.append((version, port, when))


def tap() -> None:
    """Record all datagrams on the wire, delivered or not, in the same form."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    raw.bind(("eth0", 0))
    threading.Thread(target=_tap, args=(raw,), daemon=True).start()


def _tap(raw: socket.socket) -> None:
    while True:
        frame, address = raw.recvfrom(2048)
        if address[2] != socket.PACKET_OUTGOING:
            when, magic, port = STAMP.unpack(frame[-STAMP.size :])
            if magic == MAGIC:
                arrived.append((6 if frame[12:14] == b"\x86\xdd" else 4, port, when))


def flood_frames(mac: str, ends: tuple[tuple[str, str], ...], ports: tuple[int, ...]) -> None:
    """Send frames to these ports in turn, from the first of each pair to the second."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.bind(("eth0", 0))
    frames = []
    for source, destination in ends:
        ip = IPv6 if ":" in source else IP
        for port in ports:
            packet = ip(src=source, dst=destination) / UDP(sport=CLIENT, dport=port, chksum=0)
            frame = Ether(dst=mac) / packet / Raw(bytes(STAMP.size))
            frames.append((6 if ip is IPv6 else 4, port, bytearray(bytes(frame))))

    def once() -> None:
        for version, port, frame in frames:
            now = time.monotonic_ns()
            STAMP.pack_into(frame, len(frame) - STAMP.size, now, MAGIC, port)
            if version == 6:
                _checksum(frame)
            raw.send(frame)
            sent.append((version, port, now))

    _start(once)


def _checksum(frame: bytearray) -> None:
    """Set the UDP checksum, which IPv6 requires (RFC 8200, 8.1): pseudo-header and datagram."""
    at = 14 + 40
    frame[at + 6 : at + 8] = b"\0\0"
    length = len(frame) - at
    words = bytes(frame[22:54]) + struct.pack("!II", length, 17) + bytes(frame[at:])
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", frame, at + 6, ~total & 0xFFFF or 0xFFFF)


def flood_datagrams(addresses: tuple[str, ...], ports: tuple[int, ...]) -> None:
    """Send from sockets, bound to the device and not; errors are ignored."""
    senders = []
    for address in addresses:
        for device in (b"", b"eth0"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sender = socket.socket(family, socket.SOCK_DGRAM)
            if device:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            senders.append((sender, 6 if ":" in address else 4, address))

    def once() -> None:
        for sender, version, address in senders:
            for port in ports:
                now = time.monotonic_ns()
                with contextlib.suppress(OSError):
                    sender.sendto(STAMP.pack(now, MAGIC, port), (address, port))
                sent.append((version, port, now))

    _start(once)


def _start(once: object) -> None:
    def forever() -> None:
        while running.is_set():
            once()  # type: ignore[operator]

    running.set()
    threads.append(threading.Thread(target=forever, daemon=True))
    threads[-1].start()


def stop() -> list[tuple[int, int, int]]:
    """End the flood; what was sent."""
    running.clear()
    for thread in threads:
        thread.join()
    return list(sent)


def arrivals() -> list[tuple[int, int, int]]:
    """What has arrived, once nothing more arrives."""
    before = -1
    while before != len(arrived):
        before = len(arrived)
        time.sleep(0.3)
    return list(arrived)


def receive_overflows() -> int:
    """Datagrams for which a socket had no buffer space; they would count as refused."""
    count = 0
    with open("/proc/net/snmp") as four, open("/proc/net/snmp6") as six:  # noqa: PTH123
        names, values = (line.split()[1:] for line in four if line.startswith("Udp:"))
        count += int(dict(zip(names, values, strict=True))["RcvbufErrors"])
        count += sum(int(line.split()[1]) for line in six if line.startswith("Udp6RcvbufErrors"))
    return count


def request(line: str, plan: bytes = b"") -> tuple[bool, str, int, int]:
    """Send a request to the guard; its answer, and when the request began and ended."""
    start = time.monotonic_ns()
    done, answer = requests.ask(line, offered(plan))
    return done, answer, start, time.monotonic_ns()


def replace_rules(old: BootPlan, new: BootPlan) -> tuple[int, int]:
    """A wrong switch, for comparison: delete the old rules one by one, then add the new ones."""
    start = time.monotonic_ns()
    with Kernel() as kernel:
        kernel.apply([_removal(message) for message in old.rules])
        kernel.apply(new.rules)
    return start, time.monotonic_ns()


def switch_without_gate(old: BootPlan, new: BootPlan) -> tuple[int, int]:
    """A wrong switch too: the real one without its gate, the single rule that decides."""
    slot = slots.slot_of(old)
    start = time.monotonic_ns()
    with mock.patch.multiple(gate, point_gate=mock.DEFAULT, remove_gate=mock.DEFAULT):
        switch.switch_plan(slots.relocate(new, 1 - slot), lambda: None, old)
    return start, time.monotonic_ns()


def switch_and_die(image: BootPlan, new: BootPlan, at: int) -> bool:
    """Switch as the guard does, in a process that ends just before its step number `at`, as a guard
    that is killed there; whether it completed the switch. Steps are messages to the kernel and
    renamed files.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    count = itertools.count(1)

    def ending(method: Callable[..., T]) -> Callable[..., T]:
        def instead(*arguments: object) -> T:
            if next(count) == at:
                os._exit(1)
            return method(*arguments)

        return instead

    status = 2
    try:
        for owner, name in ((Kernel, "apply"), (Kernel, "attempt"), (os, "replace")):
            setattr(owner, name, ending(getattr(owner, name)))
        Trial(image, GuardStatus()).answer(["adopt"], Offer(new).pack())
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def offered(plan: bytes) -> bytes:
    """What comes with a request for the plan in these bytes, which may be damaged."""
    return bootplan.sealed((plan, None, ())) if plan else b""


def plan_in_force(image: BootPlan) -> BootPlan:
    """The plan in force, read from /run."""
    return active_plan.read(image)


def _removal(message: bytes) -> bytes:
    return removal(rules.RTM_DELRULE, message[HEADER.size :])


def request_and_die(line: str, plan: bytes) -> None:
    """Send a request to the guard from a process that ends before the answer."""
    child = os.fork()
    if child == 0:
        asker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asker.connect(requests.PATH)
        with os.fdopen(os.memfd_create("offer"), "w+b", buffering=0) as file:
            file.write(offered(plan))
            socket.send_fds(asker, [line.encode()], [file.fileno()])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
