"""What the rules of a plan decide about the packets of one device, in a form that can be compared.

In: a `BootPlan` and a device that packets come from: the machine's end of a room, or loopback for
what the machine itself sends.  Out: a value that is equal for two plans only where each such packet
meets the same rules in the same order, with the same sets of addresses.

A packet that a program in a room sends, be it a request or an answer, is decided by these rules and
no others (fib_rules_lookup).  Numbers of preferences and tables are left out: they are others where
a plan is in its second place, or where some other entry came or went.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from pbrinit.boot.network.rules import (
    FAMILIES,
    FIB_RULE_INVERT,
    FRA_PRIORITY,
    FRA_PROTOCOL,
    FRA_TABLE,
    RULE,
    preference,
)
from pbrinit.boot.network.slots import FRA_GOTO, KERNEL_TABLES
from pbrinit.wire.netlink.route_dump import ROUTE, RTA_TABLE, RTM_NEWROUTE
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pbrinit.wire.bootplan import BootPlan

    Selector = tuple[int, bytes]
    Rule = tuple[bytes, dict[int, bytes]]
    Told = tuple[object, ...]

MACHINE = "lo"
"""What the machine itself sends comes from loopback to the rules (fib_rule_match, flowi_iif)."""

FRA_IIFNAME = 3
FR_ACT_GOTO, FR_ACT_NOP, FR_ACT_BLACKHOLE, FR_ACT_PROHIBIT = 2, 3, 6, 8
ENDS = (FR_ACT_BLACKHOLE, FR_ACT_PROHIBIT)
ACTION, FLAGS = 7, 8
"""Their places in RULE."""

PLACE = (FRA_PRIORITY, FRA_GOTO, FRA_TABLE, FRA_PROTOCOL, FRA_IIFNAME)
"""What says nothing about the packet once it is known from which device it comes."""

TABLE_AT = 4
"""The table's place in a route's header, where its number is below 256 (struct rtmsg)."""


def of_device(plan: BootPlan, device: str) -> tuple[Told, ...]:
    """What becomes of packets from this device, in both families."""
    return tuple(_of_family(plan, family, device) for family in FAMILIES)


def _of_family(plan: BootPlan, family: int, device: str) -> Told:
    payloads = (message[HEADER.size :] for message in plan.rules if message[HEADER.size] == family)
    rules = sorted(
        ((payload, dict(attributes(payload, RULE.size))) for payload in payloads),
        key=lambda rule: preference(rule[0]),
    )
    met = [at for at in _met(rules, device) if not _says_nothing(rules[at], device)]
    targets = [preference(rules[at][0]) for at in met]
    told = []
    for at in met:
        payload, attributes_ = rules[at]
        head = RULE.unpack_from(payload)
        goto = (
            bisect_left(targets, _number(attributes_[FRA_GOTO]))
            if head[ACTION] == FR_ACT_GOTO
            else -1
        )
        selectors = frozenset((kind, v) for kind, v in attributes_.items() if kind not in PLACE)
        table = _number(attributes_.get(FRA_TABLE, b""))
        routes: object = table if table in KERNEL_TABLES else _routes(plan, family, table)
        told.append((head, selectors, goto, routes))
    return tuple(told)


def _met(rules: list[Rule], device: str) -> list[int]:
    """The places of the rules that a packet from this device can come to, in order."""
    targets = [preference(payload) for payload, _ in rules]
    found: set[int] = set()
    left = [0]
    while left:
        at = left.pop()
        if at in found or at >= len(rules):
            continue
        found.add(at)
        payload, told = rules[at]
        action = RULE.unpack_from(payload)[ACTION]
        fits = _fits(rules[at], device)
        always = fits and _is_unconditional(rules[at])
        if fits and action == FR_ACT_GOTO:
            left.append(bisect_left(targets, _number(told[FRA_GOTO])))
        if not (always and action in (FR_ACT_GOTO, *ENDS)):
            left.append(at + 1)
    return sorted(found)


def _fits(rule: Rule, device: str) -> bool:
    """Whether it can be about packets from this device."""
    return rule[1].get(FRA_IIFNAME, device.encode() + b"\0") == device.encode() + b"\0"


def _is_unconditional(rule: Rule) -> bool:
    """Whether it is about every packet that it can be about."""
    payload, told = rule
    _, to, source, tos, _, _, _, _, flags = RULE.unpack_from(payload)
    return not (to or source or tos or flags & FIB_RULE_INVERT or told.keys() - {*PLACE})


def _says_nothing(rule: Rule, device: str) -> bool:
    return not _fits(rule, device) or RULE.unpack_from(rule[0])[ACTION] == FR_ACT_NOP


def _routes(plan: BootPlan, family: int, table: int) -> frozenset[tuple[str, bytes]]:
    """The routes of a table, each with its device and without the table's number."""
    return frozenset(
        (link.device, route)
        for link in plan.links
        for message in _messages(link.messages, link.bulks)
        for route in _route(message, family, table)
    )


def _messages(
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...],
    bulks: tuple[tuple[str, tuple[bytes, ...], int, int], ...],
) -> Iterator[bytes]:
    yield from (message for _, message, _ in messages)
    for _, pieces, size, _ in bulks:
        for piece in pieces:
            yield from (piece[at : at + size] for at in range(0, len(piece), size))


def _route(message: bytes, family: int, table: int) -> Iterator[bytes]:
    """The route that a message makes, where it is one of this table."""
    if struct.unpack_from("=H", message, 4)[0] != RTM_NEWROUTE or message[HEADER.size] != family:
        return
    made = bytearray(message[HEADER.size :])
    at = ROUTE.size
    number = made[TABLE_AT]
    while at < len(made):
        length, kind = ATTRIBUTE.unpack_from(made, at)
        if kind == RTA_TABLE:
            place = at + ATTRIBUTE.size
            number = _number(bytes(made[place : place + 4]))
            made[place : place + 4] = bytes(4)
        at += (length + 3) & ~3
    if number == table:
        made[TABLE_AT] = 0
        yield bytes(made)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little")
