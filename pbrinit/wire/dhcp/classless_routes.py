"""Who lives beyond other routers of a link, as a DHCP server has it.

In: option 121 of a message (classless static routes, RFC 3442), or the bytes that `pack` made of
routes.  Out: the routes that a policy can use, each a prefix and a router, as text; or a
`LeaseError`.  One that cannot be used is left out, as if it had not been told.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.prefix import (
    BITS,
    NOBODY,
    host_mask,
    is_other_host_on_link,
    overlap,
    value,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pbrinit.wire.prefix import Prefix

    Route = tuple[str, str]

MOST = 8
"""As many as are used; what is told of a lease is of one size."""

SHORTEST = 8
"""Shorter prefixes are half of the Internet; to all of it the gateway leads."""

RECORD = struct.Struct("!4sB4s")
SIZE = MOST * RECORD.size
NONE = bytes(RECORD.size)


def parse(data: bytes) -> tuple[str | None, tuple[Route, ...]]:
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
        # A server may leave bits beyond the length; these are not looked at (RFC 3442).
        first &= ~host_mask(length)
        yield (first, length), socket.inet_ntoa(data[end - 4 : end])
        at = end


def usable(
    routes: Iterable[Route], address: str, length: int, taken: Iterable[Prefix]
) -> tuple[Route, ...]:
    """Those that have no fault, as many as there is a place for."""
    others = tuple(taken)
    found: list[Route] = []
    for route in routes:
        if len(found) < MOST and _fault(route, found, (value(address), length), others) is None:
            found.append(route)
    return tuple(found)


def check(routes: tuple[Route, ...], address: str, length: int, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError where one of them cannot be used."""
    if len(routes) > MOST:
        raise LeaseError(f"it has {len(routes)} routes; {MOST} are used at most")
    others = tuple(taken)
    for number, route in enumerate(routes):
        fault = _fault(route, routes[:number], (value(address), length), others)
        if fault is not None:
            raise LeaseError(f"its route to {route[0]} by {route[1]}: {fault}")


def _fault(
    route: Route, before: Sequence[Route], own: Prefix, taken: Iterable[Prefix]
) -> str | None:
    """Why a route leads to nobody, or by nobody: `own` is the lease's address with its length,
    `taken` are the prefixes of other interfaces.
    """
    prefix, hop = _prefix(route), value(route[1])
    first, length = prefix
    if not SHORTEST <= length <= BITS:
        return f"its length is not from {SHORTEST} to {BITS}"
    if first & host_mask(length):
        return "it has bits set beyond its length"
    if length >= own[1] and overlap(prefix, own, BITS):
        return "who is in the address's own prefix is on the link"
    for other in (*NOBODY, *taken):
        if overlap(prefix, other, BITS):
            return f"it overlaps with {written(other)}"
    if not is_other_host_on_link(hop, *own):
        return "the router is no host of the address's prefix"
    return "it is there twice" if route[0] in (known for known, _ in before) else None


def pack(routes: Iterable[Route]) -> bytes:
    """Routes as SIZE bytes, however many there are."""
    found = b"".join(
        RECORD.pack(first.to_bytes(4, "big"), length, socket.inet_aton(hop))
        for (first, length), hop in ((_prefix(route), route[1]) for route in routes)
    )
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


def _prefix(route: Route) -> Prefix:
    first, _, length = route[0].partition("/")
    return value(first), int(length)
