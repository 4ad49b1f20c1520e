"""Routes as the kernel tells them: read in one dump, and told apart.

In: a `Kernel`, and the tables to ask for.  Out: `Found`: prefixes by shape, which is all that a
route says but for its prefix and which many have in common, so that 200,000 are compared as sets
of bytes.  Source: rtnetlink(7); fib_dump_info in net/ipv4/fib_semantics.c and rt6_fill_node in
net/ipv6/route.c, which put the table first and then the destination, else the source.
"""

from __future__ import annotations

import os
import struct

from pbrinit.wire.netlink.socket import (
    ATTRIBUTE,
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    KernelError,
    attributes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.netlink.socket import Kernel

    Shape = tuple[int, int, frozenset[tuple[int, bytes]]]

FAMILIES = (2, 10)
V6 = 10
SIZES = {2: 4, 10: 16}
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
ROUTE = struct.Struct("=BBBBBBBBI")
RTA_DST, RTA_SRC, RTA_OIF, RTA_PRIORITY = 1, 2, 4, 6
RTA_CACHEINFO, RTA_TABLE, RTA_PREF = 12, 15, 20
RTPROT_KERNEL = 2
ENOENT = 2
RTNH_F_ONLINK, RTM_F_CLONED = 0x4, 0x200
REFUSING = (6, 7, 8, 9)
"""blackhole, unreachable, prohibit, throw: IPv6 gives them loopback (fib6_nh_init)."""

SAYS_NOTHING = {(RTA_PRIORITY, struct.pack("=I", 1024)), (RTA_PREF, b"\0")}
"""What IPv6 adds when it tells a route: the metric and preference that it takes by default."""

PREFIX_AT = HEADER.size + ROUTE.size + ATTRIBUTE.size + 4 + ATTRIBUTE.size
"""Where the prefix is in a message of a dump: after the table, in its own attribute."""


class Found:
    """What a dump told: prefixes by shape, and the kernel's own routes as they were told."""

    def __init__(self) -> None:
        self.prefixes: dict[Shape, set[bytes]] = {}
        self.payloads: dict[Shape, bytes] = {}
        self.own: list[bytes] = []


def in_force(kernel: Kernel, tables: Iterable[tuple[int, int]] | None = None) -> Found:
    """The routes that the kernel has: all, or those of tables, given as family and number."""
    found = Found()
    shapes: dict[bytes, Shape | None] = {}

    def take(data: bytes) -> bool:
        return _gather(data, found, shapes)

    asked = [(family, None) for family in FAMILIES] if tables is None else list(tables)
    for family, table in asked:
        kernel.stream(RTM_GETROUTE, family, ROUTE.size, table, take)
    return found


def _gather(data: bytes, found: Found, shapes: dict[bytes, Shape | None]) -> bool:
    """The messages of one datagram, and whether it is the last of a dump. This is the loop that
    200,000 routes go through.

    Raises KernelError.
    """
    at, end = 0, len(data)
    while at < end:
        length, kind, flags, _, _ = HEADER.unpack_from(data, at)
        if kind != RTM_NEWROUTE or flags & NLM_F_DUMP_INTR or at + length > end:
            return _ended(data, at, end)
        places = [17, 18]
        if length > PREFIX_AT and data[at + PREFIX_AT - 2] in (RTA_DST, RTA_SRC):
            places += range(PREFIX_AT, PREFIX_AT + SIZES[data[at + 16]])
        stride = (length + 3) & ~3
        count, key = _alike(data, at, stride, places)
        if key not in shapes:
            shapes[key] = _shape_of_found(data[at + 16 : at + length], found)
        told = shapes[key]
        if told is not None:
            found.prefixes[told] |= columns(data, at, count, stride, places)
        else:
            # Every one is looked at by itself: they are few.
            count = 1
            payload = data[at + 16 : at + length]
            if not ROUTE.unpack_from(payload)[8] & RTM_F_CLONED:
                found.own.append(payload)
        at += count * stride
    return False


def _alike(data: bytes, at: int, stride: int, places: list[int]) -> tuple[int, bytes]:
    """How many messages from there on differ in these places alone, and what they have in common.

    The kernel tells a table in order, so there are hundreds in one datagram, and to compare
    them at once is what makes 200,000 a matter of a second.
    """
    common = bytearray(data[at : at + stride])
    for place in places:
        common[place] = 0
    count = (len(data) - at) // stride
    while count > 1:
        blank = bytearray(data[at : at + count * stride])
        for place in places:
            blank[place::stride] = bytes(count)
        if blank == common * count:
            break
        count //= 4
    return max(count, 1), bytes(common)


def columns(data: bytes, at: int, count: int, stride: int, places: list[int]) -> set[bytes]:
    """What is in these places, of each of so many messages."""
    width = len(places)
    packed = bytearray(count * width)
    for number, place in enumerate(places):
        packed[number::width] = data[at + place : at + count * stride : stride]
    return {one for (one,) in struct.iter_unpack(f"{width}s", packed)}


def _ended(data: bytes, at: int, end: int) -> bool:
    """True at the end of a dump, or where there is no such table.

    Raises KernelError where the message there is another that is no route, or not whole.
    """
    length, kind, flags, _, _ = HEADER.unpack_from(data, at)
    if length < HEADER.size or at + length > end:
        raise KernelError(0, "a message that is cut short")
    if flags & NLM_F_DUMP_INTR:
        raise KernelError(0, "it changed while it was read")
    if kind not in (NLMSG_DONE, NLMSG_ERROR):
        raise KernelError(0, f"unexpected answer of type {kind}")
    error = -int.from_bytes(data[at + 16 : at + 20], "little", signed=True)
    if error not in ((0, ENOENT) if kind == NLMSG_DONE else (ENOENT,)):
        raise KernelError(0, os.strerror(error))
    return True


def _shape_of_found(payload: bytes, found: Found) -> Shape | None:
    """The shape, noted with one route that has it; None for those that the kernel made."""
    if payload[5] == RTPROT_KERNEL or ROUTE.unpack_from(payload)[8] & RTM_F_CLONED:
        return None
    told = shape_of(payload)
    found.prefixes.setdefault(told, set())
    found.payloads.setdefault(told, payload)
    return told


def shape_of(payload: bytes) -> Shape:
    """What a route says but for its prefix, in a form that is equal for equal routes.

    Left out are what follows the cable (RTNH_F_LINKDOWN), and what IPv6 does not keep, scopes.
    """
    family, _, _, tos, _, protocol, scope, kind, flags = ROUTE.unpack_from(payload)
    told = dict(attributes(payload, ROUTE.size))
    told.pop(RTA_DST if RTA_DST in told else RTA_SRC, None)
    told.pop(RTA_CACHEINFO, None)
    if family == V6 and kind in REFUSING:
        told.pop(RTA_OIF, None)
    told.setdefault(RTA_TABLE, payload[4:5] + bytes(3))
    kept = {item for item in told.items() if family != V6 or item not in SAYS_NOTHING}
    number = family | tos << 8 | protocol << 16 | kind << 24
    return number, (0 if family == V6 else scope) | (flags & RTNH_F_ONLINK) << 8, frozenset(kept)
