"""A DHCP lease: an address for some time, limited to what a policy can use.

In: values, or the bytes that `Lease.pack` made.  Out: a `Lease` that has passed `check_lease`, or a
`LeaseError` that says why it cannot be used.

The bytes have a fixed size and contain only numbers: they come from a process that reads datagrams
of any host, and go to one that may change the machine, which checks them again.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import Assignment, LeaseError
from pbrinit.wire.dhcp import classless_routes
from pbrinit.wire.dhcp.classless_routes import ON_LINK
from pbrinit.wire.prefix import (
    BITS,
    RESERVED,
    as_int,
    as_text,
    is_host,
    is_network_or_broadcast,
    is_unicast,
    overlap,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.dhcp.classless_routes import Route
    from pbrinit.wire.prefix import Prefix

SHORTEST = 8
"""Shortest prefix length: a shorter prefix is a large part of the Internet."""

MIN_SECONDS, MAX_SECONDS = 60, 0x7FFFFFFF
"""Lease times in seconds: a shorter lease would change the machine too often; an infinite one
counts as 68 years."""

MIN_RENEWAL = 5
"""Seconds before which no lease is renewed, whatever the server sends."""

MAX_RESOLVERS = 3
"""How many resolvers are used (MAXNS, resolv.conf(5))."""

ANY_SERVER = "any"
RECORD = struct.Struct(f"!4sB4s4s?III12s{classless_routes.SIZE}s")
NO_ADDRESS = bytes(4)


class Lease(Assignment):
    """An address with the length of its prefix, and what comes with it. Addresses are text,
    `routes` are those of `classless_routes`, `server` is the server that sent the lease. More time
    is asked for `by_broadcast` where that address is not known for certain, or not reached.

    Times are in seconds since the request was sent: at `renew` the server is asked for more time,
    at `rebind` any server is, at `seconds` the lease ends.
    """

    address: str
    length: int
    gateway: str | None
    server: str
    by_broadcast: bool
    seconds: int
    renew: int
    rebind: int
    routes: tuple[Route, ...]

    def pack(self) -> bytes:
        """As in `Assignment`."""
        resolvers = b"".join(socket.inet_aton(resolver) for resolver in self.resolvers)
        return RECORD.pack(
            socket.inet_aton(self.address),
            self.length,
            socket.inet_aton(self.gateway) if self.gateway else NO_ADDRESS,
            socket.inet_aton(self.server),
            self.by_broadcast,
            self.seconds,
            self.renew,
            self.rebind,
            resolvers,
            classless_routes.pack(self.routes),
        )

    def as_assignment(self, age: float) -> str | None:
        """As in `Assignment`. The server is `any` where any server is asked for more time: from
        `rebind` on, or always.
        """
        if age >= self.seconds:
            return None
        server = ANY_SERVER if self.by_broadcast or age >= self.rebind else self.server
        hops = ((prefix, "" if hop == ON_LINK else hop) for prefix, hop in self.routes)
        routes = "".join(f",{prefix}={hop}" for prefix, hop in hops)
        return f"{self.address}/{self.length},{self.gateway or ''},{server}{routes}"

    def change_times(self) -> tuple[int, ...]:
        """As in `Assignment`."""
        return self.rebind, self.seconds

    def describe(self, _: float) -> str:
        """As in `Assignment`."""
        routes = f", gateway {self.gateway}" if self.gateway else ""
        for prefix, hop in self.routes:
            routes += f", {prefix} on the link" if hop == ON_LINK else f", {prefix} via {hop}"
        return f"{self.address}/{self.length}{routes} for {self.seconds} s from {self.server}"


def check_lease(lease: Lease, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless the lease can be used: what passes `check_ways`, a server that is
    not behind another interface, and times in order.
    """
    others = tuple(taken)
    check_ways(lease.address, lease.length, lease.gateway, lease.routes, others)
    fault = server_fault(lease.server, lease.address, others)
    if fault is not None:
        raise LeaseError(f"its server {lease.server}: {fault}")
    if not MIN_SECONDS <= lease.seconds <= MAX_SECONDS:
        raise LeaseError(f"it lasts {lease.seconds} s; the minimum is {MIN_SECONDS} s")
    if not MIN_RENEWAL <= lease.renew < lease.rebind < lease.seconds:
        times = f"{lease.renew}, {lease.rebind} and {lease.seconds} s"
        raise LeaseError(f"its times {times} (renewal, rebinding, end) are not in order")


def server_fault(server: str, address: str, taken: Iterable[Prefix]) -> str | None:
    """Why nobody at this address can have sent a lease of `address`, or None."""
    if not is_unicast(socket.inet_aton(server)):
        return "it is not a server's address"
    if any(overlap((as_int(server), BITS), prefix, BITS) for prefix in taken):
        return "it is behind another interface"
    return "it is the assigned address" if server == address else None


def check_ways(
    address: str,
    length: int,
    gateway: str | None,
    routes: tuple[Route, ...],
    taken: Iterable[Prefix],
) -> None:
    """Raises LeaseError unless `address` is a host's address whose prefix does not overlap with
    `taken` or reserved prefixes, the routes pass `check_routes`, and `gateway` is another host of
    that prefix or of one that is on the link.
    """
    others = tuple(taken)
    _check_address(address, length, others)
    classless_routes.check_routes(routes, address, length, others)
    on_link = classless_routes.on_link_prefixes(routes, address, length)
    if gateway and not classless_routes.is_router(as_int(gateway), as_int(address), on_link):
        raise LeaseError(f"the gateway {gateway} is not another host of {classless_routes.FORMS}")


def _check_address(address: str, length: int, taken: Iterable[Prefix]) -> None:
    number = as_int(address)
    if not SHORTEST <= length <= BITS:
        raise LeaseError(f"its prefix has a length of {length}, not of {SHORTEST} to {BITS}")
    if not is_host(socket.inet_aton(address)):
        raise LeaseError(f"{address} is not a host's address")
    if is_network_or_broadcast(number, length):
        raise LeaseError(f"{address}/{length} is the network's own or broadcast address")
    for prefix in (*RESERVED, *taken):
        if overlap((number, length), prefix, BITS):
            raise LeaseError(f"{address}/{length} overlaps with {as_text(prefix)}")


def unpack(data: bytes, taken: Iterable[Prefix]) -> Lease:
    """The lease that is in bytes from an untrusted process; `taken` as in `check_lease`.

    Raises LeaseError.
    """
    if len(data) != RECORD.size:
        raise LeaseError("it has the wrong size")
    fields = RECORD.unpack(data)
    address, length, gateway, server, by_broadcast, seconds, renew, rebind, rest, routes = fields
    resolvers = (rest[at : at + 4] for at in range(0, len(rest), 4))
    lease = Lease(
        address=socket.inet_ntoa(address),
        length=length,
        gateway=socket.inet_ntoa(gateway) if gateway != NO_ADDRESS else None,
        server=socket.inet_ntoa(server),
        by_broadcast=by_broadcast,
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(
            socket.inet_ntoa(resolver) for resolver in resolvers if is_unicast(resolver)
        ),
        routes=classless_routes.unpack(routes),
    )
    check_lease(lease, taken)
    return lease
