"""What a server's reply assigns, as real servers write it.

In: a `Message`.  Out: an `Offer`: a `Lease` that can be used, and a remark about each thing that
was left out of it or put in the place of what is missing; or a `LeaseError`.

What is needed must be right: the address, its prefix, and a time that is long enough.  All else is
taken where it can be used, and left out where it cannot.
"""

from __future__ import annotations

import socket

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp import classless_routes
from pbrinit.wire.dhcp.lease import (
    MAX_RESOLVERS,
    MAX_SECONDS,
    MIN_RENEWAL,
    Lease,
    check_lease,
    server_fault,
)
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
from pbrinit.wire.prefix import BITS, as_int, is_unicast, overlap
from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.dhcp.classless_routes import Route
    from pbrinit.wire.dhcp.message import Message
    from pbrinit.wire.prefix import Prefix

ADDRESS = 4
DEFAULT_SECONDS = 3600
"""The lease time in seconds where the server sends none."""

INFINITE = 0xFFFFFFFF
CLASSES = ((0x80, 8), (0xC0, 16), (0xE0, 24))
"""The prefix length of an address whose first octet is below a number (RFC 791, section 3.2)."""

MAX_REMARKS = 16
DEFAULT_ROUTE = "0.0.0.0/0"


class Offer(Record):
    """A lease that a server offers or gives, the server's identifier as it wrote it, or None, and
    the remarks about what was left out.
    """

    lease: Lease
    identifier: bytes | None
    remarks: tuple[str, ...]


def offer_from_message(
    message: Message, sender: bytes, taken: Iterable[Prefix], before: Lease | None = None
) -> Offer:
    """What a server's reply assigns; `sender` is the address that it came from, `taken` are the
    prefixes of the other interfaces. `before` is the lease that this one confirms: where the reply
    has no mask or server, those are still right.

    Raises LeaseError where what is needed is not right.
    """
    if before is not None and socket.inet_aton(before.address) != message.address:
        before = None
    reading = _Reading(message, sender, tuple(taken), before)
    lease = reading.lease()
    check_lease(lease, reading.taken)
    remarks = tuple(dict.fromkeys(reading.remarks))
    if len(remarks) > MAX_REMARKS:
        more = f"{len(remarks) - MAX_REMARKS} more things of it are left out"
        remarks = (*remarks[:MAX_REMARKS], more)
    return Offer(lease=lease, identifier=reading.identifier, remarks=remarks)


