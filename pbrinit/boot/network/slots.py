"""Two places for a plan, so that one is made ready while another is in force.

In: a `BootPlan`, which stands where the compiler put it.  Out: the same plan in the other place:
its preferences, the numbers of its tables and the words about both are others, all else is equal,
its digest too.  The tables main and local are the kernel's, and in both places the same.
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
KERNELS = (0, 253, 254, 255)
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
            "rule_commands": tuple(_text(text, by) for text in plan.rule_commands),
            "links": tuple(_link(link, by) for link in plan.links),
        }
    )


def table(number: int, by: int = 0) -> int:
    """A table's number so many places further; those of the kernel stay."""
    return number if number in KERNELS else number + by * TABLES


def _link(link: LinkPlan, by: int) -> LinkPlan:
    messages = ((_text(t, by), _message(m, by), offsets) for t, m, offsets in link.messages)
    bulks = (
        (_text(text, by), tuple(_piece(piece, size, by) for piece in pieces), size, offset)
        for text, pieces, size, offset in link.bulks
    )
    return LinkPlan(**{**vars(link), "messages": tuple(messages), "bulks": tuple(bulks)})


def _message(message: bytes, by: int) -> bytes:
    made = bytearray(message)
    for at, value in _numbers(message, by):
        struct.pack_into("=I", made, at, value)
    return bytes(made)


def _piece(piece: bytes, size: int, by: int) -> bytes:
    """Messages of one form: what is moved in the first is moved in all."""
    made = bytearray(piece)
    for at, value in _numbers(piece[:size], by):
        for number, byte in enumerate(struct.pack("=I", value)):
            made[at + number :: size] = bytes([byte]) * (len(piece) // size)
    return bytes(made)


def _numbers(message: bytes, by: int) -> list[tuple[int, int]]:
    """Where a number stands that is another in the other place, and which it is there."""
    kind = struct.unpack_from("=H", message, 4)[0]
    found = []
    at = HEAD
    while kind in (RTM_NEWRULE, RTM_NEWROUTE) and at < len(message):
        length, attribute = ATTRIBUTE.unpack_from(message, at)
        place = at + ATTRIBUTE.size
        if attribute == (FRA_TABLE if kind == RTM_NEWRULE else RTA_TABLE):
            found.append((place, table(struct.unpack_from("=I", message, place)[0], by)))
        elif kind == RTM_NEWRULE and attribute in (FRA_PRIORITY, FRA_GOTO):
            found.append((place, struct.unpack_from("=I", message, place)[0] + by * PREFERENCES))
        at += (length + 3) & ~3
    return found


def _text(text: str, by: int) -> str:
    """The `ip` command, in which a number follows the word that says what it is."""
    words = text.split(" ")
    for at, word in enumerate(words[:-1], 1):
        if words[at].isdigit():
            if word in ("pref", "goto"):
                words[at] = str(int(words[at]) + by * PREFERENCES)
            elif word in ("table", "lookup"):
                words[at] = str(table(int(words[at]), by))
    return " ".join(words)
