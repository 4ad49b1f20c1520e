"""DHCP messages: those that are sent to a server, and its replies.

In: plain values, or the bytes of a datagram from any host.  Out: bytes, or a `Message`, or a
`MessageError`.  No content of a datagram raises anything else.  What is malformed is left out and
listed in `Message.faults`, so that a broken option that nobody needs costs no lease.

Source: RFC 2131, section 2 (the fields) and table 5 (which options go where); RFC 2132 (the
options); RFC 3396 (an option in several pieces).
"""

from __future__ import annotations

import struct

from pbrinit.wire.record import Record

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

SIZES = {
    MASK: 4, LEASE_TIME: 4, OVERLOAD: 1, MESSAGE_TYPE: 1, SERVER_ID: 4, RENEWAL_TIME: 4,
    REBINDING_TIME: 4,
}  # fmt: skip
"""Options of a fixed size. Some servers send one of them twice: two equal ones are one."""

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


class Message(Record):
    """A server's reply: its message type `kind` (OFFER, ACK or NAK), the transaction and the
    hardware address of the request that it answers, the `address` that it assigns, the
    `next_server` that it names (siaddr), the bytes of its options by number, and what of it is
    malformed and therefore left out.
    """

    kind: int
    transaction_id: int
    mac: bytes
    address: bytes
    next_server: bytes
    options: Mapping[int, bytes]
    faults: tuple[str, ...]


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


def is_reply(data: bytes, transaction_id: int, mac: bytes) -> bool:
    """Whether a datagram replies to this request of an Ethernet device, well or badly."""
    if len(data) < FIELDS.size:
        return False
    op, hardware, size, _, number, *_, chaddr, _, _, cookie = FIELDS.unpack_from(data)
    kind = op, hardware, size, cookie
    is_ethernet = kind == (BOOTREPLY, ETHERNET, MAC_SIZE, COOKIE)
    return is_ethernet and (number, chaddr[:MAC_SIZE]) == (transaction_id, mac)


def decode(data: bytes) -> Message:
    """The reply that is in a datagram.

    Raises MessageError where it is truncated, or not an OFFER, ACK or NAK.
    """
    if len(data) < FIELDS.size:
        raise MessageError("it is too short")
    (op, hardware, size, _, number, _, _, _, address, next_server, _, mac, server, file, cookie) = (
        FIELDS.unpack_from(data)
    )
    if op != BOOTREPLY or hardware != ETHERNET or size != MAC_SIZE or cookie != COOKIE:
        raise MessageError("it is not a reply to an Ethernet device")
    pieces: dict[int, list[bytes]] = {}
    faults = _gather(data[FIELDS.size :], pieces)
    overload = _joined(OVERLOAD, pieces.get(OVERLOAD, [b"\0"]))
    if len(overload) != 1 or overload[0] > 3:  # noqa: PLR2004  RFC 2132, section 9.3
        faults.append("its option 52 is malformed")
        overload = b"\0"
    for bit, field in ((1, file), (2, server)):
        if overload[0] & bit:
            faults += _gather(field, pieces)
    options = {code: _joined(code, values) for code, values in pieces.items()}
    kind = options.get(MESSAGE_TYPE, b"")
    if len(kind) != 1 or kind[0] not in SERVER_TYPES:
        raise MessageError("it is not an OFFER, ACK or NAK")
    return Message(
        kind=kind[0],
        transaction_id=number,
        mac=mac[:MAC_SIZE],
        address=address,
        next_server=next_server,
        options=options,
        faults=tuple(faults),
    )


def _gather(data: bytes, pieces: dict[int, list[bytes]]) -> list[str]:
    """Add the options of one field; what is malformed in it."""
    at = 0
    while at < len(data) and data[at] != END:
        if data[at] == PAD:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            return [f"its option {data[at]} is truncated"]
        code, size = data[at], data[at + 1]
        pieces.setdefault(code, []).append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return []


def _joined(code: int, pieces: list[bytes]) -> bytes:
    """The bytes of an option: options with the same number are pieces of one (RFC 3396). Where each
    of them has the size of the whole and all are equal, they are one that was sent more than once.
    """
    is_repeated = len(pieces[0]) == SIZES.get(code) and len(set(pieces)) == 1
    return pieces[0] if is_repeated else b"".join(pieces)
