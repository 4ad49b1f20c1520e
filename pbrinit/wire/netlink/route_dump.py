"""The kernel's routes, read in one dump and grouped by shape.

In: a `Kernel`, and the tables to read.  Out: `DumpedRoutes`: prefixes by shape. A shape is all of a
route except its prefix; many routes have the same, so that 200,000 routes are compared as sets of
bytes.  Source: rtnetlink(7); fib_dump_info in net/ipv4/fib_semantics.c and rt6_fill_node in
net/ipv6/route.c, which put the table first and then the destination, or else the source.
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
REJECTING_TYPES = (6, 7, 8, 9)
"""RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW: IPv6 gives such a route the loopback
device (fib6_nh_init)."""

IPV6_DEFAULTS = {(RTA_PRIORITY, struct.pack("=I", 1024)), (RTA_PREF, b"\0")}
"""What IPv6 adds in a dump: its default metric and router preference."""

PREFIX_AT = HEADER.size + ROUTE.size + ATTRIBUTE.size + 4 + ATTRIBUTE.size
"""Offset of the prefix in a message of a dump: after the table, in its own attribute."""


class DumpedRoutes:
    """What a dump contains: prefixes by shape, one payload of each shape, and the payloads of the
    routes that the kernel makes itself. The bytes of a prefix are the length of the destination,
    the length of the source, then the address.
    """

    def __init__(self) -> None:
        self.prefixes: dict[Shape, set[bytes]] = {}
        self.payloads: dict[Shape, bytes] = {}
        self.own: list[bytes] = []


def in_force(kernel: Kernel, tables: Iterable[tuple[int, int]] | None = None) -> DumpedRoutes:
    """The kernel's routes: all, or those of `tables`, given as family and number.

    Raises KernelError.
    """
    routes = DumpedRoutes()
    shapes: dict[bytes, Shape | None] = {}

    def take(data: bytes) -> bool:
        return _gather(data, routes, shapes)

    requests = [(family, None) for family in FAMILIES] if tables is None else list(tables)
    for family, table in requests:
        kernel.stream_dump(RTM_GETROUTE, family, ROUTE.size, table, take)
    return routes


def _gather(data: bytes, routes: DumpedRoutes, shapes: dict[bytes, Shape | None]) -> bool:
    """Add the routes of one datagram; returns whether it is the last of the dump. 200,000 routes
    pass through this loop.

    Raises KernelError.
    """
    at, end = 0, len(data)
    while at < end:
        length, kind, flags, _, _ = HEADER.unpack_from(data, at)
        if kind != RTM_NEWROUTE or flags & NLM_F_DUMP_INTR or at + length > end:
            _check_end(data, at, end)
            return True
        places = [17, 18]
        if length > PREFIX_AT and data[at + PREFIX_AT - 2] in (RTA_DST, RTA_SRC):
            places += range(PREFIX_AT, PREFIX_AT + SIZES[data[at + 16]])
        stride = (length + 3) & ~3
        count, key = _count_alike(data, at, stride, places)
        if key not in shapes:
            shapes[key] = _note_shape(data[at + 16 : at + length], routes)
        shape = shapes[key]
        if shape is not None:
            routes.prefixes[shape] |= columns(data, at, count, stride, places)
        else:
            # The kernel's own routes are kept one by one: they are few.
            count = 1
            payload = data[at + 16 : at + length]
            if not ROUTE.unpack_from(payload)[8] & RTM_F_CLONED:
                routes.own.append(payload)
        at += count * stride
    return False


def _count_alike(data: bytes, at: int, stride: int, places: list[int]) -> tuple[int, bytes]:
    """How many messages from `at` on differ in these places only, and the bytes that they share.

    The kernel dumps a table in order, so a datagram has hundreds of such messages. To compare them
    at once makes 200,000 routes a matter of a second.
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
    """The bytes at these places of each of `count` messages of `stride` bytes, from `at` on."""
    width = len(places)
    packed = bytearray(count * width)
    for number, place in enumerate(places):
        packed[number::width] = data[at + place : at + count * stride : stride]
    return {column for (column,) in struct.iter_unpack(f"{width}s", packed)}


def _check_end(data: bytes, at: int, end: int) -> None:
    """Raises KernelError unless the message at `at` ends the dump, or says that there is no such
    table.
    """
    length, kind, flags, _, _ = HEADER.unpack_from(data, at)
    if length < HEADER.size or at + length > end:
        raise KernelError(0, "a truncated message")
    if flags & NLM_F_DUMP_INTR:
        raise KernelError(0, "the dump was interrupted by a change")
    if kind not in (NLMSG_DONE, NLMSG_ERROR):
        raise KernelError(0, f"unexpected answer of type {kind}")
    error = -int.from_bytes(data[at + 16 : at + 20], "little", signed=True)
    if error not in ((0, ENOENT) if kind == NLMSG_DONE else (ENOENT,)):
        raise KernelError(0, os.strerror(error))


def _note_shape(payload: bytes, routes: DumpedRoutes) -> Shape | None:
    """The shape of a route, entered in `routes`; None for a route that the kernel made itself."""
    if payload[5] == RTPROT_KERNEL or ROUTE.unpack_from(payload)[8] & RTM_F_CLONED:
        return None
    shape = shape_of(payload)
    routes.prefixes.setdefault(shape, set())
    routes.payloads.setdefault(shape, payload)
    return shape


def shape_of(payload: bytes) -> Shape:
    """All of a route except its prefix, as a value that is equal for equal routes.

    It leaves out what follows the carrier (RTNH_F_LINKDOWN), and scopes, which IPv6 does not store.
    """
    family, _, _, tos, _, protocol, scope, kind, flags = ROUTE.unpack_from(payload)
    values = dict(attributes(payload, ROUTE.size))
    values.pop(RTA_DST if RTA_DST in values else RTA_SRC, None)
    values.pop(RTA_CACHEINFO, None)
    if family == V6 and kind in REJECTING_TYPES:
        values.pop(RTA_OIF, None)
    values.setdefault(RTA_TABLE, payload[4:5] + bytes(3))
    compared = {item for item in values.items() if family != V6 or item not in IPV6_DEFAULTS}
    number = family | tos << 8 | protocol << 16 | kind << 24
    return (
        number,
        (0 if family == V6 else scope) | (flags & RTNH_F_ONLINK) << 8,
        frozenset(compared),
    )
