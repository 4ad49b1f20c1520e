"""Inside a namespace: record all that is delivered, and send marked datagrams.

In: plain values, so that they pass between processes.  Out: plain values.
"""

from __future__ import annotations

import os
import socket
import threading
import time

from pbrinit.net.services import Protocol
from tests.support.namespaces.in_namespace import verdict
from tests.support.namespaces.marked_frames import MARK

UNREACHABLE = {Protocol.ICMP: 3, Protocol.ICMPV6: 1}
QUOTED_FROM = 12
"""After this offset a mark in an ICMP error is that of the quoted packet (marked_frames.frame)."""

delivered: list[bytes] = []


def tap_all(protocols: tuple[int, ...]) -> None:
    """Record all that is delivered to these protocols from now on (raw_local_deliver)."""
    delivered.clear()
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in protocols:
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            threading.Thread(target=_tap_all, args=(raw, protocol), daemon=True).start()


def _tap_all(raw: socket.socket, protocol: int) -> None:
    while True:
        data = raw.recv(65535)
        if not _is_refusal_notice(data, protocol):
            delivered.append(data)


def _is_refusal_notice(data: bytes, protocol: int) -> bool:
    """Whether it is an ICMP error that the kernel sends to this machine for the log of rejected
    packets: it quotes the rejected packet, which was not delivered.
    """
    if protocol not in UNREACHABLE:
        return False
    body = data[4 * (data[0] & 15) :] if protocol == Protocol.ICMP else data
    return body[0] == UNREACHABLE[Protocol(protocol)] and body.find(MARK[:7]) > QUOTED_FROM


def delivered_packets() -> list[bytes]:
    """What was recorded so far."""
    time.sleep(0.3)
    return list(delivered)


def send_marked(uid: int, address: str, ports: tuple[int, int], mark: int) -> str:
    """Send a marked datagram as a user, from one port to another; "sent" or the error's name."""

    def attempt() -> str:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            os.fchown(sender.fileno(), uid, -1)
            sender.bind(("", ports[0]))
            sender.sendto(MARK % mark, (address, ports[1]))
        return "sent"

    return verdict(attempt)
