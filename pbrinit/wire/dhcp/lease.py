"""A lease: an address for some time, held to what a policy can use.

In: a `Message` of a DHCP server, or the bytes that `Lease.pack` made of one.  Out: a `Lease`, or a
`LeaseError` that says what it cannot be used for; and what the machine is to be with it.  A lease
that is there has passed `checked`.

The bytes are of fixed size, numbers alone: they come from a process that reads datagrams of
anybody to one that may change the machine, which checks them again.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import Assignment, LeaseError
from pbrinit.wire.dhcp import classless_routes
from pbrinit.wire.dhcp.message import (
    MASK,
    REBIND,
    RENEW,
    RESOLVERS,
    ROUTERS,
    ROUTES,
    SECONDS,
    SERVER,
)
from pbrinit.wire.prefix import (
    BITS,
    NOBODY,
    is_host,
    is_network_or_broadcast,
    is_other_host_on_link,
    overlap,
    value,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pbrinit.wire.dhcp.classless_routes import Route
    from pbrinit.wire.dhcp.message import Message
    from pbrinit.wire.prefix import Prefix

LONGEST, SHORTEST = 30, 8
"""Prefixes: longer ones have no gateway in them, shorter ones are half of the Internet."""

LEAST_SECONDS, MOST_SECONDS = 60, 0x7FFFFFFF
"""A lease that is shorter changes the machine more than it serves; for ever is 68 years."""

LEAST_RENEWAL = 5
"""Seconds before which no lease is renewed, whatever the server wants."""

MOST_RESOLVERS = 3
"""As many as a resolver asks (MAXNS, resolv.conf(5))."""

ANY = "any"
RECORD = struct.Struct(f"!4sB4s4sIII12s{classless_routes.SIZE}s")
NONE = bytes(4)


class Lease(Assignment):
    """An address with the length of its prefix, and what goes with it; addresses are text, `routes`
    as `beyond` has them.

    Seconds are from the question on: `renew` and `rebind` when the server, then any server, is
    asked again, `seconds` when it ends. `server` is who gave it.
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
        """The lease as bytes of a size that is always the same."""
        resolvers = b"".join(socket.inet_aton(one) for one in self.resolvers)
        return RECORD.pack(
            socket.inet_aton(self.address),
            self.length,
            socket.inet_aton(self.gateway) if self.gateway else NONE,
            socket.inet_aton(self.server),
            self.seconds,
            self.renew,
            self.rebind,
            resolvers,
            classless_routes.pack(self.routes),
        )

    def as_assignment(self, age: float) -> str | None:
        """As `Given` has it. Towards its end any server is asked for more time."""
        if age >= self.seconds:
            return None
        server = ANY if age >= self.rebind else self.server
        routes = "".join(f",{prefix}={hop}" for prefix, hop in self.routes)
        return f"{self.address}/{self.length},{self.gateway or ''},{server}{routes}"

    def change_times(self) -> tuple[int, ...]:
        """As `Given` has it."""
        return self.rebind, self.seconds

    def describe(self, _: float) -> str:
        """As `Given` has it."""
        ways = f", gateway {self.gateway}" if self.gateway else ""
        ways += "".join(f", {prefix} via {hop}" for prefix, hop in self.routes)
        return f"{self.address}/{self.length}{ways} for {self.seconds} s from {self.server}"


def lease_from_message(message: Message, taken: Iterable[Prefix]) -> Lease:
    """The lease that a message gives; `taken` are the prefixes of the other interfaces.

    Raises LeaseError.
    """
    options = message.options
    seconds = _number(options, SECONDS)
    if seconds is None:
        raise LeaseError("it says no time")
    seconds = min(seconds, MOST_SECONDS)
    renew, rebind = _times(options, seconds)
    gateway, routes = _ways(options)
    address, others = socket.inet_ntoa(message.address), tuple(taken)
    length = _length(options.get(MASK, b""))
    found = Lease(
        address=address,
        length=length,
        gateway=gateway,
        server=_text(options.get(SERVER, b""), "server"),
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(
            socket.inet_ntoa(one)
            for one in _addresses(options.get(RESOLVERS, b""), "resolvers")
            if is_host(one)
        )[:MOST_RESOLVERS],
        routes=classless_routes.usable(routes, address, length, others),
    )
    return checked(found, others)


