"""What is asked of the guard, over a socket that only root may use.

In: a line of words.  Out: whether it was done, and a sentence.  One packet each way (unix(7),
SOCK_SEQPACKET): there is nothing to wait for in the middle, so who asks and dies does no harm.
"""

from __future__ import annotations

import _socket
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATH = "/run/pbrctl"
LONGEST = 4096
HEAR_SECONDS, ANSWER_SECONDS = 0.2, 120.0
PEER = struct.Struct("=iII")
DONE, REFUSED = b"done ", b"refused "


class Requests:
    """The guard's end."""

    def __init__(self) -> None:
        if os.path.exists(PATH):  # noqa: PTH110  pathlib is not in the image
            os.unlink(PATH)  # noqa: PTH108  a guard's that ended
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        mask = os.umask(0o177)
        try:
            self._socket.bind(PATH)
        finally:
            os.umask(mask)
        self._socket.listen(8)
        self._socket.settimeout(HEAR_SECONDS)

    def fileno(self) -> int:
        """For select(2): readable where somebody asks."""
        return self._socket.fileno()

    def answer(self, do: Callable[[Sequence[str]], str], refusal: type[Exception]) -> None:
        """Hear one request, do it and say what came of it; `refusal` is what `do` raises where
        nothing has changed. What else it raises goes through, to the one who asks too.
        """
        # What `accept` of the module socket calls; that one is not imported (rtnetlink).
        descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]
        client = _socket.socket(fileno=descriptor)
        try:
            words = _heard(client)
            told = DONE + do(words).encode() if words else REFUSED + b"only root may ask"
        except refusal as error:
            told = REFUSED + str(error).encode()
        except BaseException as error:
            _send(client, REFUSED + f"failed: {error}".encode())
            raise
        _send(client, told)


def ask(line: str) -> tuple[bool, str]:
    """Whether the guard has done it, and what it says.

    Raises OSError where there is no guard, or no answer.
    """
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        client.settimeout(ANSWER_SECONDS)
        client.connect(PATH)
        client.send(line.encode())
        told = client.recv(LONGEST)
    finally:
        client.close()
    if not told:
        raise ConnectionError("the guard ended while it was asked")
    return told.startswith(DONE), told.partition(b" ")[2].decode()


def _heard(client: _socket.socket) -> list[str]:
    """The words that root asks with; none where it is another, or nobody any more."""
    try:
        client.settimeout(HEAR_SECONDS)
        words = client.recv(LONGEST).decode(errors="replace").split()
        told = client.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, PEER.size)
    except OSError:
        return []
    return words if PEER.unpack(told)[1] == 0 else []


def _send(client: _socket.socket, told: bytes) -> None:
    """Who has gone meanwhile is not told."""
    try:
        client.send(told[:LONGEST])
    except OSError:
        pass
    finally:
        client.close()
