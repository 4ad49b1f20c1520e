"""What programs inside examples/host.toml say to groups and to everybody.

In: nothing.  Out: `TABLES` of acts. What leaves all the same is marked in its line.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from tests.support.attack.act import (
    BINDTODEVICE,
    BROADCAST,
    DEVICE,
    DGRAM,
    INDEX,
    INET,
    INET6,
    MULTICAST_IF,
    SOCKET_LEVEL,
    UNLISTED_PORT,
    USERS,
    Act,
)
from tests.support.attack.socket_variants import option
from tests.support.host_example import NEIGHBOUR, SELF

GROUPS = ("224.0.0.1", "224.0.0.251", "239.1.1.1", "255.255.255.255", "192.0.2.255")
UNSEEN = ("224.0.0.1", "224.0.0.251", "255.255.255.255")
"""Sent without a look-up by a socket that has a device or a source: docs/ways-out.md."""


def groups() -> Iterator[Act]:
    """Multicast and broadcast. What leaves in IPv4 leaves whoever sends it."""
    loud = option((SOCKET_LEVEL, BROADCAST), 1)
    for uid in USERS:
        for destination in GROUPS:
            for how, before in (
                ("a plain socket", []),
                ("our own address", [("bind", (SELF[4], 45002))]),
                (
                    "SO_BINDTODEVICE",
                    [option((SOCKET_LEVEL, BINDTODEVICE), DEVICE), ("bind", ("", 45002))],
                ),
                (
                    "IP_MULTICAST_IF",
                    [
                        option(
                            MULTICAST_IF[4],
                            struct.pack("=4s4sI", b"", socket.inet_aton(SELF[4]), INDEX),
                        ),
                        ("bind", ("", 45002)),
                    ],
                ),
            ):
                seen = destination in UNSEEN and how != "a plain socket"
                if how == "IP_MULTICAST_IF" and destination == "255.255.255.255":
                    seen = False
                if destination == "239.1.1.1" and how == "our own address":
                    seen = True
                words = f"udp {SELF[4]}:45002 > {destination}:{UNLISTED_PORT}" if seen else ""
                yield Act(
                    "group",
                    f"IPv4 to {destination} with {how}",
                    uid,
                    (
                        ("socket", INET, DGRAM),
                        loud,
                        *before,
                        ("sendto", b"out", 0, (destination, UNLISTED_PORT)),
                    ),
                    None,
                    words,
                )
        for destination in ("ff01::1", "ff02::1", "ff02::2", "ff02::fb", "ff05::2", "ff0e::1"):
            for how, before in (
                ("a plain socket", []),
                ("IPV6_MULTICAST_IF", [option(MULTICAST_IF[6], INDEX)]),
                ("SO_BINDTODEVICE", [option((SOCKET_LEVEL, BINDTODEVICE), DEVICE)]),
                ("our own address", [("bind", (SELF[6], 0))]),
            ):
                yield Act(
                    "group",
                    f"IPv6 to {destination} with {how}",
                    uid,
                    (
                        ("socket", INET6, DGRAM),
                        *before,
                        ("sendto", b"out", 0, (destination, UNLISTED_PORT, 0, INDEX)),
                    ),
                )
        for label, scope in ((0, INDEX), (0x12345, 0), (0x12345, INDEX)):
            for destination in ("fe80::1", NEIGHBOUR[6], "::ffff:192.0.2.66"):
                yield Act(
                    "group",
                    f"IPv6 to {destination}, flow {label}, scope {scope}",
                    uid,
                    (
                        ("socket", INET6, DGRAM),
                        ("sendto", b"out", 0, (destination, UNLISTED_PORT, label, scope)),
                    ),
                )


TABLES = (groups,)
