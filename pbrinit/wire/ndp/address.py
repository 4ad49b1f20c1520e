"""An address from a router advertisement, limited to what a policy can use.

In: the bytes that `AdvertisedAddress.pack` made, or addresses.  Out: an `AdvertisedAddress` that
has passed `check_advertised`, or a `LeaseError` that says why it cannot be used.

The bytes have a fixed size and contain only numbers, as those of a lease do, and for the same
reason.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import Assignment, LeaseError
from pbrinit.wire.dhcp.lease import MAX_RESOLVERS, MAX_SECONDS
from pbrinit.wire.prefix import overlap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.prefix import Prefix

BITS, LENGTH = 128, 64
MIN_SECONDS = 60
"""Shortest valid lifetime in seconds: a shorter one would change the machine too often."""

RECORD = struct.Struct("!16sB16sII48s")
ADDRESS = 16
NO_ADDRESS = bytes(ADDRESS)
GLOBAL: Prefix = (0x2000 << 112, 3)
HOST_PREFIXES: tuple[Prefix, ...] = (GLOBAL, (0xFC00 << 112, 7))
"""Where a host's address can be that is not link-local: global unicast (RFC 4291, section 2.5.4)
and unique local (RFC 4193)."""

ROOM_PREFIX = (0xFD70_6272_696E_6974 << 64, 112)
"""The addresses by which rooms reach each other (policy/room_addresses.py)."""

LINK_LOCAL = (0xFE80 << 112, 10)


class AdvertisedAddress(Assignment):
    """An address in a prefix that a router advertises; addresses are text. `length` is 64 where the
    prefix is on the link, else 128.

    Times are in seconds since the client process reported it: `seconds` until the address is no
    longer valid, `gateway_seconds` until `router` is no longer the default router, 0 where it is
    none.
    """

    address: str
    length: int
    router: str
    seconds: int
    gateway_seconds: int

    def pack(self) -> bytes:
        """As in `Assignment`."""
        resolvers = b"".join(_packed(resolver) for resolver in self.resolvers)
        ends = _packed(self.address), self.length, _packed(self.router)
        return RECORD.pack(*ends, self.seconds, self.gateway_seconds, resolvers)

    def as_assignment(self, age: float) -> str | None:
        """As in `Assignment`."""
        if age >= self.seconds:
            return None
        return f"{self.address}/{self.length},{self._gateway(age) or ''}"

    def change_times(self) -> tuple[int, ...]:
        """As in `Assignment`."""
        return self.gateway_seconds, self.seconds

    def describe(self, age: float) -> str:
        """As in `Assignment`."""
        hop = self._gateway(age)
        words = f", gateway {hop}" if hop else ""
        left = self.seconds - int(age)
        return f"{self.address}/{self.length}{words} for {left} s from {self.router}"

    def _gateway(self, age: float) -> str | None:
        """The router, while it is the default router."""
        return self.router if age < self.gateway_seconds else None


def eui64_address(prefix: bytes, mac: bytes) -> bytes:
    """The address with the modified EUI-64 interface identifier of a hardware address, in a prefix
    of 64 bits (RFC 4291, appendix A). Whoever knows the hardware address knows this address.
    """
    return prefix[:8] + bytes((mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE)) + mac[3:]


def check_advertised(assigned: AdvertisedAddress, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless the address can be used; `taken`: prefixes of other interfaces."""
    check_address(assigned.address, assigned.length, assigned.router, taken)
    if not 0 < assigned.seconds <= MAX_SECONDS:
        raise LeaseError(f"it is valid for {assigned.seconds} s")
    if not 0 <= assigned.gateway_seconds <= MAX_SECONDS:
        raise LeaseError(f"its router lifetime is {assigned.gateway_seconds} s")


def check_address(address: str, length: int, gateway: str | None, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless `address` is a host's address whose prefix of 64 or 128 bits does
    not overlap with `taken` or with the addresses of rooms, and `gateway` is another host's
    link-local address.
    """
    number = as_int(address)
    if length not in (LENGTH, BITS):
        raise LeaseError(f"its prefix has a length of {length}, not of {LENGTH} or {BITS}")
    if not _is_host(_packed(address)):
        raise LeaseError(f"{address} is not a host's address")
    for prefix in (ROOM_PREFIX, *taken):
        if overlap((number, length), prefix, BITS):
            raise LeaseError(f"{address}/{length} overlaps with {_prefix_text(prefix)}")
    if gateway is not None:
        hop = as_int(gateway)
        host_mask = (1 << BITS - LENGTH) - 1
        is_on_link = overlap((hop, BITS), LINK_LOCAL, BITS)
        if not is_on_link or hop & host_mask in (0, number & host_mask):
            raise LeaseError(f"the gateway {gateway} is not another host of the link")


def unpack(data: bytes, taken: Iterable[Prefix]) -> AdvertisedAddress:
    """The address that is in bytes from an untrusted process; `taken` as in `check_advertised`.

    Raises LeaseError.
    """
    if len(data) != RECORD.size:
        raise LeaseError("it has the wrong size")
    address, length, router, seconds, gateway_seconds, rest = RECORD.unpack(data)
    resolvers = (rest[at : at + ADDRESS] for at in range(0, len(rest), ADDRESS))
    assigned = AdvertisedAddress(
        address=as_text(address),
        length=length,
        router=as_text(router),
        seconds=seconds,
        gateway_seconds=gateway_seconds,
        resolvers=usable_resolvers(resolver for resolver in resolvers if resolver != NO_ADDRESS),
    )
    check_advertised(assigned, taken)
    return assigned


def usable_resolvers(resolvers: Iterable[bytes]) -> tuple[str, ...]:
    """The resolvers that can be used, at most MAX_RESOLVERS, as text. Link-local ones cannot: they
    would need a device.
    """
    hosts = (as_text(resolver) for resolver in resolvers if _is_host(resolver))
    return tuple(dict.fromkeys(hosts))[:MAX_RESOLVERS]


def is_global(address: str) -> bool:
    """Whether an address is global, and not unique local."""
    return overlap((as_int(address), BITS), GLOBAL, BITS)


def _is_host(address: bytes) -> bool:
    number = int.from_bytes(address, "big")
    return any(overlap((number, BITS), prefix, BITS) for prefix in HOST_PREFIXES)


def as_int(address: str) -> int:
    """The IPv6 address as a number. Raises OSError where the text is not an address."""
    return int.from_bytes(_packed(address), "big")


def as_text(address: bytes) -> str:
    """The 16 bytes of an IPv6 address as text."""
    return socket.inet_ntop(socket.AF_INET6, address)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def _prefix_text(prefix: Prefix) -> str:
    return f"{as_text(prefix[0].to_bytes(ADDRESS, 'big'))}/{prefix[1]}"
