"""Inside a namespace: all that is delivered is kept, and marked datagrams are sent.

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
"""Beyond this an ICMP error's mark is that of the packet it quotes (`frames.frame`)."""

everything: list[bytes] = []


def tap_all(protocols: tuple[int, ...]) -> None:
    """Keep all that is delivered of these protocols from now on (raw_local_deliver)."""
    everything.clear()
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in protocols:
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            threading.Thread(target=_tap_all, args=(raw, protocol), daemon=True).start()


def _tap_all(raw: socket.socket, protocol: int) -> None:
    while True:
        data = raw.recv(65535)
        if not _is_word(data, protocol):
            everything.append(data)


def _is_word(data: bytes, protocol: int) -> bool:
    """Whether it is the kernel's word that a packet is refused, told to ourselves for the log: that
    packet is quoted in it, and was not delivered.
    """
    if protocol not in UNREACHABLE:
        return False
    body = data[4 * (data[0] & 15) :] if protocol == Protocol.ICMP else data
    return body[0] == UNREACHABLE[Protocol(protocol)] and body.find(MARK[:7]) > QUOTED_FROM


def tapped_all() -> list[bytes]:
    """What was kept so far."""
    time.sleep(0.3)
    return list(everything)


def emit(uid: int, address: str, ports: tuple[int, int], mark: int) -> str:
    """Send a marked datagram as a user, from one port to another; the error's name, if any."""

    def attempt() -> str:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            os.fchown(sender.fileno(), uid, -1)
            sender.bind(("", ports[0]))
            sender.sendto(MARK % mark, (address, ports[1]))
        return "sent"

    return verdict(attempt)
