"""Routes: what the kernel has, compared with the plan.

In: the links of the plan that are up, and what `route_dump` found.  Out: how the kernel's routes
differ, each with the messages that make it right.  Which routes the kernel makes by itself:
`addresses`.
"""

from __future__ import annotations

import _socket
import struct

from pbrinit.boot.network.repair import EXTRA, MISSING, OF_ROUTE, Repair
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

RTM_DELROUTE = 25
KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
         7: "unreachable", 8: "prohibit", 9: "throw"}  # fmt: skip


class PlannedRoutes:
    """The prefixes of one shape, with a message of the plan to make others from."""

    def __init__(self, message: bytes, prefixes: set[bytes]) -> None:
        self._message = message
        self.prefixes = prefixes

    def message(self, prefix: bytes) -> bytes:
        """The plan's message for one of the prefixes."""
        message = bytearray(self._message)
        message[HEADER.size + 1 : HEADER.size + 3] = prefix[:2]
        place = _prefix_place(message)
        if place is not None:
            message[place : place + len(prefix) - 2] = prefix[2:]
        return with_sequence_number(bytes(message), struct.unpack_from("=H", message, 4)[0], 0)


def planned_routes(links: Iterable[Link]) -> dict[Shape, PlannedRoutes]:
    """The routes that these links hold, each link with its device's index."""
    planned_routes: dict[Shape, PlannedRoutes] = {}
    for link, index in links:
        for _, message, offsets in link.messages:
            if struct.unpack_from("=H", message, 4)[0] == RTM_NEWROUTE:
                _add_message(planned_routes, with_index(message, offsets, index), None)
        for _, pieces, size, offset in link.bulks:
            first = with_index(pieces[0][:size], (offset,) if offset else (), index)
            place = _prefix_place(first) or 0
            end = place + SIZES[first[HEADER.size]]
            places = [17, 18, *range(place, end)]
            prefixes: set[bytes] = set()
            for piece in pieces:
                prefixes |= columns(piece, 0, len(piece) // size, size, places)
            _add_message(planned_routes, first, prefixes)
    return planned_routes


def differences(
    planned_routes: dict[Shape, PlannedRoutes],
    dumped: DumpedRoutes,
    indexes: set[int],
    tables: object = None,
) -> Iterator[Repair]:
    """What is missing and what should not be there, the kernel's own left out.

    `known` are the indexes of the devices whose routes are looked at; `tables`, where only some
    were asked for, are those.
    """
    for shape, routes in planned_routes.items():
        if tables is not None and _table(shape) not in tables:  # type: ignore[operator]
            continue
        missing = routes.prefixes - dumped.prefixes.get(shape, set())
        for prefix in sorted(missing):
            yield Repair(OF_ROUTE, MISSING, (shape, prefix), (routes.message(prefix),))
    for shape, prefixes in dumped.prefixes.items():
        device = dict(shape[2]).get(RTA_OIF)
        if device is not None and int.from_bytes(device, "little") not in indexes:
            continue
        extra = prefixes - planned_routes[shape].prefixes if shape in planned_routes else prefixes
        for prefix in sorted(extra):
            message = _removal(dumped.payloads[shape], prefix)
            yield Repair(OF_ROUTE, EXTRA, (shape, prefix), (message,))


def name(thing: tuple[Shape, bytes]) -> str:
    """What a repair of `differences` is about, for a person: the route's prefix, its type and its
    table.
    """
    shape, prefix = thing
    family, table = _table(shape)
    length, source, value = prefix[0], prefix[1], prefix[2:] or bytes(SIZES[family])
    by_source = source != 0 and length == 0
    text = in_short(family, value, source if by_source else length, shape[0] >> 24, table)
    return f"route {'from ' if by_source else ''}{text}"


def in_short(family: int, value: bytes, length: int, kind: int, table: int) -> str:
    """A route for a person."""
    prefix = f"{_socket.inet_ntop(family, value)}/{length}"
    return f"{prefix}, {KINDS.get(kind, kind)} in table {table}"


def _table(shape: Shape) -> tuple[int, int]:
    number = int.from_bytes(dict(shape[2])[RTA_TABLE], "little")
    return shape[0] & 0xFF, number


def _add_message(
    planned_routes: dict[Shape, PlannedRoutes], message: bytes, prefixes: set[bytes] | None
) -> None:
    payload = message[HEADER.size :]
    if prefixes is None:
        place = _prefix_place(message)
        value = b"" if place is None else message[place : place + SIZES[payload[0]]]
        prefixes = {payload[1:3] + value}
    shape = shape_of(payload)
    if shape in planned_routes:
        planned_routes[shape].prefixes |= prefixes
    else:
        planned_routes[shape] = PlannedRoutes(message, prefixes)


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
    message = bytearray(removal(RTM_DELROUTE, payload))
    message[HEADER.size + 1 : HEADER.size + 3] = prefix[:2]
    place = _prefix_place(message)
    if place is not None:
        message[place : place + len(prefix) - 2] = prefix[2:]
    return bytes(message)
