"""Asks the network one question, and says what came of it in one line.

In: protocol, address, port, user.  Out: a sentence.  This is how a person at the console
sees what the policy lets out.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

SECONDS = 3.0
PAYLOAD = b"pbrinit probe"
ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
LONGEST_ANSWER = 512
REASONS = {
    errno.EACCES: "refused by the policy",
    errno.EPERM: "refused by the policy",
    errno.EINVAL: "refused by the policy",
    errno.ENETUNREACH: "no route",
    errno.EHOSTUNREACH: "the neighbour does not answer",
    errno.ECONNREFUSED: "the peer refuses",
}


def probe(protocol: str, address: str, port: int, uid: int) -> str:
    """What came of it: `connected`, `answered`, or why not, and after how long."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    start = time.monotonic()
    try:
        result = {"tcp": _tcp, "udp": _udp, "ping": _ping}[protocol](family, address, port, uid)
    except TimeoutError:
        result = "no answer"
    except OSError as error:
        result = REASONS.get(error.errno or 0, "failed")
        result = f"{result} ({errno.errorcode.get(error.errno or 0, error)})"
    return f"{result}, {(time.monotonic() - start) * 1000:.0f} ms"


def _become(uid: int) -> None:
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def _tcp(family: int, address: str, port: int, uid: int) -> str:
    _become(uid)
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        connection.connect((address, port))
        connection.settimeout(1.0)
        try:
            banner = connection.recv(LONGEST_ANSWER)
        except TimeoutError:
            banner = b""
    text = f", it says {banner.decode(errors='replace').strip()!r}" if banner else ""
    return f"connected{text}"


def _udp(family: int, address: str, port: int, uid: int) -> str:
    _become(uid)
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.settimeout(SECONDS)
        sender.connect((address, port))
        sender.send(PAYLOAD)
        answer = sender.recv(LONGEST_ANSWER)
    return f"answered {answer.decode(errors='replace')!r}"


def _ping(family: int, address: str, _: int, uid: int) -> str:
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    with socket.socket(family, socket.SOCK_RAW, protocol) as sender:
        _become(uid)
        sender.settimeout(SECONDS)
        request = _echo(ECHO_REQUEST[socket.AddressFamily(family)], os.getpid() & 0xFFFF)
        sender.sendto(request, (address, 0))
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            answer, source = sender.recvfrom(LONGEST_ANSWER)
            if family == socket.AF_INET:
                answer = answer[(answer[0] & 15) * 4 :]
            wanted = bytes([ECHO_REPLY[socket.AddressFamily(family)]])
            if answer.startswith(wanted) and answer[4:] == request[4:] and source[0] == address:
                return "answered"
    raise TimeoutError


def _echo(kind: int, identifier: int) -> bytes:
    """An echo request (RFC 792, RFC 4443); the kernel sets ICMPv6's checksum by itself."""
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, 1) + PAYLOAD + b"\0"
    total = sum(struct.unpack(f"!{len(body) // 2}H", body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
