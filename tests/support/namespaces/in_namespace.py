"""Calls inside a network namespace: enforce plans, send probes, capture frames.

In: plain values, so that they pass between processes.  Out: plain values.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from pbrinit.boot.network import links, rules
from pbrinit.boot.system import sysctl
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.netlink.socket import Kernel

ETH_P_ALL = 3
SECONDS = 0.6
GREETING = b"hello"
clients: dict[tuple[str, int], list[str]] = {}
captured: list[bytes] = []
delivered: list[tuple[str, int, int]] = []


def enforce(plan: BootPlan) -> list[str]:
    """Put a plan in force as PID 1 does; the differences that the audit then finds."""
    write_sysctls(plan.sysctls)
    with Kernel() as kernel:
        rules.enforce(kernel, plan)
        different = rules.differences(plan, rules.in_force(kernel))
        for link in plan.links:
            if not link.room:
                links.bring_up(kernel, link)
        links.wait_for_addresses(kernel)
    sysctl.write(plan.forwarding_sysctls)
    return different


def write_sysctls(entries: Iterable[tuple[str, str]]) -> None:
    """Write sysctls, except those that a user namespace cannot set.

    The value "no group" of ping_group_range is 1 to 0 (ipv4_ping_group_range). A user namespace of
    an ordinary user does not map both groups. A new network namespace starts with this value.
    """
    otherwise = set() if has_every_id() else {"net/ipv4/ping_group_range"}
    sysctl.write(entry for entry in entries if entry[0] not in otherwise)


def has_every_id() -> bool:
    """Whether this user namespace maps every user and group, as the machine's own does."""
    return Path("/proc/self/gid_map").read_text().split() == ["0", "0", "4294967295"]


def wait_for_addresses() -> None:
    """Wait until no address is tentative."""
    with Kernel() as kernel:
        links.wait_for_addresses(kernel)


def differences(plan: BootPlan) -> list[str]:
    """The differences that an audit finds now."""
    with Kernel() as kernel:
        return rules.differences(plan, rules.in_force(kernel))


