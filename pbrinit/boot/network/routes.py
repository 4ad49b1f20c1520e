"""Routes: what the kernel has, compared with the plan.

In: the links of the plan that are up, and what `routedump` found.  Out: how the kernel's routes
differ, each with the messages that make it right.  Which routes the kernel makes by itself:
`addresses`.
"""

from __future__ import annotations

import _socket
import struct

from pbrinit.wire.netlink.route_dump import (
    ROUTE,
    RTA_DST,
    RTA_OIF,
    RTA_SRC,
    RTA_TABLE,
    RTM_NEWROUTE,
    SIZES,
    columns,
    shape_of,
)
from pbrinit.wire.netlink.socket import (
    ATTRIBUTE,
    HEADER,
    attributes,
    removal,
    with_index,
    with_sequence_number,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pbrinit.wire.bootplan import LinkPlan
    from pbrinit.wire.netlink.route_dump import DumpedRoutes, Shape

    Link = tuple[LinkPlan, int]
    Repair = tuple[str, tuple[bytes, ...]]

RTM_DELROUTE = 25
KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
         7: "unreachable", 8: "prohibit", 9: "throw"}  # fmt: skip
SHOWN = 10
"""Differences of one shape that are said one by one."""


class Planned:
    """The prefixes of one shape, with a message of the plan to make others from."""

    def __init__(self, message: bytes, prefixes: set[bytes]) -> None:
        self._message = message
        self.prefixes = prefixes

    def message(self, prefix: bytes) -> bytes:
        """The plan's message for one of the prefixes."""
        made = bytearray(self._message)
        made[HEADER.size + 1 : HEADER.size + 3] = prefix[:2]
        place = _prefix_place(made)
        if place is not None:
            made[place : place + len(prefix) - 2] = prefix[2:]
        return with_sequence_number(bytes(made), struct.unpack_from("=H", made, 4)[0], 0)


def planned(links: Iterable[Link]) -> dict[Shape, Planned]:
    """The routes that these links hold, each link with its device's index."""
    found: dict[Shape, Planned] = {}
    for link, index in links:
        for _, message, offsets in link.messages:
            if struct.unpack_from("=H", message, 4)[0] == RTM_NEWROUTE:
                _note(found, with_index(message, offsets, index), None)
        for _, pieces, size, offset in link.bulks:
            first = with_index(pieces[0][:size], (offset,) if offset else (), index)
            place = _prefix_place(first) or 0
            end = place + SIZES[first[HEADER.size]]
            places = [17, 18, *range(place, end)]
            prefixes: set[bytes] = set()
            for piece in pieces:
                prefixes |= columns(piece, 0, len(piece) // size, size, places)
            _note(found, first, prefixes)
    return found


def differences(
    plan: dict[Shape, Planned], found: DumpedRoutes, known: set[int], tables: object = None
) -> Iterator[Repair]:
    """What is missing and what should not be there, the kernel's own left out.

    `known` are the indexes of the devices whose routes are looked at; `tables`, where only some
    were asked for, are those.
    """
    for shape, here in plan.items():
        if tables is not None and _table(shape) not in tables:  # type: ignore[operator]
            continue
        missing = here.prefixes - found.prefixes.get(shape, set())
        for number, prefix in enumerate(sorted(missing)):
            text = f"missing: route {describe(here.message(prefix)[HEADER.size :])}"
            yield (text if number < SHOWN else ""), (here.message(prefix),)
    for shape, prefixes in found.prefixes.items():
        device = dict(shape[2]).get(RTA_OIF)
        if device is not None and int.from_bytes(device, "little") not in known:
            continue
        extra = prefixes - plan[shape].prefixes if shape in plan else prefixes
        for number, prefix in enumerate(sorted(extra)):
            message = _removal(found.payloads[shape], prefix)
            text = f"not in the plan: route {describe(message[HEADER.size :])}"
            yield (text if number < SHOWN else ""), (message,)


def describe(payload: bytes) -> str:
    """The route in short: its prefix, its type and its table."""
    family, to, source, _, table, _, _, kind, _ = ROUTE.unpack_from(payload)
    told = dict(attributes(payload, ROUTE.size))
    number = int.from_bytes(told.get(RTA_TABLE, bytes([table])), "little")
    value, length, word = (
        (told[RTA_SRC], source, "from ") if RTA_SRC in told and RTA_DST not in told
        else (told.get(RTA_DST, bytes(SIZES[family])), to, "")
    )  # fmt: skip
    prefix = f"{word}{_socket.inet_ntop(family, value)}/{length}"
    return f"{prefix}, {KINDS.get(kind, kind)} in table {number}"


def _table(told: Shape) -> tuple[int, int]:
    number = int.from_bytes(dict(told[2])[RTA_TABLE], "little")
    return told[0] & 0xFF, number


def _note(found: dict[Shape, Planned], message: bytes, prefixes: set[bytes] | None) -> None:
    payload = message[HEADER.size :]
    if prefixes is None:
        place = _prefix_place(message)
        value = b"" if place is None else message[place : place + SIZES[payload[0]]]
        prefixes = {payload[1:3] + value}
    told = shape_of(payload)
    if told in found:
        found[told].prefixes |= prefixes
    else:
        found[told] = Planned(message, prefixes)


def _prefix_place(message: bytes | bytearray) -> int | None:
    """Where the destination's bytes are, else the source's."""
    places = {}
    at = HEADER.size + ROUTE.size
    while at < len(message):
        length, kind = ATTRIBUTE.unpack_from(message, at)
        places[kind] = at + ATTRIBUTE.size
        at += (length + 3) & ~3
    return places.get(RTA_DST, places.get(RTA_SRC))


def _removal(payload: bytes, prefix: bytes) -> bytes:
    made = bytearray(removal(RTM_DELROUTE, payload))
    made[HEADER.size + 1 : HEADER.size + 3] = prefix[:2]
    place = _prefix_place(made)
    if place is not None:
        made[place : place + len(prefix) - 2] = prefix[2:]
    return bytes(made)
