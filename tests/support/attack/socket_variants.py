"""Options and bindings of a socket that might let its packets out by another route.

In: an IP version.  Out: steps, for the acts of tests/adversary/tables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.support.attack.act import (
    BINDTODEVICE,
    BINDTOIFINDEX,
    DEVICE,
    DONTROUTE,
    FREEBIND,
    INDEX,
    MARK,
    MSG_DONTROUTE,
    PRIORITY,
    SOCKET_LEVEL,
    TRANSPARENT,
    UNICAST_IF,
    Step,
)
from tests.support.host_example import SELF


def option(where: tuple[int, int], value: object) -> Step:
    return ("setsockopt", *where, value)


def preparations(version: int) -> Iterator[tuple[str, list[Step], int]]:
    """Each preparation by name: its steps, and the flags of the send call."""
    index = struct.pack("!I", INDEX)
    foreign = {4: "203.0.113.99", 6: "2001:db8:7::99"}[version]
    yield "a plain socket", [], 0
    yield "SO_BINDTODEVICE", [option((SOCKET_LEVEL, BINDTODEVICE), DEVICE)], 0
    yield "SO_BINDTOIFINDEX", [option((SOCKET_LEVEL, BINDTOIFINDEX), INDEX)], 0
    yield "IP_UNICAST_IF", [option(UNICAST_IF[version], index)], 0
    yield "SO_DONTROUTE", [option((SOCKET_LEVEL, DONTROUTE), 1)], 0
    yield "MSG_DONTROUTE", [], MSG_DONTROUTE
    yield "SO_PRIORITY", [option((SOCKET_LEVEL, PRIORITY), 6)], 0
    yield "SO_MARK", [option((SOCKET_LEVEL, MARK), 1)], 0
    yield "our own address", [("bind", (SELF[version], 0))], 0
    yield (
        "our own address and SO_BINDTODEVICE",
        [
            ("bind", (SELF[version], 0)),
            option((SOCKET_LEVEL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
    yield "a service's port", [("bind", ("", 1022))], 0
    yield "a foreign address", [("bind", (foreign, 0))], 0
    yield "IP_FREEBIND", [option(FREEBIND[version], 1), ("bind", (foreign, 0))], 0
    yield (
        "IP_FREEBIND and SO_BINDTODEVICE",
        [
            option(FREEBIND[version], 1),
            ("bind", (foreign, 0)),
            option((SOCKET_LEVEL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
    yield "IP_TRANSPARENT", [option(TRANSPARENT[version], 1), ("bind", (foreign, 0))], 0
    yield (
        "IP_TRANSPARENT and SO_BINDTODEVICE",
        [
            option(TRANSPARENT[version], 1),
            ("bind", (foreign, 0)),
            option((SOCKET_LEVEL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