def serve(protocol: str, port: int, addresses: tuple[str, ...] = ("0.0.0.0", "::")) -> None:
    """Answer on a port of these addresses, and record the clients."""
    addresses_heard = clients.setdefault((protocol, port), [])
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        server = socket.socket(family, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((address, port))
        if protocol == "tcp":
            server.listen()  # here: who asks as soon as this returns is answered
        work = _serve_tcp if protocol == "tcp" else _serve_udp
        threading.Thread(target=work, args=(server, addresses_heard), daemon=True).start()


def _serve_tcp(server: socket.socket, sources: list[str]) -> None:
    while True:
        connection, source = server.accept()
        sources.append(source[0])
        with connection, contextlib.suppress(OSError):
            connection.sendall(GREETING)


def _serve_udp(server: socket.socket, sources: list[str]) -> None:
    while True:
        _, source = server.recvfrom(4096)
        sources.append(source[0])
        with contextlib.suppress(OSError):
            server.sendto(GREETING, source)


def clients_of(protocol: str, port: int) -> list[str]:
    """The addresses of the clients of a port that is served."""
    return list(clients[protocol, port])


@dataclass(frozen=True)
class Probe:
    """A TCP connection or UDP datagram, and the user, source and device of its socket."""

    protocol: str
    address: str
    port: int
    uid: int = 0
    source: tuple[str, int] | None = None
    device: str | None = None


def send_probe(probe: Probe) -> str:
    """Send a probe: `answered`, `silence`, or the name of the error."""

    def attempt() -> str:
        family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
        kind = socket.SOCK_STREAM if probe.protocol == "tcp" else socket.SOCK_DGRAM
        with socket.socket(family, kind) as asker:
            asker.settimeout(SECONDS)
            asker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.device is not None:
                device = probe.device.encode()
                asker.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            if probe.source is not None:
                asker.bind(probe.source)
            asker.connect((probe.address, probe.port))
            if probe.protocol == "udp":
                asker.send(b"?")
            return "answered" if asker.recv(64) == GREETING else "garbled"

    return _as_user(probe.uid, lambda: verdict(attempt))


def verdict(attempt: Callable[[], str]) -> str:
    """The result of `attempt`, `silence` if it timed out, or the name of the error."""
    try:
        return attempt()
    except TimeoutError:
        return "silence"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def _as_user(uid: int, act: Callable[[], str]) -> str:
    """Call `act` in a child process as this user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if uid:
                os.setgid(uid)
                os.setuid(uid)
            os.write(writer, act().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        result = answer.read()
    os.waitpid(child, 0)
    return result


def capture(arriving: bool = False) -> None:
    """Capture every frame on eth0 from now on, or only those that arrive."""
    captured.clear()
    ready = threading.Event()
    threading.Thread(target=_capture, args=(ready, arriving), daemon=True).start()
    ready.wait()


def _capture(ready: threading.Event, arriving: bool) -> None:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.bind(("eth0", ETH_P_ALL))
    ready.set()
    while True:
        data, (_, _, kind, *_) = wire.recvfrom(65535)
        if not arriving or kind != socket.PACKET_OUTGOING:
            captured.append(data)


def captured_frames(settle: float = 0.3) -> list[bytes]:
    """The frames captured so far."""
    time.sleep(settle)
    return list(captured)


def transmit(frames: list[bytes]) -> None:
    """Send frames on eth0 unchanged."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        for frame in frames:
            wire.send(frame)


def mac(device: str = "eth0") -> str:
    """The MAC address of a device."""
    return Path(f"/sys/class/net/{device}/address").read_text().strip()


def count_captured(source: str, destination: str) -> int:
    """How many captured packets go from `source` to `destination`."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    both = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    return sum(both in frame for frame in captured_frames())


def ping(address: str, source: str) -> bool:
    """Whether an echo request from `source` is answered."""
    command = ["ping", "-c", "1", "-W", "1", "-I", source, address]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def probe_raw(protocol: str, address: str, port: int, source: str, own_port: int) -> int:
    """Send one TCP SYN or UDP datagram through a raw socket; the number of answers."""
    capture()
    six = ":" in address
    network: Packet = IPv6(src=source, dst=address) if six else IP(src=source, dst=address)
    transport: Packet = UDP(sport=own_port, dport=port) / b"?"
    if protocol == "tcp":
        transport = TCP(sport=own_port, dport=port, flags="S", seq=7)
    family = socket.AF_INET6 if six else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(bytes(network / transport), (address, 0))
    return count_captured(address, source)


def tap_tcp() -> None:
    """Record source, source port and destination port of every TCP segment delivered from now on.

    A raw socket gets a copy of what passed the look-ups (raw_local_deliver, raw6_local_deliver).
    """
    delivered.clear()
    for family in (socket.AF_INET, socket.AF_INET6):
        raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        threading.Thread(target=_tap_tcp, args=(raw,), daemon=True).start()


def _tap_tcp(raw: socket.socket) -> None:
    while True:
        data, source = raw.recvfrom(65535)
        if raw.family == socket.AF_INET:
            data = data[(data[0] & 15) * 4 :]
        delivered.append((source[0], *struct.unpack("!HH", data[:4])))


def tapped_segments() -> list[tuple[str, int, int]]:
    """The TCP segments recorded so far."""
    time.sleep(0.2)
    return list(delivered)


def snmp_counter(name: str) -> int:
    """A counter of /proc/net/snmp, such as `Tcp InSegs`."""
    line, _, counter = name.partition(" ")
    rows = (row.split() for row in Path("/proc/net/snmp").read_text().splitlines())
    names, values = (row[1:] for row in rows if row[0] == f"{line}:")
    return int(dict(zip(names, values, strict=True))[counter])


def send_to_all(source: tuple[str, int], destination: tuple[str, int]) -> None:
    """Send a datagram in a broadcast frame, whatever its IP destination."""
    datagram = IP(src=source[0], dst=destination[0]) / UDP(sport=source[1], dport=destination[1])
    transmit([bytes(Ether(src=mac(), dst="ff:ff:ff:ff:ff:ff") / datagram / b"?")])


def send_forged(
    hardware: str, source: tuple[str, int], destination: tuple[str, int], protocol: str = "tcp"
) -> None:
    """Send a SYN or a datagram with any source to a hardware address."""
    address, _ = destination
    header: type[Packet] = IPv6 if ":" in address else IP
    body: Packet = TCP(sport=source[1], dport=destination[1], flags="S", seq=7)
    if protocol == "udp":
        body = UDP(sport=source[1], dport=destination[1]) / b"?"
    frame = Ether(src=mac(), dst=hardware) / header(src=source[0], dst=address) / body
    transmit([bytes(frame)])
