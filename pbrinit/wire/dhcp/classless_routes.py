"""Classless static routes of a DHCP lease (option 121, RFC 3442).

In: the bytes of the option, or the bytes that `pack` made of routes.  Out: the routes that a policy
can use, each a destination prefix and a router, as text; or a `LeaseError`.  A route that cannot be
used is left out, with a remark that says why.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.prefix import (
    BITS,
    NOWHERE,
    as_int,
    as_text,
    host_mask,
    is_network_or_broadcast,
    is_unicast,
    overlap,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pbrinit.wire.prefix import Prefix

    Route = tuple[str, str]

MAX_ROUTES = 8
"""How many routes are used at most: the bytes of a lease have a fixed size."""

SHORTEST = 8
"""Shortest destination prefix. Shorter ones are large parts of the Internet, which is reached
through the gateway."""

ON_LINK = "0.0.0.0"  # noqa: S104  a router that is none
"""The router of a route to hosts that are on the link itself (RFC 3442)."""

FORMS = "the address's prefix, nor of a prefix on the link"
RECORD = struct.Struct("!4sB4s")
SIZE = MAX_ROUTES * RECORD.size
EMPTY = bytes(RECORD.size)


def parse(data: bytes) -> tuple[tuple[Route, ...], bool]:
    """The routes of the option, unchecked, up to the first malformed one; whether all were read."""
    routes: list[Route] = []
    at = 0
    while at < len(data):
        length = data[at]
        size = (length + 7) // 8
        end = at + 1 + size + 4
        if length > BITS or end > len(data):
            return tuple(routes), False
        first = int.from_bytes(data[at + 1 : at + 1 + size].ljust(4, b"\0"), "big")
        # A server may set bits beyond the length; they are ignored (RFC 3442).
        first &= ~host_mask(length)
        routes.append((as_text((first, length)), socket.inet_ntoa(data[end - 4 : end])))
        at = end
    return tuple(routes), True


def usable(
    routes: Iterable[Route], address: str, length: int, taken: Iterable[Prefix]
) -> tuple[tuple[Route, ...], tuple[str, ...]]:
    """The routes that have no fault, at most MAX_ROUTES, and a remark about each other one.
    `address` and `length` are the lease's, `taken` are the prefixes of the other interfaces.
    """
    others = tuple(taken)
    accepted: list[Route] = []
    remarks: list[str] = []
    # What is on the link comes first: routers may be there.
    for route in sorted(dict.fromkeys(routes), key=lambda route: route[1] != ON_LINK):
        fault = _fault(route, accepted, (as_int(address), length), others)
        if fault is None and len(accepted) == MAX_ROUTES:
            fault = f"there are {MAX_ROUTES} already"
        if fault is None:
            accepted.append(route)
        else:
            remarks.append(f"its route to {route[0]} via {route[1]} is left out: {fault}")
    return tuple(accepted), tuple(remarks)


def check_routes(
    routes: tuple[Route, ...], address: str, length: int, taken: Iterable[Prefix]
) -> None:
    """Raises LeaseError where there are too many routes or one of them cannot be used."""
    if len(routes) > MAX_ROUTES:
        raise LeaseError(f"it has {len(routes)} routes; the maximum is {MAX_ROUTES}")
    others = tuple(taken)
    for number, route in enumerate(routes):
        fault = _fault(route, routes[:number], (as_int(address), length), others)
        if fault is not None:
            raise LeaseError(f"its route to {route[0]} via {route[1]}: {fault}")


def _fault(
    route: Route, before: Sequence[Route], address_prefix: Prefix, taken: Iterable[Prefix]
) -> str | None:
    """Why a route cannot be used, or None. `address_prefix` is the lease's address with its length,
    `taken` are the prefixes of the other interfaces.
    """
    prefix, hop = as_prefix(route), as_int(route[1])
    first, length = prefix
    on_link = [address_prefix, *(as_prefix(r) for r in before if r[1] == ON_LINK)]
    if not SHORTEST <= length <= BITS:
        return f"its length is not from {SHORTEST} to {BITS}"
    if first & host_mask(length):
        return "it has bits set beyond its length"
    if length >= address_prefix[1] and overlap(prefix, address_prefix, BITS):
        return "it is inside the address's own prefix, which is on the link"
    for other in (*NOWHERE, *taken):
        if overlap(prefix, other, BITS):
            return f"it overlaps with {as_text(other)}"
    if route[1] != ON_LINK and not is_router(hop, address_prefix[0], on_link):
        return f"the router is not another host of {FORMS}"
    return "it is listed twice" if route[0] in (destination for destination, _ in before) else None


def is_router(hop: int, address: int, on_link: Iterable[Prefix]) -> bool:
    """Whether `hop` is another host than `address`, in one of the prefixes that are on the link."""
    return any(
        overlap((hop, BITS), prefix, BITS)
        and hop != address
        and not is_network_or_broadcast(hop, prefix[1])
        for prefix in on_link
    )


def on_link_prefixes(routes: Iterable[Route], address: str, length: int) -> list[Prefix]:
    """The prefixes that are on the link of a lease: its own, and routes without a router."""
    return [(as_int(address), length), *(as_prefix(r) for r in routes if r[1] == ON_LINK)]


def with_host_routes(
    routes: Iterable[Route], gateway: str | None, address: str, length: int
) -> tuple[Route, ...]:
    """The routes, before them those to routers that must be on the link although no prefix has
    them: where the lease's address is alone in its prefix, all routers are.
    """
    given = tuple(routes)
    if length != BITS:
        return given
    on_link = on_link_prefixes(given, address, length)
    routers = dict.fromkeys((*([gateway] if gateway else ()), *(hop for _, hop in given)))
    beyond = (
        hop
        for hop in routers
        if is_unicast(socket.inet_aton(hop))
        and not is_router(as_int(hop), as_int(address), on_link)
    )
    return (*((f"{hop}/{BITS}", ON_LINK) for hop in beyond if hop != address), *given)


def pack(routes: Iterable[Route]) -> bytes:
    """Up to MAX_ROUTES routes as SIZE bytes."""
    records = b"".join(
        RECORD.pack(first.to_bytes(4, "big"), length, socket.inet_aton(hop))
        for (first, length), hop in ((as_prefix(route), route[1]) for route in routes)
    )
    return records.ljust(SIZE, b"\0")


def unpack(data: bytes) -> tuple[Route, ...]:
    """The routes that are in SIZE bytes from an untrusted process; `check_routes` has to check
    them.
    """
    records = (data[at : at + RECORD.size] for at in range(0, SIZE, RECORD.size))
    return tuple(
        (f"{socket.inet_ntoa(first)}/{length}", socket.inet_ntoa(hop))
        for first, length, hop in map(
            RECORD.unpack, (record for record in records if record != EMPTY)
        )
    )


def as_prefix(route: Route) -> Prefix:
    """The destination of a route, as numbers."""
    first, _, length = route[0].partition("/")
    return as_int(first), int(length)
