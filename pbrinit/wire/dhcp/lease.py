"""A DHCP lease: an address for some time, limited to what a policy can use.

In: a `Message` of a DHCP server, or the bytes that `Lease.pack` made.  Out: a `Lease` that has
passed `check_lease`, or a `LeaseError` that says why it cannot be used.

The bytes have a fixed size and contain only numbers: they come from a process that reads datagrams
of any host, and go to one that may change the machine, which checks them again.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import Assignment, LeaseError
from pbrinit.wire.dhcp import classless_routes
from pbrinit.wire.dhcp.message import (
    CLASSLESS_ROUTES,
    LEASE_TIME,
    MASK,
    REBINDING_TIME,
    RENEWAL_TIME,
    RESOLVERS,
    ROUTERS,
    SERVER_ID,
)
from pbrinit.wire.prefix import (
    BITS,
    RESERVED,
    as_int,
    as_text,
    is_host,
    is_network_or_broadcast,
    is_other_host_on_link,
    overlap,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pbrinit.wire.dhcp.classless_routes import Route
    from pbrinit.wire.dhcp.message import Message
    from pbrinit.wire.prefix import Prefix

LONGEST, SHORTEST = 30, 8
"""Prefix lengths: a longer prefix has no room for a gateway, a shorter one is a large part of the
Internet."""

MIN_SECONDS, MAX_SECONDS = 60, 0x7FFFFFFF
"""Lease times in seconds: a shorter lease would change the machine too often; an infinite one
counts as 68 years."""

MIN_RENEWAL = 5
"""Seconds before which no lease is renewed, whatever the server sends."""

MAX_RESOLVERS = 3
"""How many resolvers are used (MAXNS, resolv.conf(5))."""

ANY_SERVER = "any"
RECORD = struct.Struct(f"!4sB4s4sIII12s{classless_routes.SIZE}s")
NO_ADDRESS = bytes(4)


class Lease(Assignment):
    """An address with the length of its prefix, and what comes with it. Addresses are text,
    `routes` are those of `classless_routes`, `server` is the server that sent the lease.

    Times are in seconds since the request was sent: at `renew` the server is asked for more time,
    at `rebind` any server is, at `seconds` the lease ends.
    """

    address: str
    length: int
    gateway: str | None
    server: str
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
            self.seconds,
            self.renew,
            self.rebind,
            resolvers,
            classless_routes.pack(self.routes),
        )

    def as_assignment(self, age: float) -> str | None:
        """As in `Assignment`. From `rebind` on the server is `any`: any server is asked for more
        time.
        """
        if age >= self.seconds:
            return None
        server = ANY_SERVER if age >= self.rebind else self.server
        routes = "".join(f",{prefix}={hop}" for prefix, hop in self.routes)
        return f"{self.address}/{self.length},{self.gateway or ''},{server}{routes}"

    def change_times(self) -> tuple[int, ...]:
        """As in `Assignment`."""
        return self.rebind, self.seconds

    def describe(self, _: float) -> str:
        """As in `Assignment`."""
        routes = f", gateway {self.gateway}" if self.gateway else ""
        routes += "".join(f", {prefix} via {hop}" for prefix, hop in self.routes)
        return f"{self.address}/{self.length}{routes} for {self.seconds} s from {self.server}"


def lease_from_message(message: Message, taken: Iterable[Prefix]) -> Lease:
    """The lease that a server's reply assigns; `taken` are the prefixes of the other interfaces.
    Resolvers and routes that cannot be used are left out.

    Raises LeaseError where the rest cannot be used.
    """
    options = message.options
    seconds = _number(options, LEASE_TIME)
    if seconds is None:
        raise LeaseError("it has no lease time")
    seconds = min(seconds, MAX_SECONDS)
    renew, rebind = _times(options, seconds)
    gateway, routes = _gateway_and_routes(options)
    address, others = socket.inet_ntoa(message.address), tuple(taken)
    length = _length(options.get(MASK, b""))
    lease = Lease(
        address=address,
        length=length,
        gateway=gateway,
        server=_text(options.get(SERVER_ID, b""), "server"),
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(
            socket.inet_ntoa(resolver)
            for resolver in _addresses(options.get(RESOLVERS, b""), "resolvers")
            if is_host(resolver)
        )[:MAX_RESOLVERS],
        routes=classless_routes.usable(routes, address, length, others),
    )
    check_lease(lease, others)
    return lease


def check_lease(lease: Lease, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless the lease can be used: an address that passes `check_address`,
    routes that pass `check_routes`, a server that is not behind another interface, and times in
    order.
    """
    others = tuple(taken)
    check_address(lease.address, lease.length, lease.gateway, others)
    classless_routes.check_routes(lease.routes, lease.address, lease.length, others)
    if not is_host(socket.inet_aton(lease.server)):
        raise LeaseError(f"{lease.server} is not a server's address")
    if any(overlap((as_int(lease.server), BITS), prefix, BITS) for prefix in others):
        raise LeaseError(f"the server {lease.server} is behind another interface")
    if lease.server == lease.address:
        raise LeaseError(f"{lease.server} is both the server and the assigned address")
    if not MIN_SECONDS <= lease.seconds <= MAX_SECONDS:
        raise LeaseError(f"it lasts {lease.seconds} s; the minimum is {MIN_SECONDS} s")
    if not MIN_RENEWAL <= lease.renew < lease.rebind < lease.seconds:
        times = f"{lease.renew}, {lease.rebind} and {lease.seconds} s"
        raise LeaseError(f"its times {times} (renewal, rebinding, end) are not in order")


