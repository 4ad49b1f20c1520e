"""Who lives beyond other routers of a link, as a DHCP server has it.

In: option 121 of a message (classless static routes, RFC 3442), or the bytes that `pack` made of
routes.  Out: the routes that a policy can use, each a prefix and a router, as text; or a
`LeaseError`.  What cannot be used is left out: the gateway then leads there, if anything does.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.boot.given import LeaseError
from pbrinit.boot.prefix import BITS, NOBODY, is_neighbour, overlap, value, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pbrinit.boot.prefix import Prefix

    Route = tuple[str, str]

MOST = 8
"""As many as are used; what is told of a lease is of one size."""

SHORTEST = 8
"""Shorter prefixes are half of the Internet; to all of it the gateway leads."""

RECORD = struct.Struct("!4sB4s")
SIZE = MOST * RECORD.size
NONE = bytes(RECORD.size)


def parsed(data: bytes) -> tuple[str | None, tuple[Route, ...]]:
    """The router that leads to everybody else, and the others with whom they lead to.

    Raises LeaseError.
    """
    found = [*_routes(data)]
    default = next((hop for prefix, hop in found if prefix[1] == 0), None)
    return default, tuple((written(prefix), hop) for prefix, hop in found if prefix[1])


def _routes(data: bytes) -> Iterator[tuple[Prefix, str]]:
    at = 0
    while at < len(data):
        length = data[at]
        size = (length + 7) // 8
        end = at + 1 + size + 4
        if length > BITS or end > len(data):
            raise LeaseError("its routes are none")
        first = int.from_bytes(data[at + 1 : at + 1 + size].ljust(4, b"\0"), "big")
        yield (first, length), socket.inet_ntoa(data[end - 4 : end])
        at = end


def usable(
    routes: Iterable[Route], address: str, length: int, taken: Iterable[Prefix]
) -> tuple[Route, ...]:
    """Those that lead to somebody: by another host of the address's prefix, to a prefix that is
    nobody else's, on no link (`taken` are those of others), and beyond no router before.
    """
    own = value(address)
    known = [*NOBODY, *taken, (own, length)]
    found: list[Route] = []
    for route in routes:
        prefix, hop = _prefix(route), value(route[1])
        free = not any(overlap(prefix, other, BITS) for other in known)
        if len(found) < MOST and _is_sound(prefix) and free and is_neighbour(hop, own, length):
            found.append(route)
            known.append(prefix)
    return tuple(found)


def check(routes: tuple[Route, ...], address: str, length: int, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError where one of them cannot be used."""
    found = usable(routes, address, length, taken)
    for prefix, hop in (route for route in routes if route not in found):
        raise LeaseError(f"its route to {prefix} by {hop} leads nowhere")
    if len(found) != len(routes):
        raise LeaseError("it has a route twice")


def pack(routes: Iterable[Route]) -> bytes:
    """Routes as SIZE bytes, however many there are."""
    found = b"".join(
        RECORD.pack(socket.inet_aton(prefix.partition("/")[0]), _prefix((prefix, hop))[1],
                    socket.inet_aton(hop))
        for prefix, hop in routes
    )  # fmt: skip
    return found.ljust(SIZE, b"\0")


def unpack(data: bytes) -> tuple[Route, ...]:
    """The routes in SIZE bytes that need not be what `pack` made; `check` says whether they are
    any.
    """
    found = (data[at : at + RECORD.size] for at in range(0, SIZE, RECORD.size))
    return tuple(
        (f"{socket.inet_ntoa(first)}/{length}", socket.inet_ntoa(hop))
        for first, length, hop in map(RECORD.unpack, (one for one in found if one != NONE))
    )


def _is_sound(prefix: Prefix) -> bool:
    """Whether it is a prefix that is used, no bits set beyond its length."""
    first, length = prefix
    return SHORTEST <= length <= BITS and not first & ((1 << BITS - length) - 1)


def _prefix(route: Route) -> Prefix:
    first, _, length = route[0].partition("/")
    return value(first), int(length)
