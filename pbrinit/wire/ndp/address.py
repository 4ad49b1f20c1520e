"""What a router gives by advertisement: an address for some time, held to what a policy can use.

In: a prefix that it advertised, or the bytes that `Advertised.pack` made of one.  Out: an
`Advertised`, or a `LeaseError` that says what it cannot be used for; and what the machine is to be
with it.  What is there has passed `checked`.

The bytes are of fixed size, numbers alone, as those of a lease are, and for the same reason.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.wire.assignment import Assignment, LeaseError
from pbrinit.wire.dhcp.lease import MOST_RESOLVERS, MOST_SECONDS
from pbrinit.wire.prefix import overlap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.prefix import Prefix

BITS, LENGTH = 128, 64
LEAST_SECONDS = 60
"""What is valid for less changes the machine more than it serves."""

RECORD = struct.Struct("!16s16sII48s")
ADDRESS = 16
NONE = bytes(ADDRESS)
HOSTS: tuple[Prefix, ...] = ((0x2000 << 112, 3), (0xFC00 << 112, 7))
"""Where a host's address can be that is no link's: global unicast (RFC 4291, section 2.5.4) and
unique local (RFC 4193)."""

INSIDE = (0xFD70_6272_696E_6974 << 64, 112)
"""What rooms call each other by (inside.INSIDE)."""

NEAR = (0xFE80 << 112, 10)


class AdvertisedAddress(Assignment):
    """An address in a prefix of a router; addresses are text.

    Seconds are from when it was told on: `seconds` until the address is no longer valid,
    `gateway_seconds` until `router` is no longer the way to everybody else, 0 where it is none.
    """

    address: str
    router: str
    seconds: int
    gateway_seconds: int

    def pack(self) -> bytes:
        """As `Given` has it."""
        resolvers = b"".join(_packed(one) for one in self.resolvers)
        ends = _packed(self.address), _packed(self.router)
        return RECORD.pack(*ends, self.seconds, self.gateway_seconds, resolvers)

    def as_assignment(self, age: float) -> str | None:
        """As `Given` has it."""
        if age >= self.seconds:
            return None
        return f"{self.address}/{LENGTH},{self._gateway(age) or ''}"

    def change_times(self) -> tuple[int, ...]:
        """As `Given` has it."""
        return self.gateway_seconds, self.seconds

    def describe(self, age: float) -> str:
        """As `Given` has it."""
        hop = self._gateway(age)
        words = f", gateway {hop}" if hop else ""
        return f"{self.address}/{LENGTH}{words} for {self.seconds - int(age)} s from {self.router}"

    def _gateway(self, age: float) -> str | None:
        """Its router, for as long as that is the way to everybody else."""
        return self.router if age < self.gateway_seconds else None


def eui64_address(prefix: bytes, mac: bytes) -> bytes:
    """The address of the device with this hardware address in a prefix of 64 bits (RFC 4291,
    appendix A): who knows the card knows the address.
    """
    return prefix[:8] + bytes((mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE)) + mac[3:]


def checked(found: AdvertisedAddress, taken: Iterable[Prefix]) -> AdvertisedAddress:
    """It, where it can be used.

    Raises LeaseError.
    """
    check_address(found.address, LENGTH, found.router, taken)
    if not 0 < found.seconds <= MOST_SECONDS:
        raise LeaseError(f"it is valid for {found.seconds} s")
    if not 0 <= found.gateway_seconds <= MOST_SECONDS:
        raise LeaseError(f"its router is one for {found.gateway_seconds} s")
    return found


def check_address(address: str, length: int, gateway: str | None, taken: Iterable[Prefix]) -> None:
    """Raises LeaseError unless it is one host's address, in a prefix that is nobody else's, and
    the gateway another host's on the link.
    """
    number = value(address)
    if length != LENGTH:
        raise LeaseError(f"its prefix has a length of {length}, not of {LENGTH}")
    if not any(overlap((number, BITS), prefix, BITS) for prefix in HOSTS):
        raise LeaseError(f"{address} is no address")
    for prefix in (INSIDE, *taken):
        if overlap((number, length), prefix, BITS):
            raise LeaseError(f"{address}/{length} overlaps with {_written(prefix)}")
    if gateway is not None:
        hop = value(gateway)
        rest = (1 << BITS - LENGTH) - 1
        if not overlap((hop, BITS), NEAR, BITS) or hop & rest in (0, number & rest):
            raise LeaseError(f"{gateway} is no other host of the link")


def unpack(data: bytes, taken: Iterable[Prefix]) -> AdvertisedAddress:
    """What is in bytes that need not be what `Advertised.pack` made.

    Raises LeaseError.
    """
    if len(data) != RECORD.size:
        raise LeaseError("it has another size")
    address, router, seconds, gateway_seconds, rest = RECORD.unpack(data)
    resolvers = (rest[at : at + ADDRESS] for at in range(0, len(rest), ADDRESS))
    found = AdvertisedAddress(
        address=text(address),
        router=text(router),
        seconds=seconds,
        gateway_seconds=gateway_seconds,
        resolvers=usable(one for one in resolvers if one != NONE),
    )
    return checked(found, taken)


def usable(resolvers: Iterable[bytes]) -> tuple[str, ...]:
    """Those that can be asked: hosts beyond the link, whose addresses need no device."""
    hosts = (
        text(one)
        for one in resolvers
        if any(overlap((int.from_bytes(one, "big"), BITS), prefix, BITS) for prefix in HOSTS)
    )
    return tuple(dict.fromkeys(hosts))[:MOST_RESOLVERS]


def value(address: str) -> int:
    """The address as a number."""
    return int.from_bytes(_packed(address), "big")


def text(address: bytes) -> str:
    """The address as a person writes it."""
    return socket.inet_ntop(socket.AF_INET6, address)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def _written(prefix: Prefix) -> str:
    return f"{text(prefix[0].to_bytes(ADDRESS, 'big'))}/{prefix[1]}"
