"""Inside a namespace: all that is delivered is kept, and marked datagrams are sent.

In: plain values, so that they pass between processes.  Out: plain values.
"""

from __future__ import annotations

import os
import socket
import threading
import time

from tests.kernel.acts import verdict
from tests.kernel.frames import MARK

everything: list[bytes] = []


def tap_all(protocols: tuple[int, ...]) -> None:
    """Keep all that is delivered of these protocols from now on (raw_local_deliver)."""
    everything.clear()
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in protocols:
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            threading.Thread(target=_tap_all, args=(raw,), daemon=True).start()


def _tap_all(raw: socket.socket) -> None:
    while True:
        everything.append(raw.recv(65535))


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
