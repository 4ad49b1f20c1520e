"""What a program sends to the control broker, and what it gets back: the form of both on a socket.

In: the words of a command, and a policy that goes with it.  Out: what the command prints, as it
comes, and its exit status.  The lengths come first, so that the broker never takes more than it
allows; the program trusts the broker.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import struct

from pbrinit.boot.programs.mounts import BROKER, SOCKET
from pbrinit.boot.system.log import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = struct.Struct("!II")
PIECE = struct.Struct("!BI")
OUT, ERR, END = 1, 2, 3
"""A piece for standard output, one for standard error, and the exit status, which is the last."""

LONGEST_WORDS, LONGEST_POLICY, LONGEST_PIECE = 4096, 1 << 20, 1 << 16
ANSWER_SECONDS = 150.0
"""Longer than the broker lets anything take."""


class BrokerError(Exception):
    """What cannot be asked, or was not asked in this form and in time; the text says why."""


def is_there() -> bool:
    """Whether this process sees a control broker."""
    return os.path.exists(f"{BROKER}/{SOCKET}")  # noqa: PTH110  pathlib is not in the image


def ask(words: Sequence[str], policy: bytes) -> int:
    """Have a command done, and print what it prints; its exit status.

    Raises BrokerError where it is more than may be asked, and OSError where there is no answer.
    """
    data = request(words, policy)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    until = seconds() + ANSWER_SECONDS
    try:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(f"{BROKER}/{SOCKET}")
        with contextlib.suppress(BrokenPipeError):  # where it is refused before all is heard
            connection.sendall(data)
        while True:
            kind, size = PIECE.unpack(_exactly(connection, PIECE.size, until))
            if kind == END:
                return int(size)
            _write(kind, _exactly(connection, size, until))
    finally:
        connection.close()


def request(words: Sequence[str], policy: bytes) -> bytes:
    """A request as it is sent. Raises BrokerError where it is more than may be asked."""
    asked = os.fsencode("\0".join(words))
    if len(asked) > LONGEST_WORDS:
        raise BrokerError(f"a command has at most {LONGEST_WORDS} letters")
    if len(policy) > LONGEST_POLICY:
        raise BrokerError(f"a policy that is sent has at most {LONGEST_POLICY} bytes")
    return HEAD.pack(len(asked), len(policy)) + asked + policy


def hear(connection: _socket.socket, until: float) -> tuple[list[str], bytes]:
    """The words and the policy of a request, all there by `until`.

    Raises BrokerError where they are longer than allowed, and OSError where they do not come.
    """
    length, more = HEAD.unpack(_exactly(connection, HEAD.size, until))
    if length > LONGEST_WORDS or more > LONGEST_POLICY:
        raise BrokerError("more is asked than is allowed")
    words = _exactly(connection, length, until).decode(errors="replace").split("\0")
    return words, _exactly(connection, more, until)


def tell(connection: _socket.socket, kind: int, piece: bytes) -> None:
    """A piece of what the command prints. Raises OSError where it is not taken."""
    connection.sendall(PIECE.pack(kind, len(piece)) + piece)


def end(connection: _socket.socket, status: int) -> None:
    """The last that is said. Raises OSError where it is not taken."""
    connection.sendall(PIECE.pack(END, status))


def _exactly(connection: _socket.socket, size: int, until: float) -> bytes:
    """So many bytes. Raises OSError."""
    found = bytearray()
    while len(found) < size:
        connection.settimeout(max(0.001, until - seconds()))
        piece = connection.recv(min(size - len(found), LONGEST_PIECE))
        if not piece:
            raise ConnectionError("the other side ended in the middle")
        found += piece
    return bytes(found)


def _write(descriptor: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]
