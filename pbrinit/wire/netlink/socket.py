"""A netlink socket that sends finished messages and reads the kernel's answers.

In: messages as bytes.  Out: whether the kernel accepted them, or what it has, as bytes.
Source: netlink(7), rtnetlink(7).  It imports `_socket` and not `socket`, since `socket` imports
enum and selectors, which takes longer than to put the rules in force.
"""

from __future__ import annotations

import _socket
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_DUMP_INTR = 0x10
NLM_F_REQUEST_DUMP = 0x301
TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK: without the nested and byte order bits
BATCH = 64
"""How many messages are sent before their answers are read, so that the answers fit the receive
buffer."""

SOL_NETLINK = 270
NETLINK_GET_STRICT_CHK = 12
RTA_TABLE = 15
NLM_F_ACK = 0x4
REQUEST_WITH_ACK = 0x5  # NLM_F_REQUEST | NLM_F_ACK
ANSWER_SECONDS = 10
BUFFER = 1 << 16
KERNEL_PORT = 0
"""The port of the kernel itself (netlink(7))."""

DUMP_ATTEMPTS = 5


class KernelError(Exception):
    """A message that the kernel refused or did not answer; `index` is its place, counted from 0."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


class Kernel:
    """An rtnetlink socket (AF_NETLINK, NETLINK_ROUTE)."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.bind((0, 0))

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def apply(self, messages: Sequence[bytes]) -> None:
        """Send messages in order; each must ask for an acknowledgement (NLM_F_ACK).

        Raises KernelError for the first message that the kernel refuses. The other messages of its
        batch have been sent by then, and none after them.
        """
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            self._socket.send(b"".join(batch))
            answered = 0
            while answered < len(batch):
                for kind, _, payload in self._receive(start + answered):
                    if kind != NLMSG_ERROR:
                        raise KernelError(start + answered, f"unexpected answer of type {kind}")
                    error = -int.from_bytes(payload[:4], "little", signed=True)
                    if error:
                        raise KernelError(start + answered, os.strerror(error))
                    answered += 1

    def apply_bulk(self, piece: bytes) -> None:
        """Send many messages of which only the last asks for an acknowledgement. When that one
        comes, the kernel has accepted all.

        Raises KernelError where the kernel refuses one: it reports errors without being asked.
        """
        self._socket.send(piece)
        for kind, _, payload in self._receive(0):
            error = -int.from_bytes(payload[:4], "little", signed=True)
            if kind != NLMSG_ERROR or error:
                number = HEADER.unpack_from(payload, 4)[3] if kind == NLMSG_ERROR else 0
                raise KernelError(number, os.strerror(error))

    def dump(self, kind: int, family: int, header_size: int) -> list[bytes]:
        """All objects of one type (RTM_GETRULE, …) and family, as payloads without the netlink
        header.

        Raises KernelError where the kernel answers with an error or not at all, or where the
        objects changed during each of several attempts (NLM_F_DUMP_INTR).
        """
        size = HEADER.size + header_size
        request = HEADER.pack(size, kind, NLM_F_REQUEST_DUMP, 0, 0) + bytes([family])
        for _ in range(DUMP_ATTEMPTS):
            payloads = self._dump(request.ljust(size, b"\0"))
            if payloads is not None:
                return payloads
        raise KernelError(0, "the dump was interrupted by a change, each time")

    def _dump(self, request: bytes) -> list[bytes] | None:
        """One attempt, read to its end; None where something changed meanwhile."""
        self._socket.send(request)
        payloads: list[bytes] = []
        has_changed = False
        while True:
            for answer, flags, payload in self._receive(0):
                has_changed = has_changed or bool(flags & NLM_F_DUMP_INTR)
                if answer == NLMSG_DONE:
                    return None if has_changed else payloads
                if answer == NLMSG_ERROR:
                    raise KernelError(
                        0, os.strerror(-int.from_bytes(payload[:4], "little", signed=True))
                    )
                payloads.append(payload)

    def request(self, message: bytes) -> tuple[int, bytes]:
        """Send one request; returns 0 and the payload of the answer, or an error number and
        nothing.

        Raises KernelError where there is no answer.
        """
        self._socket.send(message)
        kind, _, payload = self._receive(0)[0]
        if kind == NLMSG_ERROR:
            return -int.from_bytes(payload[:4], "little", signed=True), b""
        return 0, payload

    def attempt(self, messages: Sequence[bytes]) -> list[int]:
        """Send messages in order, each with NLM_F_ACK, and go on where the kernel refuses one.

        Returns the error number of each, 0 where the kernel accepted it.  Raises KernelError where
        there is no answer.
        """
        errors: list[int] = []
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            self._socket.send(b"".join(batch))
            while len(errors) < start + len(batch):
                for kind, _, payload in self._receive(len(errors)):
                    if kind == NLMSG_ERROR:
                        errors.append(-int.from_bytes(payload[:4], "little", signed=True))
        return errors

    def stream_dump(
        self,
        kind: int,
        family: int,
        header_size: int,
        table: int | None,
        take: Callable[[bytes], bool],
    ) -> None:
        """Dump the objects of one type and family, and of one table where it is given. Each
        datagram is passed to `take`, which returns whether it was the last.

        Raises KernelError where the kernel does not answer, and whatever `take` raises.
        """
        size = HEADER.size + header_size + (8 if table is not None else 0)
        request = HEADER.pack(size, kind, NLM_F_REQUEST_DUMP, 0, 0) + bytes([family])
        request = request.ljust(HEADER.size + header_size, b"\0")
        if table is not None:
            # Without strict checking the kernel ignores the table in the request.
            self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
            request += ATTRIBUTE.pack(8, RTA_TABLE) + struct.pack("=I", table)
        self._socket.send(request)
        while not take(self._datagram(0)):
            pass

    def _receive(self, index: int) -> list[tuple[int, int, bytes]]:
        return list(messages(self._datagram(index)))

    def _datagram(self, index: int) -> bytes:
        try:
            return receive(self._socket)
        except TimeoutError:
            raise KernelError(index, f"no answer in {ANSWER_SECONDS} s") from None