def checked(lease: Lease, taken: Iterable[Prefix]) -> Lease:
    """The lease, where it can be used: an address as `check_address` wants it, of a server on this
    side, and times that follow one another.

    Raises LeaseError.
    """
    others = tuple(taken)
    check_address(lease.address, lease.length, lease.gateway, others)
    classless_routes.check(lease.routes, lease.address, lease.length, others)
    if not is_host(socket.inet_aton(lease.server)):
        raise LeaseError(f"{lease.server} is no server")
    if any(overlap((value(lease.server), BITS), prefix, BITS) for prefix in others):
        raise LeaseError(f"{lease.server} is no server of this interface's side")
    if lease.server == lease.address:
        raise LeaseError(f"{lease.server} is both the server and the address given")
    if not LEAST_SECONDS <= lease.seconds <= MOST_SECONDS:
        raise LeaseError(f"it lasts {lease.seconds} s; {LEAST_SECONDS} is the least")
    if not LEAST_RENEWAL <= lease.renew < lease.rebind < lease.seconds:
        raise LeaseError(f"its times are {lease.renew}, {lease.rebind} and {lease.seconds} s")
    return lease


def check_address(address: str, length: int, gateway: str | None, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless it is one host's address, in a prefix that is nobody else's, and
    the gateway another host's in it.
    """
    number = value(address)
    if not SHORTEST <= length <= LONGEST:
        raise LeaseError(f"its prefix has a length of {length}, not of {SHORTEST} to {LONGEST}")
    if not is_host(socket.inet_aton(address)):
        raise LeaseError(f"{address} is no address")
    if is_network_or_broadcast(number, length):
        raise LeaseError(f"{address}/{length} is the network itself or its broadcast")
    for prefix in (*NOBODY, *taken):
        if overlap((number, length), prefix, BITS):
            raise LeaseError(f"{address}/{length} overlaps with {written(prefix)}")
    if gateway is not None and not is_other_host_on_link(value(gateway), number, length):
        raise LeaseError(f"the gateway {gateway} is no host of the address's prefix")


def unpack(data: bytes, taken: Iterable[Prefix]) -> Lease:
    """The lease in bytes that need not be what `Lease.pack` made.

    Raises LeaseError.
    """
    if len(data) != RECORD.size:
        raise LeaseError("it has another size")
    address, length, gateway, server, seconds, renew, rebind, rest, routes = RECORD.unpack(data)
    resolvers = (rest[at : at + 4] for at in range(0, len(rest), 4))
    found = Lease(
        address=socket.inet_ntoa(address),
        length=length,
        gateway=socket.inet_ntoa(gateway) if gateway != NONE else None,
        server=socket.inet_ntoa(server),
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(socket.inet_ntoa(one) for one in resolvers if is_host(one)),
        routes=classless_routes.unpack(routes),
    )
    return checked(found, taken)


def _number(options: Mapping[int, bytes], code: int) -> int | None:
    """An option that is a number of seconds; None where there is none."""
    found = options.get(code)
    return int.from_bytes(found, "big") if found is not None and len(found) == 4 else None  # noqa: PLR2004


def _times(options: Mapping[int, bytes], seconds: int) -> tuple[int, int]:
    """When to renew and to rebind: the server's word where it makes sense, else half and seven
    eighths of the time (RFC 2131, section 4.4.5).
    """
    renew = _number(options, RENEW)
    rebind = _number(options, REBIND)
    if rebind is None or not LEAST_RENEWAL < rebind < seconds:
        rebind = seconds * 7 // 8
    if renew is None or not LEAST_RENEWAL <= renew < rebind:
        renew = min(seconds // 2, rebind - 1)
    return renew, rebind


def _length(mask: bytes) -> int:
    """How many bits of a mask are set, in a row from the first.

    Raises LeaseError.
    """
    number = int.from_bytes(mask, "big")
    length = number.bit_count()
    if len(mask) != 4 or number != (1 << BITS) - (1 << BITS - length):  # noqa: PLR2004
        raise LeaseError("it says no prefix")
    return length


def _ways(options: Mapping[int, bytes]) -> tuple[str | None, tuple[Route, ...]]:
    """The gateway and other routes: where there are routes the routers are not read (RFC 3442).

    Raises LeaseError.
    """
    if ROUTES in options:
        return classless_routes.parse(options[ROUTES])
    routers = _addresses(options.get(ROUTERS, b""), "routers")
    return socket.inet_ntoa(routers[0]) if routers else None, ()


def _addresses(data: bytes, name: str) -> list[bytes]:
    if len(data) % 4:
        raise LeaseError(f"its {name} are no addresses")
    return [data[at : at + 4] for at in range(0, len(data), 4)]


def _text(data: bytes, name: str) -> str:
    if len(data) != 4:  # noqa: PLR2004
        raise LeaseError(f"it names no {name}")
    return socket.inet_ntoa(data)
