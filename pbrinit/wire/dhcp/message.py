"""DHCP messages: what is sent to a server, and what comes back.

In: plain values, or the bytes of a datagram from anybody.  Out: bytes, or a `Message`, or a
`MessageError`.  Nothing that a datagram can hold raises anything else.

Source: RFC 2131, section 2 (the fields) and table 5 (which options go where); RFC 2132 (the
options); RFC 3396 (an option in several pieces).
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
COOKIE = bytes((99, 130, 83, 99))
REQUEST, REPLY = 1, 2
ETHERNET, MAC_SIZE = 1, 6
BROADCAST = 0x8000
"""Asks that answers go to everybody: there is no address yet that they could go to."""

PAD, END = 0, 255
MASK, ROUTERS, RESOLVERS, HOSTNAME = 1, 3, 6, 12
WANTED, SECONDS, OVERLOAD, KIND, SERVER = 50, 51, 52, 53, 54
LIST, LARGEST, RENEW, REBIND, ROUTES = 55, 57, 58, 59, 121
DISCOVER, OFFER, ASK, ACK, NAK = 1, 2, 3, 5, 6
KINDS = {OFFER, ACK, NAK}

LISTED = bytes((MASK, ROUTES, ROUTERS, RESOLVERS, SECONDS, SERVER, RENEW, REBIND))
"""What is asked for, routes before routers (RFC 3442)."""

LEAST = 300
"""The size of a BOOTP message, below which some relays drop it (RFC 1542, section 2.1)."""

MOST = 1472
"""What fits into a frame without fragments, and the longest datagram that is read."""

NOWHERE = bytes(4)


class MessageError(Exception):
    """A datagram that is no answer of a DHCP server; the text says why."""


class Message:
    """An answer: what kind, to which question (`number`) of whom (`mac`), and what it says.

    `address` is the address that is given, `options` has the others' bytes by number.
    """

    def __init__(
        self, kind: int, number: int, mac: bytes, address: bytes, options: Mapping[int, bytes]
    ) -> None:
        self.kind = kind
        self.number = number
        self.mac = mac
        self.address = address
        self.options = options


def encode(
    kind: int,
    number: int,
    mac: bytes,
    *,
    seconds: int = 0,
    own: bytes = NOWHERE,
    options: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """A question by its kind; `own` is the address that is had already, `seconds` how long it
    has been tried. Without an address the answer is asked for by broadcast.
    """
    flags = BROADCAST if own == NOWHERE else 0
    fixed = FIELDS.pack(
        REQUEST, ETHERNET, MAC_SIZE, 0, number, min(seconds, 0xFFFF), flags,
        own, NOWHERE, NOWHERE, NOWHERE, mac, b"", b"", COOKIE,
    )  # fmt: skip
    always = ((KIND, bytes((kind,))), (LARGEST, struct.pack("!H", MOST)), (LIST, LISTED))
    told = b"".join(bytes((code, len(value))) + value for code, value in (*always, *options))
    return (fixed + told + bytes((END,))).ljust(LEAST, bytes(1))


def decode(data: bytes) -> Message:
    """The answer in a datagram.

    Raises MessageError.
    """
    if len(data) < FIELDS.size:
        raise MessageError("it is too short")
    (op, hardware, size, _, number, _, _, _, address, _, _, mac, server, file, cookie) = (
        FIELDS.unpack_from(data)
    )
    if op != REPLY or hardware != ETHERNET or size != MAC_SIZE or cookie != COOKIE:
        raise MessageError("it is no answer to an Ethernet device")
    options: dict[int, bytes] = {}
    _gather(data[FIELDS.size :], options)
    overload = options.get(OVERLOAD, b"\0")
    if len(overload) != 1 or overload[0] > 3:  # noqa: PLR2004  RFC 2132, section 9.3
        raise MessageError("its option 52 is none")
    for bit, field in ((1, file), (2, server)):
        if overload[0] & bit:
            _gather(field, options)
    kind = options.get(KIND, b"")
    if len(kind) != 1 or kind[0] not in KINDS:
        raise MessageError("it is no offer, no acknowledgement and no refusal")
    return Message(kind[0], number, mac[:MAC_SIZE], address, options)


def _gather(data: bytes, options: dict[int, bytes]) -> None:
    """Add the options of one field; what has the same number is one option in pieces.

    Raises MessageError where one goes beyond the end.
    """
    at = 0
    while at < len(data) and data[at] != END:
        if data[at] == PAD:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise MessageError(f"its option {data[at]} is cut short")
        code, size = data[at], data[at + 1]
        options[code] = options.get(code, b"") + data[at + 2 : at + 2 + size]
        at += 2 + size
