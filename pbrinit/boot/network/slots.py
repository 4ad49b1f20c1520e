"""Two places for a plan, so that one is made ready while another is in force.

In: a `BootPlan`, which stands where the compiler put it.  Out: the same plan in the other place:
its preferences and the numbers of its tables are others, all else is equal, its digest too.  The
tables main and local are the kernel's, and in both places the same.
"""

from __future__ import annotations

import struct

from pbrinit.boot.network.rules import FRA_PRIORITY, FRA_TABLE, RULE, preference
from pbrinit.wire.bootplan import BootPlan, LinkPlan
from pbrinit.wire.netlink.route_dump import RTA_TABLE, RTM_NEWROUTE
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER

PREFERENCES, TABLES = 20_000_000, 1_000_000
"""How far the second place is from the first: beyond all bands (layout.TAIL) and tables."""

RTM_NEWRULE = 32
FRA_GOTO = 4
KERNEL_TABLES = (0, 253, 254, 255)
"""Numbers of tables that are not the plan's own: unspecified, default, main, local."""

HEAD = HEADER.size + RULE.size
"""Where attributes begin; a route's header is as long as a rule's (linux/rtnetlink.h)."""


def slot_of(plan: BootPlan) -> int:
    """In which place the plan stands, 0 or 1."""
    return min(preference(message[HEADER.size :]) for message in plan.rules) // PREFERENCES


def relocate(plan: BootPlan, slot: int) -> BootPlan:
    """The plan in that place."""
    by = slot - slot_of(plan)
    if by == 0:
        return plan
    return BootPlan(
        **{
            **vars(plan),
            "rules": tuple(_message(message, by) for message in plan.rules),
            "links": tuple(_link(link, by) for link in plan.links),
        }
    )


def table(number: int, by: int = 0) -> int:
    """A table's number so many places further; those of the kernel stay."""
    return number if number in KERNEL_TABLES else number + by * TABLES


def _link(link: LinkPlan, by: int) -> LinkPlan:
    messages = ((text, _message(m, by), offsets) for text, m, offsets in link.messages)
    bulks = (
        (text, tuple(_piece(piece, size, by) for piece in pieces), size, offset)
        for text, pieces, size, offset in link.bulks
    )
    return LinkPlan(**{**vars(link), "messages": tuple(messages), "bulks": tuple(bulks)})


def _message(message: bytes, by: int) -> bytes:
    relocated = bytearray(message)
    for at, value in _numbers(message, by):
        struct.pack_into("=I", relocated, at, value)
    return bytes(relocated)


def _piece(piece: bytes, size: int, by: int) -> bytes:
    """Messages of one form: what is moved in the first is moved in all."""
    relocated = bytearray(piece)
    for at, value in _numbers(piece[:size], by):
        for number, byte in enumerate(struct.pack("=I", value)):
            relocated[at + number :: size] = bytes([byte]) * (len(piece) // size)
    return bytes(relocated)


def _numbers(message: bytes, by: int) -> list[tuple[int, int]]:
    """Where a number stands that is another in the other place, and which it is there."""
    kind = struct.unpack_from("=H", message, 4)[0]
    numbers = []
    at = HEAD
    while kind in (RTM_NEWRULE, RTM_NEWROUTE) and at < len(message):
        length, attribute = ATTRIBUTE.unpack_from(message, at)
        place = at + ATTRIBUTE.size
        if attribute == (FRA_TABLE if kind == RTM_NEWRULE else RTA_TABLE):
            numbers.append((place, table(struct.unpack_from("=I", message, place)[0], by)))
        elif kind == RTM_NEWRULE and attribute in (FRA_PRIORITY, FRA_GOTO):
            numbers.append((place, struct.unpack_from("=I", message, place)[0] + by * PREFERENCES))
        at += (length + 3) & ~3
    return numbers
