"""What is asked of the guard, over a socket that only root may use.

In: a line of words.  Out: whether it was done, and a sentence.  One packet each way (unix(7),
SOCK_SEQPACKET): there is nothing to wait for in the middle, so who asks and dies does no harm.
"""

from __future__ import annotations

import _socket

from pbrinit.boot.system import unix_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATH = "/run/pbrctl"
LONGEST = 4096
HEAR_SECONDS, ANSWER_SECONDS = 0.2, 120.0
BACKLOG = 8
DONE, REFUSED = b"done ", b"refused "


class Requests:
    """The guard's end."""

    def __init__(self) -> None:
        self._socket = unix_socket.listen_unix(PATH, _socket.SOCK_SEQPACKET, BACKLOG)
        self._socket.settimeout(HEAR_SECONDS)

    def fileno(self) -> int:
        """For select(2): readable where somebody asks."""
        return self._socket.fileno()

    def answer(self, do: Callable[[Sequence[str]], str], refusal: type[Exception]) -> None:
        """Hear one request, do it and say what came of it; `refusal` is what `do` raises where
        nothing has changed. What else it raises goes through, to the one who asks too.
        """
        client = unix_socket.accept(self._socket)
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
        return words if unix_socket.peer_uid(client) == 0 else []
    except OSError:
        return []


def _send(client: _socket.socket, told: bytes) -> None:
    """Who has gone meanwhile is not told."""
    try:
        client.send(told[:LONGEST])
    except OSError:
        pass
    finally:
        client.close()