def check_address(address: str, length: int, gateway: str | None, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless `address` is a host's address whose prefix does not overlap with
    `taken` or reserved prefixes, and `gateway` is another host of that prefix.
    """
    number = as_int(address)
    if not SHORTEST <= length <= LONGEST:
        raise LeaseError(f"its prefix has a length of {length}, not of {SHORTEST} to {LONGEST}")
    if not is_host(socket.inet_aton(address)):
        raise LeaseError(f"{address} is not a host's address")
    if is_network_or_broadcast(number, length):
        raise LeaseError(f"{address}/{length} is the network's own or broadcast address")
    for prefix in (*RESERVED, *taken):
        if overlap((number, length), prefix, BITS):
            raise LeaseError(f"{address}/{length} overlaps with {as_text(prefix)}")
    if gateway is not None and not is_other_host_on_link(as_int(gateway), number, length):
        raise LeaseError(f"the gateway {gateway} is not another host of the address's prefix")


def unpack(data: bytes, taken: Iterable[Prefix]) -> Lease:
    """The lease that is in bytes from an untrusted process; `taken` as in `check_lease`.

    Raises LeaseError.
    """
    if len(data) != RECORD.size:
        raise LeaseError("it has the wrong size")
    address, length, gateway, server, seconds, renew, rebind, rest, routes = RECORD.unpack(data)
    resolvers = (rest[at : at + 4] for at in range(0, len(rest), 4))
    lease = Lease(
        address=socket.inet_ntoa(address),
        length=length,
        gateway=socket.inet_ntoa(gateway) if gateway != NO_ADDRESS else None,
        server=socket.inet_ntoa(server),
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(socket.inet_ntoa(resolver) for resolver in resolvers if is_host(resolver)),
        routes=classless_routes.unpack(routes),
    )
    check_lease(lease, taken)
    return lease


def _number(options: Mapping[int, bytes], code: int) -> int | None:
    """An option that is a number of seconds; None where it is missing or has another size."""
    value = options.get(code)
    return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None  # noqa: PLR2004


def _times(options: Mapping[int, bytes], seconds: int) -> tuple[int, int]:
    """When to renew and to rebind: the server's values where they are in order, else half and seven
    eighths of the lease time (RFC 2131, section 4.4.5).
    """
    renew = _number(options, RENEWAL_TIME)
    rebind = _number(options, REBINDING_TIME)
    if rebind is None or not MIN_RENEWAL < rebind < seconds:
        rebind = seconds * 7 // 8
    if renew is None or not MIN_RENEWAL <= renew < rebind:
        renew = min(seconds // 2, rebind - 1)
    return renew, rebind


def _length(mask: bytes) -> int:
    """The prefix length of a subnet mask.

    Raises LeaseError where it is not a contiguous mask of 4 bytes.
    """
    number = int.from_bytes(mask, "big")
    length = number.bit_count()
    if len(mask) != 4 or number != (1 << BITS) - (1 << BITS - length):  # noqa: PLR2004
        raise LeaseError("it has no valid subnet mask")
    return length


def _gateway_and_routes(options: Mapping[int, bytes]) -> tuple[str | None, tuple[Route, ...]]:
    """The gateway and the other routes: where option 121 is there the routers are ignored (RFC
    3442).

    Raises LeaseError where an option is malformed.
    """
    if CLASSLESS_ROUTES in options:
        return classless_routes.parse(options[CLASSLESS_ROUTES])
    routers = _addresses(options.get(ROUTERS, b""), "routers")
    return socket.inet_ntoa(routers[0]) if routers else None, ()


def _addresses(data: bytes, name: str) -> list[bytes]:
    if len(data) % 4:
        raise LeaseError(f"its {name} are not whole addresses")
    return [data[at : at + 4] for at in range(0, len(data), 4)]


def _text(data: bytes, name: str) -> str:
    if len(data) != 4:  # noqa: PLR2004
        raise LeaseError(f"it has no {name}")
    return socket.inet_ntoa(data)