class _Reading:
    """One reply that is being read, and the remarks about it so far."""

    def __init__(
        self, message: Message, sender: bytes, taken: tuple[Prefix, ...], before: Lease | None
    ) -> None:
        self.remarks = list(message.faults)
        self.taken = taken
        self._options = message.options
        self._address = socket.inet_ntoa(message.address)
        self._origins = message.next_server, sender
        self._before = before
        self._length = self._prefix_length()
        self.identifier = self._fixed(SERVER_ID, "server identifier")

    def lease(self) -> Lease:
        """The lease, unchecked. Raises LeaseError."""
        seconds = self._seconds()
        renew, rebind = self._times(seconds)
        gateway, routes = self._gateway_and_routes()
        server, by_broadcast = self._server(gateway, routes)
        return Lease(
            address=self._address,
            length=self._length,
            gateway=gateway,
            server=server,
            by_broadcast=by_broadcast,
            seconds=seconds,
            renew=renew,
            rebind=rebind,
            resolvers=self._resolvers(),
            routes=routes,
        )

    def _fixed(self, code: int, name: str) -> bytes | None:
        """An option of 4 bytes; None where it is missing or has another size."""
        value = self._options.get(code)
        if value is not None and len(value) != ADDRESS:
            self.remarks.append(f"its {name} is left out: it has {len(value)} bytes, not 4")
            return None
        return value

    def _number(self, code: int, name: str) -> int | None:
        value = self._fixed(code, name)
        return None if value is None else int.from_bytes(value, "big")

    def _addresses(self, code: int, name: str) -> list[bytes]:
        """The whole addresses of an option."""
        data = self._options.get(code, b"")
        if len(data) % ADDRESS:
            self.remarks.append(f"its {name} are not whole addresses: the last bytes are left out")
        ends = range(ADDRESS, len(data) + 1, ADDRESS)
        return list(dict.fromkeys(data[end - ADDRESS : end] for end in ends))

    def _seconds(self) -> int:
        seconds = self._number(LEASE_TIME, "lease time")
        if seconds is None:
            self.remarks.append(f"it has no lease time: it is used for {DEFAULT_SECONDS} s")
            return DEFAULT_SECONDS
        return min(seconds, MAX_SECONDS)

    def _times(self, seconds: int) -> tuple[int, int]:
        """When to renew and to rebind: the server's values where they are in order, else half and
        seven eighths of the lease time (RFC 2131, section 4.4.5).
        """
        renew = self._number(RENEWAL_TIME, "renewal time")
        rebind = self._number(REBINDING_TIME, "rebinding time")
        if rebind is None or not MIN_RENEWAL < rebind < seconds:
            self._remark_time("rebinding", rebind, seconds)
            rebind = seconds * 7 // 8
        if renew is None or not MIN_RENEWAL <= renew < rebind:
            self._remark_time("renewal", renew, seconds)
            renew = min(seconds // 2, rebind - 1)
        return renew, rebind

    def _remark_time(self, name: str, value: int | None, seconds: int) -> None:
        """Remark on a time that is not used; an infinite lease is never renewed."""
        if value is not None and (value, seconds) != (INFINITE, MAX_SECONDS):
            self.remarks.append(f"its {name} time of {value} s is left out: it does not fit in")

    def _prefix_length(self) -> int:
        """The prefix length of the subnet mask; where there is no valid one that of the lease
        before, else that of the address's class.
        """
        value = self._fixed(MASK, "subnet mask")
        mask = int.from_bytes(value or b"", "big")
        length = mask.bit_count()
        if length and mask == (1 << BITS) - (1 << BITS - length):
            return length
        words = "no subnet mask" if value is None else f"no valid subnet mask ({mask:#010x})"
        if self._before is not None:
            self.remarks.append(f"it has {words}: /{self._before.length} is used, as before")
            return self._before.length
        first = as_int(self._address) >> BITS - 8
        length = next((length for end, length in CLASSES if first < end), BITS)
        self.remarks.append(f"it has {words}: /{length} is used, by the address's class")
        return length

    def _gateway_and_routes(self) -> tuple[str | None, tuple[Route, ...]]:
        """The gateway and the other routes. Where there are routes (option 121) the routers are
        ignored (RFC 3442), but for an option that cannot be read to its end.
        """
        data = self._options.get(CLASSLESS_ROUTES)
        routes, is_whole = classless_routes.parse(data or b"")
        is_malformed = data is not None and not (is_whole and routes)
        if is_malformed:
            self.remarks.append("its option 121 is malformed: the rest of it is left out")
        defaults = [hop for prefix, hop in routes if prefix == DEFAULT_ROUTE]
        others = [route for route in routes if route[0] != DEFAULT_ROUTE]
        if data is None or (is_malformed and not defaults):
            defaults = [*map(socket.inet_ntoa, self._addresses(ROUTERS, "routers"))]
        own = self._address, self._length
        first = next((router for router in defaults if self._may_route(router)), None)
        wanted = classless_routes.with_host_routes(others, first, *own)
        usable, remarks = classless_routes.usable(wanted, *own, self.taken)
        self.remarks += remarks
        return self._gateway(defaults, classless_routes.on_link_prefixes(usable, *own)), usable

    def _may_route(self, router: str) -> bool:
        """Whether a router can be beyond the address's prefix."""
        whole = as_int(router), BITS
        elsewhere = any(overlap(whole, prefix, BITS) for prefix in self.taken)
        return is_unicast(socket.inet_aton(router)) and router != self._address and not elsewhere

    def _gateway(self, routers: Iterable[str], on_link: list[Prefix]) -> str | None:
        """The first router that can be used."""
        for router in routers:
            if classless_routes.is_router(as_int(router), as_int(self._address), on_link):
                return router
            fault = f"it is not another host of {classless_routes.FORMS}"
            self.remarks.append(f"its router {router} is left out: {fault}")
        return None

    def _server(self, gateway: str | None, routes: tuple[Route, ...]) -> tuple[str, bool]:
        """The server, and whether more time is asked for by broadcast: where the server does not
        say who it is, or is not reached.
        """
        if self.identifier is not None:
            server = socket.inet_ntoa(self.identifier)
            fault = server_fault(server, self._address, self.taken)
            if fault is None:
                by_broadcast = not gateway and not self._is_reached(server, routes)
                if by_broadcast:
                    what = f"its server {server} is reached by no route"
                    self.remarks.append(f"{what}: more time is asked for by broadcast")
                return server, by_broadcast
            self.remarks.append(f"its server identifier {server} is left out: {fault}")
        what = "it has no usable server identifier"
        if self._before is not None and not self._before.by_broadcast:
            self.remarks.append(f"{what}: {self._before.server} is its server, as before")
            return self._before.server, False
        for origin in map(socket.inet_ntoa, self._origins):
            if server_fault(origin, self._address, self.taken) is None:
                what += f": {origin} is taken for its server"
                self.remarks.append(f"{what}, and more time is asked for by broadcast")
                return origin, True
        raise LeaseError("it does not say which server it is from")

    def _is_reached(self, server: str, routes: tuple[Route, ...]) -> bool:
        """Whether the server is on the link or behind one of the routes."""
        whole = as_int(server), BITS
        prefixes = [(as_int(self._address), self._length)]
        prefixes += [classless_routes.as_prefix(route) for route in routes]
        return any(overlap(whole, prefix, BITS) for prefix in prefixes)

    def _resolvers(self) -> tuple[str, ...]:
        """The first resolvers that can be used."""
        found = self._addresses(RESOLVERS, "resolvers")
        usable = [socket.inet_ntoa(resolver) for resolver in found if is_unicast(resolver)]
        unusable = [socket.inet_ntoa(resolver) for resolver in found if not is_unicast(resolver)]
        for resolver in (*unusable, *usable[MAX_RESOLVERS:]):
            why = "it is no host's address" if resolver in unusable else "there are enough others"
            self.remarks.append(f"its resolver {resolver} is left out: {why}")
        return tuple(usable[:MAX_RESOLVERS])
