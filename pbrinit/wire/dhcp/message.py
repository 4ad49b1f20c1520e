"""DHCP messages: those that are sent to a server, and its replies.

In: plain values, or the bytes of a datagram from any host.  Out: bytes, or a `Message`, or a
`MessageError`.  No content of a datagram raises anything else.

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
BOOTREQUEST, BOOTREPLY = 1, 2
ETHERNET, MAC_SIZE = 1, 6
BROADCAST = 0x8000
"""The flag that asks for replies by broadcast: the client has no address yet."""

PAD, END = 0, 255
MASK, ROUTERS, RESOLVERS, HOSTNAME = 1, 3, 6, 12
REQUESTED_ADDRESS, LEASE_TIME, OVERLOAD, MESSAGE_TYPE, SERVER_ID = 50, 51, 52, 53, 54
PARAMETER_LIST, MAX_MESSAGE_SIZE, RENEWAL_TIME, REBINDING_TIME, CLASSLESS_ROUTES = (
    55,
    57,
    58,
    59,
    121,
)
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
SERVER_TYPES = {OFFER, ACK, NAK}

REQUESTED_OPTIONS = bytes(
    (
        MASK,
        CLASSLESS_ROUTES,
        ROUTERS,
        RESOLVERS,
        LEASE_TIME,
        SERVER_ID,
        RENEWAL_TIME,
        REBINDING_TIME,
    )
)
"""The options that are requested, classless routes before routers (RFC 3442)."""

MIN_SIZE = 300
"""Size of a BOOTP message; some relays drop a smaller one (RFC 1542, section 2.1)."""

MAX_SIZE = 1472
"""What fits into an Ethernet frame without fragments, and the longest datagram that is read."""

NO_ADDRESS = bytes(4)


class MessageError(Exception):
    """A datagram that is not a DHCP server's reply; the text says why."""


class Message:
    """A server's reply: its message type `kind` (OFFER, ACK or NAK), the transaction and the
    hardware address of the request that it answers, the `address` that it assigns, and the bytes of
    its options by number.
    """

    def __init__(
        self,
        kind: int,
        transaction_id: int,
        mac: bytes,
        address: bytes,
        options: Mapping[int, bytes],
    ) -> None:
        self.kind = kind
        self.transaction_id = transaction_id
        self.mac = mac
        self.address = address
        self.options = options


def encode(
    kind: int,
    transaction_id: int,
    mac: bytes,
    *,
    seconds: int = 0,
    client_address: bytes = NO_ADDRESS,
    options: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """The bytes of a request of message type `kind` (DISCOVER or REQUEST). `seconds` is the time
    since the exchange began, `client_address` the address that the client has already (ciaddr);
    without one the reply is requested by broadcast.
    """
    flags = BROADCAST if client_address == NO_ADDRESS else 0
    fixed = FIELDS.pack(
        BOOTREQUEST, ETHERNET, MAC_SIZE, 0, transaction_id, min(seconds, 0xFFFF), flags,
        client_address, NO_ADDRESS, NO_ADDRESS, NO_ADDRESS, mac, b"", b"", COOKIE,
    )  # fmt: skip
    always = (
        (MESSAGE_TYPE, bytes((kind,))),
        (MAX_MESSAGE_SIZE, struct.pack("!H", MAX_SIZE)),
        (PARAMETER_LIST, REQUESTED_OPTIONS),
    )
    encoded = b"".join(bytes((code, len(value))) + value for code, value in (*always, *options))
    return (fixed + encoded + bytes((END,))).ljust(MIN_SIZE, bytes(1))


def decode(data: bytes) -> Message:
    """The reply that is in a datagram.

    Raises MessageError where it is truncated, malformed, or not a reply to an Ethernet device.
    """
    if len(data) < FIELDS.size:
        raise MessageError("it is too short")
    (op, hardware, size, _, number, _, _, _, address, _, _, mac, server, file, cookie) = (
        FIELDS.unpack_from(data)
    )
    if op != BOOTREPLY or hardware != ETHERNET or size != MAC_SIZE or cookie != COOKIE:
        raise MessageError("it is not a reply to an Ethernet device")
    options: dict[int, bytes] = {}
    _gather(data[FIELDS.size :], options)
    overload = options.get(OVERLOAD, b"\0")
    if len(overload) != 1 or overload[0] > 3:  # noqa: PLR2004  RFC 2132, section 9.3
        raise MessageError("its option 52 is malformed")
    for bit, field in ((1, file), (2, server)):
        if overload[0] & bit:
            _gather(field, options)
    kind = options.get(MESSAGE_TYPE, b"")
    if len(kind) != 1 or kind[0] not in SERVER_TYPES:
        raise MessageError("it is not an OFFER, ACK or NAK")
    return Message(kind[0], number, mac[:MAC_SIZE], address, options)


def _gather(data: bytes, options: dict[int, bytes]) -> None:
    """Add the options of one field. Options with the same number are pieces of one (RFC 3396).

    Raises MessageError where one goes beyond the end.
    """
    at = 0
    while at < len(data) and data[at] != END:
        if data[at] == PAD:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise MessageError(f"its option {data[at]} is truncated")
        code, size = data[at], data[at + 1]
        options[code] = options.get(code, b"") + data[at + 2 : at + 2 + size]
        at += 2 + size
