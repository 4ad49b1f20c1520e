"""Many routes of one form as netlink messages: one is encoded, the others differ in a prefix.

In: routes, and the message of the first.  Out: pieces of messages that are sent whole.  A unit
test holds every message to the one that is made by itself.  Source of the formats: netlink(7),
rtnetlink(7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from pbrinit.plan.plan import Route

MANY = 64
"""From so many routes of one form on it is worth it."""

PIECE = 1 << 17
"""Bytes sent at once: less than an ordinary socket's send buffer (net.core.wmem_default)."""

HEADER_SIZE = 16
FLAGS_AT = 6
DESTINATION_LENGTH_AT, SOURCE_LENGTH_AT = HEADER_SIZE + 1, HEADER_SIZE + 2
ATTRIBUTES_AT = HEADER_SIZE + 12
RTA_DST, RTA_SRC = 1, 2
NLM_F_ACK = 0x4


def split(routes: Sequence[Route]) -> tuple[list[list[Route]], frozenset[Route]]:
    """Those that come in great numbers of one form, by form, and the others."""
    forms: dict[tuple[object, ...], list[Route]] = {}
    for route in routes:
        ends = (route.destination is None, route.source is None)
        form = (route.family, route.table, route.kind, route.gateway, route.preferred, *ends)
        forms.setdefault(form, []).append(route)
    many = [found for found in forms.values() if len(found) >= MANY]
    few = (route for found in forms.values() if len(found) < MANY for route in found)
    return many, frozenset(few)


def pieces(first: bytes, routes: Sequence[Route]) -> Iterator[bytes]:
    """All messages, made of that of the first route. Only the last of each piece asks for an
    answer; each has its place in the piece for a sequence number, which a refusal repeats.
    """
    places = dict(_attributes(first))
    at_once = PIECE // len(first)
    for start in range(0, len(routes), at_once):
        piece = routes[start : start + at_once]
        made = bytearray()
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
                    at, size = places[attribute], route.family.bits // 8
                    message[length_at] = prefix.prefixlen
                    message[at : at + size] = prefix.network_address.packed
            made += message
        yield bytes(made)


def _attributes(message: bytes) -> Iterator[tuple[int, int]]:
    """Each attribute's type, and where its value begins."""
    at = ATTRIBUTES_AT
    while at < len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        yield kind, at + 4
        at += (length + 3) & ~3
