"""Router solicitations and router advertisements.

In: a hardware address, or an ICMPv6 message from any host.  Out: bytes, or an `Advertisement`, or a
`MessageError`.  No content of a message raises anything else.

Source: RFC 4861, sections 4.1, 4.2, 4.6 (the fields) and 6.1.2 (what is discarded); RFC 4191,
section 2.2 (the router preference); RFC 8106, section 5.1 (resolvers). Only the options for
prefixes and resolvers are read: no MTU and no routes; no redirects.
"""

from __future__ import annotations

import struct

SOLICITATION, ADVERTISEMENT = 133, 134
SOLICITATION_HEAD = struct.Struct("!BBHI")
ADVERTISEMENT_HEAD = struct.Struct("!BBHBBHII")
OPTION = struct.Struct("!BB")
UNIT = 8
"""The length of an option counts units of so many bytes."""

SOURCE_MAC, PREFIX, RESOLVERS = 1, 3, 25
PREFIX_FIELDS = struct.Struct("!BBBBIII16s")
RESOLVERS_HEAD = struct.Struct("!BBHI")
ON_LINK, AUTONOMOUS = 0x80, 0x40
PREFERENCES = (0, 1, 0, -1)
"""Router preferences by the two bits of the flags: medium, high, reserved, low. A reserved one is
medium (RFC 4191, section 2.2)."""

PREFERENCE_BIT = 3
ADDRESS = 16

HOP_LIMIT = 255
"""The hop limit of a message that no router has forwarded: its sender is on this link."""

MAX_SIZE = 1500
"""The longest message that is read: what fits into an Ethernet frame."""

LINK_LOCAL = bytes.fromhex("fe80")


class MessageError(Exception):
    """A message that is not a valid router advertisement; the text says why."""


class Prefix:
    """A prefix that a router advertises (RFC 4861, section 4.6.2); its lifetimes are in seconds."""

    def __init__(self, length: int, flags: int, valid: int, preferred: int, value: bytes) -> None:
        self.length = length
        self.on_link = bool(flags & ON_LINK)
        self.autonomous = bool(flags & AUTONOMOUS)
        self.valid = valid
        self.preferred = preferred
        self.value = value


class Advertisement:
    """What a router advertises: its router lifetime in seconds, its preference as a default router
    (1 high, 0 medium, -1 low), the prefixes, and the resolvers, each with its lifetime in seconds;
    `resolvers` is None where the message has no option for them.
    """

    def __init__(
        self,
        router: bytes,
        seconds: int,
        preference: int,
        prefixes: tuple[Prefix, ...],
        resolvers: tuple[tuple[bytes, int], ...] | None,
    ) -> None:
        self.router = router
        self.seconds = seconds
        self.preference = preference
        self.prefixes = prefixes
        self.resolvers = resolvers


def encode(mac: bytes) -> bytes:
    """The bytes of a router solicitation from the device with this hardware address; the kernel
    sets the checksum (rawv6_push_pending_frames, net/ipv6/raw.c).
    """
    return SOLICITATION_HEAD.pack(SOLICITATION, 0, 0, 0) + OPTION.pack(SOURCE_MAC, 1) + mac


def decode(data: bytes, source: bytes, hops: int) -> Advertisement:
    """The advertisement in an ICMPv6 message, whose checksum the kernel has verified (rawv6_rcv).
    `source` is the sender's address, `hops` the hop limit that the message arrived with.

    Raises MessageError.
    """
    if hops != HOP_LIMIT:
        raise MessageError("it was forwarded: its hop limit is not 255")
    if source[:2] != LINK_LOCAL or len(source) != ADDRESS:
        raise MessageError("its source is not a link-local address")
    if len(data) < ADVERTISEMENT_HEAD.size:
        raise MessageError("it is too short")
    kind, code, _, _, flags, seconds, _, _ = ADVERTISEMENT_HEAD.unpack_from(data)
    if (kind, code) != (ADVERTISEMENT, 0):
        raise MessageError("it is not a router advertisement")
    preference = PREFERENCES[flags >> PREFERENCE_BIT & 3]
    prefixes: list[Prefix] = []
    resolvers: list[tuple[bytes, int]] | None = None
    at = ADVERTISEMENT_HEAD.size
    while at < len(data):
        option = _option(data, at)
        at += len(option)
        if option[0] == PREFIX and len(option) == PREFIX_FIELDS.size:
            _, _, length, flags, valid, preferred, _, value = PREFIX_FIELDS.unpack(option)
            prefixes.append(Prefix(length, flags, valid, preferred, value))
        elif option[0] == RESOLVERS and len(option) >= RESOLVERS_HEAD.size:
            resolvers = [*(resolvers or ()), *_resolvers(option)]
    advertised = None if resolvers is None else tuple(resolvers)
    return Advertisement(source, seconds, preference, tuple(prefixes), advertised)


def _option(data: bytes, at: int) -> bytes:
    """The option that begins at `at`.

    Raises MessageError where its length is 0, or where it goes beyond the end.
    """
    if at + OPTION.size > len(data):
        raise MessageError("an option is truncated")
    size = data[at + 1] * UNIT
    if not size or at + size > len(data):
        raise MessageError(f"its option {data[at]} is truncated")
    return data[at : at + size]


def _resolvers(option: bytes) -> list[tuple[bytes, int]]:
    *_, seconds = RESOLVERS_HEAD.unpack_from(option)
    ends = range(RESOLVERS_HEAD.size + ADDRESS, len(option) + 1, ADDRESS)
    return [(option[end - ADDRESS : end], seconds) for end in ends]
