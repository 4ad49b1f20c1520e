"""Requests to the guard, over a socket that only root may use.

In: a line of words, and a plan where there is one with it.  Out: whether it was done, and a
sentence.  One packet each way (unix(7), SOCK_SEQPACKET), so the guard never waits for the rest of
a request, and a process that asks and dies does no harm.  The plan comes as a file without a name
(memfd_create(2)) beside the words, so that two requests at a time cannot be mixed up and none takes
room below /run.
"""

from __future__ import annotations

import _socket
import os
import stat
import struct

from pbrinit.boot.system import unix_socket
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pbrinit.wire.bootplan import BootPlan

PATH = "/run/pbrctl"
LONGEST_TRIAL = 3600
"""Seconds."""

LONGEST = 4096
LONGEST_OFFER = 64 << 20
"""Bytes of plans and files that come with a request."""

HEAR_SECONDS, ANSWER_SECONDS = 0.2, 120.0
BACKLOG = 8
DONE, REFUSED, AGAIN = b"done ", b"refused ", b"again "
"""How an answer begins: the last says that nothing was received in time, and nothing was done."""

ATTEMPTS = 20
"""On a busy machine a process may not come to send what it has to say within HEAR_SECONDS."""
FILE = struct.Struct("=i")
FILES = 4
"""A descriptor as SCM_RIGHTS has it, and for how many there is room: one comes, more are closed."""


class Offer:
    """A plan that is to be put in force. Of a policy that asks for addresses also its plan with
    nothing given, and its files by name, the policy's own first: with another address another plan
    is made of them.
    """

    def __init__(
        self,
        plan: BootPlan,
        waiting: BootPlan | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.plan = plan
        self.waiting = waiting
        self.files = files or {}

    def pack(self) -> bytes:
        """As bytes, for a process that trusts this one."""
        waiting = bootplan.pack(self.waiting) if self.waiting is not None else None
        return bootplan.sealed((bootplan.pack(self.plan), waiting, tuple(self.files.items())))


def unpack(data: bytes) -> Offer:
    """What `Offer.pack` made. Raises BootFileError."""
    match bootplan.unsealed(data):
        case (bytes() as plan, (bytes() | None) as waiting, tuple() as files):
            idle = bootplan.unpack(waiting) if waiting is not None else None
            return Offer(bootplan.unpack(plan), idle, dict(files))
    raise BootFileError("it holds no plan")


class Requests:
    """The guard's end."""

    def __init__(self) -> None:
        self._socket = unix_socket.listen_unix(PATH, _socket.SOCK_SEQPACKET, BACKLOG)
        self._socket.settimeout(HEAR_SECONDS)

    def fileno(self) -> int:
        """For select(2): readable where somebody asks."""
        return self._socket.fileno()

    def answer(self, do: Callable[[Sequence[str], bytes], str], refusal: type[Exception]) -> None:
        """Receive one request, do it and send what came of it; `refusal` is what `do` raises where
        nothing has changed. What else it raises goes through, after it was sent too.
        """
        try:
            client = unix_socket.accept(self._socket)
        except OSError:  # it is gone again
            return
        try:
            told = _done(client, do)
        except refusal as error:
            told = REFUSED + str(error).encode(errors="replace")
        except BaseException as error:
            _send(client, REFUSED + f"failed: {error}".encode(errors="replace"))
            raise
        _send(client, told)


def _done(client: _socket.socket, do: Callable[[Sequence[str], bytes], str]) -> bytes:
    """What came of the request of this client. Raises what `do` does."""
    try:
        if unix_socket.peer_uid(client) != 0:
            return REFUSED + b"only root may ask"
        words, data = _received(client)
    except OSError:
        return AGAIN
    return DONE + do(words, data).encode(errors="replace")


def ask(line: str, data: bytes = b"") -> tuple[bool, str]:
    """Whether the guard has done it, and what it says; `data` is a packed `Offer`.

    Raises OSError where there is no guard, or no answer.
    """
    for _ in range(ATTEMPTS):
        told = _asked(line, data)
        if told.startswith((DONE, REFUSED)):
            return told.startswith(DONE), told.partition(b" ")[2].decode(errors="replace")
        if not told.startswith(AGAIN):
            raise ConnectionError("the guard ended while it was asked")
    raise ConnectionError("the guard does not wait for what it is asked")


def _asked(line: str, data: bytes) -> bytes:
    """The answer to one attempt. Raises OSError."""
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        client.settimeout(ANSWER_SECONDS)
        client.connect(PATH)
        if data:
            _send_with(client, line, data)
        else:
            client.send(line.encode())
        return client.recv(LONGEST)
    except BrokenPipeError:
        return AGAIN  # it has waited, and has got nothing
    finally:
        client.close()


def _send_with(client: _socket.socket, line: str, data: bytes) -> None:
    file = os.memfd_create("offer")
    try:
        with open(file, "wb", closefd=False) as writer:
            writer.write(data)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, FILE.pack(file))
        client.sendmsg([line.encode()], [rights])
    finally:
        os.close(file)


def _received(client: _socket.socket) -> tuple[list[str], bytes]:
    """The words of a request, and what comes with them; no words of one who is gone.

    Raises OSError where they do not come in time.
    """
    files: list[int] = []
    try:
        client.settimeout(HEAR_SECONDS)
        size = _socket.CMSG_SPACE(FILES * FILE.size)
        data, told, _, _ = client.recvmsg(LONGEST, size)
        for level, kind, value in told:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                whole = value[: len(value) - len(value) % FILE.size]
                files += [number for (number,) in FILE.iter_unpack(whole)]
        offer = _contents(files[0]) if files else b""
        return data.decode(errors="replace").split(), offer
    finally:
        for file in files:
            os.close(file)


def _contents(file: int) -> bytes:
    """All of a file; nothing of one that is none, or longer than any offer. Raises OSError."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST_OFFER:
        return b""
    pieces = bytearray()
    while len(pieces) < found.st_size:
        piece = os.pread(file, found.st_size - len(pieces), len(pieces))
        if not piece:
            break
        pieces += piece
    return bytes(pieces)


def _send(client: _socket.socket, told: bytes) -> None:
    """A client that has gone meanwhile gets nothing."""
    try:
        client.send(told[:LONGEST])
    except OSError:
        pass
    finally:
        client.close()
