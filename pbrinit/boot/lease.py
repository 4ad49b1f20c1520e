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

from pbrinit.boot import dhcpmessage
from pbrinit.boot.given import Given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pbrinit.boot.dhcpmessage import Message

    Prefix = tuple[int, int]

BITS = 32
LONGEST, SHORTEST = 30, 8
"""Prefixes: longer ones have no gateway in them, shorter ones are half of the Internet."""

LEAST_SECONDS, MOST_SECONDS = 60, 0x7FFFFFFF
"""A lease that is shorter changes the machine more than it serves; for ever is 68 years."""

LEAST_RENEWAL = 5
"""Seconds before which no lease is renewed, whatever the server wants."""

MOST_RESOLVERS = 3
"""As many as a resolver asks (MAXNS, resolv.conf(5))."""

ANY = "any"
RECORD = struct.Struct("!4sB4s4sIII12s")
NONE = bytes(4)
NOBODY: tuple[Prefix, ...] = (
    (0, 8), (127 << 24, 8), (169 << 24 | 254 << 16, 16), (224 << 24, 4), (240 << 24, 4),
)  # fmt: skip
"""What is no one host's address: this network, loopback, link-local, groups, reserved."""


class LeaseError(Exception):
    """A lease that cannot be used; the text says why."""


class Lease(Given):
    """An address with the length of its prefix, and what goes with it; addresses are text.

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
        )

    def written(self, age: float) -> str | None:
        """As `Given` has it. Towards its end any server is asked for more time."""
        if age >= self.seconds:
            return None
        server = ANY if age >= self.rebind else self.server
        return f"{self.address}/{self.length},{self.gateway or ''},{server}"

    def changes(self) -> tuple[int, ...]:
        """As `Given` has it."""
        return self.rebind, self.seconds

    def told(self, _: float) -> str:
        """As `Given` has it."""
        gateway = f", gateway {self.gateway}" if self.gateway else ""
        return f"{self.address}/{self.length}{gateway} for {self.seconds} s from {self.server}"


def given(message: Message, taken: Iterable[Prefix]) -> Lease:
    """The lease that a message gives; `taken` are the prefixes of the other interfaces.

    Raises LeaseError.
    """
    options = message.options
    seconds = _number(options, dhcpmessage.SECONDS)
    if seconds is None:
        raise LeaseError("it says no time")
    seconds = min(seconds, MOST_SECONDS)
    renew, rebind = _times(options, seconds)
    found = Lease(
        address=socket.inet_ntoa(message.address),
        length=_length(options.get(dhcpmessage.MASK, b"")),
        gateway=_gateway(options),
        server=_text(options.get(dhcpmessage.SERVER, b""), "server"),
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(
            socket.inet_ntoa(one)
            for one in _addresses(options.get(dhcpmessage.RESOLVERS, b""), "resolvers")
            if _is_host(one)
        )[:MOST_RESOLVERS],
    )
    return checked(found, taken)


def checked(lease: Lease, taken: Iterable[Prefix]) -> Lease:
    """The lease, where it can be used: an address as `check_address` wants it, of a server on this
    side, and times that follow one another.

    Raises LeaseError.
    """
    others = tuple(taken)
    check_address(lease.address, lease.length, lease.gateway, others)
    if not _is_host(socket.inet_aton(lease.server)):
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
    if not _is_host(socket.inet_aton(address)):
        raise LeaseError(f"{address} is no address")
    if _is_end(number, length):
        raise LeaseError(f"{address}/{length} is the network itself or its broadcast")
    for prefix in (*NOBODY, *taken):
        if overlap((number, length), prefix, BITS):
            raise LeaseError(f"{address}/{length} overlaps with {_written(prefix)}")
    if gateway is not None:
        hop = value(gateway)
        near = overlap((hop, BITS), (number, length), BITS)
        if not near or hop == number or _is_end(hop, length):
            raise LeaseError(f"the gateway {gateway} is no host of the address's prefix")


def unpack(data: bytes, taken: Iterable[Prefix]) -> Lease:
    """The lease in bytes that need not be what `Lease.pack` made.

    Raises LeaseError.
    """
    if len(data) != RECORD.size:
        raise LeaseError("it has another size")
    address, length, gateway, server, seconds, renew, rebind, rest = RECORD.unpack(data)
    resolvers = (rest[at : at + 4] for at in range(0, len(rest), 4))
    found = Lease(
        address=socket.inet_ntoa(address),
        length=length,
        gateway=socket.inet_ntoa(gateway) if gateway != NONE else None,
        server=socket.inet_ntoa(server),
        seconds=seconds,
        renew=renew,
        rebind=rebind,
        resolvers=tuple(socket.inet_ntoa(one) for one in resolvers if _is_host(one)),
    )
    return checked(found, taken)


def value(address: str) -> int:
    """The address as a number."""
    return int.from_bytes(socket.inet_aton(address), "big")


def _number(options: Mapping[int, bytes], code: int) -> int | None:
    """An option that is a number of seconds; None where there is none."""
    found = options.get(code)
    return int.from_bytes(found, "big") if found is not None and len(found) == 4 else None  # noqa: PLR2004


def _times(options: Mapping[int, bytes], seconds: int) -> tuple[int, int]:
    """When to renew and to rebind: the server's word where it makes sense, else half and seven
    eighths of the time (RFC 2131, section 4.4.5).
    """
    renew = _number(options, dhcpmessage.RENEW)
    rebind = _number(options, dhcpmessage.REBIND)
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


def _gateway(options: Mapping[int, bytes]) -> str | None:
    """The gateway: of the routes the default's, where there are routes, else the first router
    (RFC 3442). Other routes are not used: an address lives behind one interface.

    Raises LeaseError.
    """
    if dhcpmessage.ROUTES in options:
        routes = _routes(options[dhcpmessage.ROUTES])
        return next((socket.inet_ntoa(hop) for length, hop in routes if length == 0), None)
    routers = _addresses(options.get(dhcpmessage.ROUTERS, b""), "routers")
    return socket.inet_ntoa(routers[0]) if routers else None


def _routes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length of each route's prefix and its next hop."""
    at = 0
    while at < len(data):
        length = data[at]
        end = at + 1 + (length + 7) // 8 + 4
        if length > BITS or end > len(data):
            raise LeaseError("its routes are none")
        yield length, data[end - 4 : end]
        at = end


def _addresses(data: bytes, name: str) -> list[bytes]:
    if len(data) % 4:
        raise LeaseError(f"its {name} are no addresses")
    return [data[at : at + 4] for at in range(0, len(data), 4)]


def _text(data: bytes, name: str) -> str:
    if len(data) != 4:  # noqa: PLR2004
        raise LeaseError(f"it names no {name}")
    return socket.inet_ntoa(data)


def _is_host(address: bytes) -> bool:
    number = int.from_bytes(address, "big")
    return not any(overlap((number, BITS), prefix, BITS) for prefix in NOBODY)


def _is_end(address: int, length: int) -> bool:
    """Whether it is the first or the last address of its prefix."""
    rest = (1 << BITS - length) - 1
    return address & rest in (0, rest)


def overlap(one: Prefix, other: Prefix, bits: int) -> bool:
    """Whether two prefixes, of addresses of so many bits, have some in common."""
    shift = bits - min(one[1], other[1])
    return one[0] >> shift == other[0] >> shift


def _written(prefix: Prefix) -> str:
    return f"{socket.inet_ntoa(prefix[0].to_bytes(4, 'big'))}/{prefix[1]}"