def receive(netlink: _socket.socket) -> bytes:
    """The next datagram of the kernel; what processes send to this socket is passed over.

    Raises OSError, TimeoutError.
    """
    while True:
        data, (sender, _) = netlink.recvfrom(BUFFER)
        if sender == KERNEL_PORT:
            return data


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload of each message in a datagram. Raises KernelError."""
    at = 0
    while at < len(data):
        if len(data) - at < HEADER.size:
            raise KernelError(0, "a truncated message")
        length, kind, flags, _, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data):
            raise KernelError(0, "a truncated message")
        yield kind, flags, data[at + HEADER.size : at + length]
        at += (length + 3) & ~3


def with_sequence_number(message: bytes, kind: int, number: int) -> bytes:
    """The message with this type and sequence number, and with NLM_F_ACK set."""
    flags = struct.unpack_from("=H", message, 6)[0] | NLM_F_ACK
    return HEADER.pack(len(message), kind, flags, number, 0) + message[HEADER.size :]


def removal(kind: int, payload: bytes) -> bytes:
    """The message of type `kind` (RTM_DELRULE, …) that removes the object with this payload."""
    return HEADER.pack(HEADER.size + len(payload), kind, REQUEST_WITH_ACK, 0, 0) + payload


def with_index(message: bytes, offsets: tuple[int, ...], index: int) -> bytes:
    """The message with a device's index, or a descriptor, written at these offsets (4 bytes)."""
    changed = bytearray(message)
    for at in offsets:
        struct.pack_into("=I", changed, at, index)
    return bytes(changed)


def attributes(payload: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute from offset `start` on.

    Raises KernelError where one has an impossible length.
    """
    at = start
    while at < len(payload):
        if len(payload) - at < ATTRIBUTE.size:
            raise KernelError(0, "a truncated attribute")
        length, kind = ATTRIBUTE.unpack_from(payload, at)
        if length < ATTRIBUTE.size or at + length > len(payload):
            raise KernelError(0, "a truncated attribute")
        yield kind & TYPE_MASK, payload[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
