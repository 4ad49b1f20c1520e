"""The kernel's notifications: which rules, routes, links or addresses have changed.

In: nothing.  Out: what has to be compared with the plan again.  Source: rtnetlink(7), RTNLGRP_* in
linux/rtnetlink.h.
"""

from __future__ import annotations

import _socket
import struct
import time

from pbrinit.wire.netlink.route_dump import ROUTE, RTA_TABLE
from pbrinit.wire.netlink.socket import KernelError, attributes, messages, receive

LINK, ADDRESS, ROUTE_MESSAGE, RULE = (16, 17), (20, 21), (24, 25), (32, 33)
GROUPS = 1 << 0 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18
"""Multicast groups: links; addresses, routes and rules of IPv4; the same of IPv6."""

SO_RCVBUFFORCE = 33
IFINFO = struct.Struct("=4siII")
IFF_UP = 1
RECEIVE_BUFFER = 1 << 20
QUIET_SECONDS = 0.02
LONGEST_SECONDS = 0.2
"""Changes come in bursts: they are collected until none has come for QUIET_SECONDS, and for
LONGEST_SECONDS at most."""


class Changes:
    """What has changed. `tables` has routing tables by family and number. `all` is set where it is
    not known what has changed. `links` is set where a device or its carrier has changed, and
    `routes` where routes may have gone with it: the kernel sends no notification for the routes of
    a device that is set down (fib_table_flush, net/ipv4/fib_trie.c).
    """

    def __init__(self) -> None:
        self.all = False
        self.rules = False
        self.links = False
        self.routes = False
        self.tables: set[tuple[int, int]] = set()

    def __bool__(self) -> bool:
        return self.all or self.rules or self.links or self.routes or bool(self.tables)


class ChangeMonitor:
    """A netlink socket that receives all notifications of this network namespace."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
        self._socket.setsockopt(_socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self._socket.bind((0, GROUPS))

    def fileno(self) -> int:
        """The descriptor, for select(2): it is readable where there are notifications."""
        return self._socket.fileno()

    def wait(self, longest: float) -> Changes:
        """Wait for changes; returns them after the first burst, or none after `longest` seconds."""
        changes = Changes()
        end = time.monotonic() + LONGEST_SECONDS
        pause = longest
        while True:
            self._socket.settimeout(max(pause, 0.001))
            try:
                add_notifications(changes, receive(self._socket))
            except TimeoutError:
                return changes
            except OSError:  # ENOBUFS: the receive buffer was too small (netlink(7))
                changes.all = True
            now = time.monotonic()
            if pause == longest:
                end = now + LONGEST_SECONDS
            pause = QUIET_SECONDS
            if now > end:
                return changes


def add_notifications(changes: Changes, data: bytes) -> None:
    """Add what the notifications in a datagram report. One that cannot be read may report anything,
    so all is compared then.
    """
    try:
        for kind, _, payload in messages(data):
            if kind in RULE:
                changes.rules = True
            elif kind in ROUTE_MESSAGE:
                number = dict(attributes(payload, ROUTE.size)).get(RTA_TABLE, payload[4:5])
                changes.tables.add((payload[0], int.from_bytes(number, "little")))
            elif kind in ADDRESS:
                changes.routes = True
            elif kind in LINK:
                _, _, flags, change = IFINFO.unpack_from(payload)
                changes.links = True
                changes.routes |= kind != LINK[0] or bool(~flags & IFF_UP or change & IFF_UP)
    except (KernelError, struct.error, IndexError):
        changes.all = True
