"""Router solicitations and advertisements: what is sent to routers, and what comes back.

In: plain values, or an ICMPv6 message from anybody.  Out: bytes, or an `Advertisement`, or a
`MessageError`.  Nothing that a message can hold raises anything else.

Source: RFC 4861, sections 4.1, 4.2, 4.6 (the fields) and 6.1.2 (what is discarded); RFC 8106,
section 5.1 (resolvers). Of the options these two are read: no MTU, no routes, no redirect.
"""

from __future__ import annotations

import struct

SOLICITATION, ADVERTISEMENT = 133, 134
ASK = struct.Struct("!BBHI")
HEAD = struct.Struct("!BBHBBHII")
OPTION = struct.Struct("!BB")
UNIT = 8
"""Bytes that the length of an option counts."""

SOURCE_MAC, PREFIX, RESOLVERS = 1, 3, 25
PREFIX_FIELDS = struct.Struct("!BBBBIII16s")
RESOLVERS_HEAD = struct.Struct("!BBHI")
ON_LINK, AUTONOMOUS = 0x80, 0x40
ADDRESS = 16

HOPS = 255
"""What no router between could have left: who sent it is on this link."""

MOST = 1500
"""The longest message that is read: what a frame holds."""

LINK_LOCAL = bytes.fromhex("fe80")


class MessageError(Exception):
    """A message that is no router's advertisement; the text says why."""


class Prefix:
    """A prefix that a router says is on this link, addresses of which hosts make themselves;
    times in seconds.
    """

    def __init__(self, length: int, flags: int, valid: int, preferred: int, value: bytes) -> None:
        self.length = length
        self.on_link = bool(flags & ON_LINK)
        self.autonomous = bool(flags & AUTONOMOUS)
        self.valid = valid
        self.preferred = preferred
        self.value = value


class Advertisement:
    """What a router says: for how many seconds it is a way to everybody else, the prefixes, and
    the resolvers, each with the seconds for which it is one; None where none are spoken of.
    """

    def __init__(
        self,
        router: bytes,
        seconds: int,
        prefixes: tuple[Prefix, ...],
        resolvers: tuple[tuple[bytes, int], ...] | None,
    ) -> None:
        self.router = router
        self.seconds = seconds
        self.prefixes = prefixes
        self.resolvers = resolvers


def encode(mac: bytes) -> bytes:
    """A question to all routers, from a device with this address; the kernel sets the checksum
    (rawv6_push_pending_frames, net/ipv6/raw.c).
    """
    return ASK.pack(SOLICITATION, 0, 0, 0) + OPTION.pack(SOURCE_MAC, 1) + mac


def decode(data: bytes, source: bytes, hops: int) -> Advertisement:
    """The advertisement in an ICMPv6 message, whose checksum the kernel has seen to (rawv6_rcv).

    Raises MessageError.
    """
    if hops != HOPS:
        raise MessageError("it comes from beyond this link")
    if source[:2] != LINK_LOCAL or len(source) != ADDRESS:
        raise MessageError("its source is no address of a link")
    if len(data) < HEAD.size:
        raise MessageError("it is too short")
    kind, code, _, _, _, seconds, _, _ = HEAD.unpack_from(data)
    if (kind, code) != (ADVERTISEMENT, 0):
        raise MessageError("it is no advertisement")
    prefixes: list[Prefix] = []
    resolvers: list[tuple[bytes, int]] | None = None
    at = HEAD.size
    while at < len(data):
        option = _option(data, at)
        at += len(option)
        if option[0] == PREFIX and len(option) == PREFIX_FIELDS.size:
            _, _, length, flags, valid, preferred, _, value = PREFIX_FIELDS.unpack(option)
            prefixes.append(Prefix(length, flags, valid, preferred, value))
        elif option[0] == RESOLVERS and len(option) >= RESOLVERS_HEAD.size:
            resolvers = [*(resolvers or ()), *_resolvers(option)]
    told = None if resolvers is None else tuple(resolvers)
    return Advertisement(source, seconds, tuple(prefixes), told)


def _option(data: bytes, at: int) -> bytes:
    """The option that begins there.

    Raises MessageError where it has no length, or goes beyond the end.
    """
    if at + OPTION.size > len(data):
        raise MessageError("an option is cut short")
    size = data[at + 1] * UNIT
    if not size or at + size > len(data):
        raise MessageError(f"its option {data[at]} is cut short")
    return data[at : at + size]


def _resolvers(option: bytes) -> list[tuple[bytes, int]]:
    *_, seconds = RESOLVERS_HEAD.unpack_from(option)
    ends = range(RESOLVERS_HEAD.size + ADDRESS, len(option) + 1, ADDRESS)
    return [(option[end - ADDRESS : end], seconds) for end in ends]
