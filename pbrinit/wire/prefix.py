"""Prefixes as numbers, and which IPv4 addresses a host can have.

In: addresses as text, bytes or numbers.  Out: the same.  A prefix is its first address as a number
and its length in bits.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    Prefix = tuple[int, int]

BITS = 32
ROOMS: Prefix = (169 << 24 | 254 << 16 | 77 << 8, 24)
"""The addresses by which rooms reach each other (policy/room_addresses.py)."""

LINK_LOCAL: Prefix = (169 << 24 | 254 << 16, 16)
RESERVED: tuple[Prefix, ...] = (
    (0, 8), (127 << 24, 8), LINK_LOCAL, (224 << 24, 4), (240 << 24, 4),
)  # fmt: skip
"""IPv4 addresses that no host has: this network, loopback, link-local, multicast, reserved
(RFC 6890)."""

NOWHERE = (ROOMS, *(prefix for prefix in RESERVED if prefix != LINK_LOCAL))
"""IPv4 addresses to which no router leads, or that lead to this machine itself."""


def as_int(address: str) -> int:
    """The IPv4 address as a number. Raises OSError where the text is not an address."""
    return int.from_bytes(socket.inet_aton(address), "big")


def as_text(prefix: Prefix) -> str:
    """The IPv4 prefix as text: `192.0.2.0/24`."""
    return f"{socket.inet_ntoa(prefix[0].to_bytes(4, 'big'))}/{prefix[1]}"


def host_mask(length: int) -> int:
    """The host part of an IPv4 prefix of this length, with all bits set."""
    return (1 << BITS - length) - 1


def overlap(first: Prefix, second: Prefix, bits: int) -> bool:
    """Whether two prefixes have an address in common; `bits` is the size of an address."""
    shift = bits - min(first[1], second[1])
    return first[0] >> shift == second[0] >> shift


def is_host(address: bytes) -> bool:
    """Whether a host may have this IPv4 address."""
    number = int.from_bytes(address, "big")
    return not any(overlap((number, BITS), prefix, BITS) for prefix in RESERVED)


def is_unicast(address: bytes) -> bool:
    """Whether it is the IPv4 address of one machine that is not this one. Link-local ones are:
    clouds have a DHCP server, a resolver or a router at one.
    """
    number = int.from_bytes(address, "big")
    return not any(overlap((number, BITS), prefix, BITS) for prefix in NOWHERE)


def is_network_or_broadcast(address: int, length: int) -> bool:
    """Whether the IPv4 address is the first or the last one of its prefix; one of a /31 or /32 is a
    host's (RFC 3021).
    """
    return length < BITS - 1 and address & host_mask(length) in (0, host_mask(length))
