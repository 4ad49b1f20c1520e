"""Ways to prepare a socket, so that its packets might take another way out.

In: an IP version.  Out: the steps, for the acts of this folder.
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
    SOL,
    TRANSPARENT,
    UNICAST_IF,
    Step,
)
from tests.support.host_example import SELF


def option(where: tuple[int, int], value: object) -> Step:
    return ("setsockopt", *where, value)


def tries(version: int) -> Iterator[tuple[str, list[Step], int]]:
    """Ways to prepare a socket, and flags to send with."""
    index = struct.pack("!I", INDEX)
    foreign = {4: "203.0.113.99", 6: "2001:db8:7::99"}[version]
    yield "a plain socket", [], 0
    yield "SO_BINDTODEVICE", [option((SOL, BINDTODEVICE), DEVICE)], 0
    yield "SO_BINDTOIFINDEX", [option((SOL, BINDTOIFINDEX), INDEX)], 0
    yield "IP_UNICAST_IF", [option(UNICAST_IF[version], index)], 0
    yield "SO_DONTROUTE", [option((SOL, DONTROUTE), 1)], 0
    yield "MSG_DONTROUTE", [], MSG_DONTROUTE
    yield "SO_PRIORITY", [option((SOL, PRIORITY), 6)], 0
    yield "SO_MARK", [option((SOL, MARK), 1)], 0
    yield "our own address", [("bind", (SELF[version], 0))], 0
    yield (
        "our own address and SO_BINDTODEVICE",
        [
            ("bind", (SELF[version], 0)),
            option((SOL, BINDTODEVICE), DEVICE),
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
            option((SOL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
    yield "IP_TRANSPARENT", [option(TRANSPARENT[version], 1), ("bind", (foreign, 0))], 0
    yield (
        "IP_TRANSPARENT and SO_BINDTODEVICE",
        [
            option(TRANSPARENT[version], 1),
            ("bind", (foreign, 0)),
            option((SOL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
