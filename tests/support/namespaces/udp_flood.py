"""Datagrams as fast as they can be sent, and what of them arrives: acts of `lab`.

In: plain values, so that they pass between processes.  Out: plain values.  Each datagram has the
time at which it was sent (CLOCK_MONOTONIC, which all namespaces share) and its port.
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
from pathlib import Path
from typing import TypeVar
from unittest import mock

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from pbrinit.boot.guard import gate, requests, switch
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


def hear(ports: tuple[int, ...]) -> None:
    """Keep all that comes to these ports, as (version, port, when it was sent)."""
    for port in ports:
        for family in (socket.AF_INET, socket.AF_INET6):
            ear = socket.socket(family, socket.SOCK_DGRAM)
            ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
            if family == socket.AF_INET6:
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ear.bind(("", port))
            threading.Thread(target=_hear, args=(ear, family), daemon=True).start()


def _hear(ear: socket.socket, family: int) -> None:
    version = 6 if family == socket.AF_INET6 else 4
    while True:
        when, magic, port = STAMP.unpack(ear.recv(STAMP.size))
        if magic == MAGIC:
            arrived.append((version, port, when))


def tap() -> None:
    """Keep all that comes over the wire, delivered or not, in the same form."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    raw.bind(("eth0", 0))
    threading.Thread(target=_tap, args=(raw,), daemon=True).start()


def _tap(raw: socket.socket) -> None:
    while True:
        frame, told = raw.recvfrom(2048)
        if told[2] != socket.PACKET_OUTGOING:
            when, magic, port = STAMP.unpack(frame[-STAMP.size :])
            if magic == MAGIC:
                arrived.append((6 if frame[12:14] == b"\x86\xdd" else 4, port, when))


def flood_frames(mac: str, ends: tuple[tuple[str, str], ...], ports: tuple[int, ...]) -> None:
    """Send frames to these ports, one after another, from the first of each pair to the second."""
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
    """UDP's over IPv6, which must be there (RFC 8200, 8.1): pseudo-header and datagram."""
    at = 14 + 40
    frame[at + 6 : at + 8] = b"\0\0"
    length = len(frame) - at
    words = bytes(frame[22:54]) + struct.pack("!II", length, 17) + bytes(frame[at:])
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", frame, at + 6, ~total & 0xFFFF or 0xFFFF)


def flood_datagrams(addresses: tuple[str, ...], ports: tuple[int, ...]) -> None:
    """Send from sockets, bound to the device and not; what the kernel refuses is passed over."""
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
    """End it; what was sent."""
    running.clear()
    for thread in threads:
        thread.join()
    return list(sent)


def heard() -> list[tuple[int, int, int]]:
    """What has arrived, once nothing more comes."""
    before = -1
    while before != len(arrived):
        before = len(arrived)
        time.sleep(0.3)
    return list(arrived)


def lost() -> int:
    """Datagrams for which a socket had no room: they would be taken for refused."""
    count = 0
    with open("/proc/net/snmp") as four, open("/proc/net/snmp6") as six:  # noqa: PTH123
        names, values = (line.split()[1:] for line in four if line.startswith("Udp:"))
        count += int(dict(zip(names, values, strict=True))["RcvbufErrors"])
        count += sum(int(line.split()[1]) for line in six if line.startswith("Udp6RcvbufErrors"))
    return count


def request(line: str, plan: bytes = b"") -> tuple[bool, str, int, int]:
    """Ask the guard for a plan; its answer, and when it began and ended."""
    if plan:
        Path(active_plan.NEXT).write_bytes(plan)
    start = time.monotonic_ns()
    done, told = requests.ask(line)
    return done, told, start, time.monotonic_ns()


def replace(old: BootPlan, new: BootPlan) -> tuple[int, int]:
    """What must not be done: the old rules taken away one by one, then the new ones added."""
    start = time.monotonic_ns()
    with Kernel() as kernel:
        kernel.apply([_removal(message) for message in old.rules])
        kernel.apply(new.rules)
    return start, time.monotonic_ns()


def without_gate(old: BootPlan, new: BootPlan) -> tuple[int, int]:
    """What must not be done either: all as it is done, but for the one rule that decides."""
    there = slots.slot_of(old)
    start = time.monotonic_ns()
    with mock.patch.multiple(gate, point_gate=mock.DEFAULT, remove_gate=mock.DEFAULT):
        switch.switch_plan(slots.relocate(new, 1 - there), lambda: None, old)
    return start, time.monotonic_ns()


def cut_off(image: BootPlan, new: BootPlan, at: int) -> bool:
    """Switch as the guard does, in a process that ends before it sends for the time `at`, or does
    anything else that a guard that is killed would not have done; whether it came to its end.
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
        _put(new)
        Trial(image, GuardStatus()).answer(["adopt"])
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def _put(plan: BootPlan) -> None:
    Path(active_plan.NEXT).write_bytes(bootplan.pack(plan))


def in_force(image: BootPlan) -> BootPlan:
    """The plan in force, as it says in /run."""
    return active_plan.read(image)


def _removal(message: bytes) -> bytes:
    return removal(rules.RTM_DELRULE, message[HEADER.size :])


def ask_and_die(line: str, plan: bytes) -> None:
    """Ask the guard in a process that ends before it is answered."""
    Path(active_plan.NEXT).write_bytes(plan)
    child = os.fork()
    if child == 0:
        asker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asker.connect(requests.PATH)
        asker.send(line.encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
