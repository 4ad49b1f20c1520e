"""Many routes of one form as netlink messages: one is encoded, the others differ in a prefix.

In: routes, and the message of the first.  Out: pieces, each of several messages, that are sent as a
whole.  A unit test compares every message with the one that `messages` makes.  Formats: netlink(7),
rtnetlink(7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from pbrinit.plan.plan import Route
from pbrinit.wire.netlink.constants import NLM_F_ACK, RTA_DST, RTA_SRC

MANY = 64
"""Routes of one form are encoded in bulk from this number on."""

PIECE_SIZE = 1 << 17
"""Bytes sent at once: less than the send buffer of a socket (net.core.wmem_default)."""

HEADER_SIZE = 16
FLAGS_AT = 6
DESTINATION_LENGTH_AT, SOURCE_LENGTH_AT = HEADER_SIZE + 1, HEADER_SIZE + 2
ATTRIBUTES_AT = HEADER_SIZE + 12


def split(routes: Sequence[Route]) -> tuple[list[list[Route]], frozenset[Route]]:
    """Routes of which there are many of one form, by form, and the others."""
    forms: dict[tuple[object, ...], list[Route]] = {}
    for route in routes:
        ends = (route.destination is None, route.source is None)
        form = (route.family, route.table, route.type, route.gateway, route.preferred, *ends)
        forms.setdefault(form, []).append(route)
    many = [alike for alike in forms.values() if len(alike) >= MANY]
    few = (route for alike in forms.values() if len(alike) < MANY for route in alike)
    return many, frozenset(few)


def pieces(first: bytes, routes: Sequence[Route]) -> Iterator[bytes]:
    """All messages, made from that of the first route. Only the last message of a piece requests an
    acknowledgement. The sequence number of a message is its place in the piece; an error has it.
    """
    offsets = dict(_attributes(first))
    at_once = PIECE_SIZE // len(first)
    for start in range(0, len(routes), at_once):
        piece = routes[start : start + at_once]
        data = bytearray()
        for number, route in enumerate(piece):
            message = bytearray(first)
            flags = int.from_bytes(first[FLAGS_AT : FLAGS_AT + 2], "little") & ~NLM_F_ACK
            flags |= NLM_F_ACK if number == len(piece) - 1 else 0
            struct.pack_into("=HI", message, FLAGS_AT, flags, number)
            for attribute, length_at, prefix in (
                (RTA_DST, DESTINATION_LENGTH_AT, route.destination),
                (RTA_SRC, SOURCE_LENGTH_AT, route.source),
            ):
                if prefix is not None:
                    at, size = offsets[attribute], route.family.bits // 8
                    message[length_at] = prefix.prefixlen
                    message[at : at + size] = prefix.network_address.packed
            data += message
        yield bytes(data)


def _attributes(message: bytes) -> Iterator[tuple[int, int]]:
    """The type of each attribute, and the offset of its value."""
    at = ATTRIBUTES_AT
    while at < len(message):
        length, type_ = struct.unpack_from("=HH", message, at)
        yield type_, at + 4
        at += (length + 3) & ~3
