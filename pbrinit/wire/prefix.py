"""Prefixes of addresses as numbers, and what of IPv4 is a host's.

In: text and numbers.  Out: the same.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    Prefix = tuple[int, int]

BITS = 32
NOBODY: tuple[Prefix, ...] = (
    (0, 8), (127 << 24, 8), (169 << 24 | 254 << 16, 16), (224 << 24, 4), (240 << 24, 4),
)  # fmt: skip
"""What is no one host's address: this network, loopback, link-local, groups, reserved."""


def value(address: str) -> int:
    """The address as a number."""
    return int.from_bytes(socket.inet_aton(address), "big")


def written(prefix: Prefix) -> str:
    """A prefix as a person writes it."""
    return f"{socket.inet_ntoa(prefix[0].to_bytes(4, 'big'))}/{prefix[1]}"


def host_mask(length: int) -> int:
    """The bits beyond the length of a prefix, all set."""
    return (1 << BITS - length) - 1


def overlap(one: Prefix, other: Prefix, bits: int) -> bool:
    """Whether two prefixes, of addresses of so many bits, have some in common."""
    shift = bits - min(one[1], other[1])
    return one[0] >> shift == other[0] >> shift


def is_host(address: bytes) -> bool:
    """Whether one host may have it."""
    number = int.from_bytes(address, "big")
    return not any(overlap((number, BITS), prefix, BITS) for prefix in NOBODY)


def is_network_or_broadcast(address: int, length: int) -> bool:
    """Whether it is the first or the last address of its prefix."""
    return address & host_mask(length) in (0, host_mask(length))


def is_other_host_on_link(hop: int, address: int, length: int) -> bool:
    """Whether it is another host's in the prefix of an address."""
    near = overlap((hop, BITS), (address, length), BITS)
    return near and hop != address and not is_network_or_broadcast(hop, length)
