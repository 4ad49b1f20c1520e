"""Serves the page for Prometheus, to whom the policy lets reach its port.

In: a `BootPlan` with a port and a user.  Out: HTTP/1.1 answers (RFC 9112), a connection each.
Whoever asks may be hostile: so many connections, so long, so many bytes, and nothing that costs
more for asking often.  The program is that user's, and could do nothing more if it were taken.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import time

from pbrinit.boot.observe.metrics_page import TYPE, page
from pbrinit.boot.state import active_plan
from pbrinit.boot.system import syscalls
from pbrinit.boot.system.log import log
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan

FAMILIES = (socket.AF_INET, socket.AF_INET6)
CONNECTIONS = 16
"""At once. Who comes beyond that waits; of those who are in, each has so long:"""

SECONDS = 3.0
LONGEST_REQUEST = 4096
FILES = 64
PAGE_SECONDS = 1.0
"""How old a page may be that is given out again, so that who asks often costs little."""

PATH = "/metrics"
END = b"\r\n\r\n"
METHODS = ("GET", "HEAD")
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
           431: "Request Header Fields Too Large"}  # fmt: skip


class Connection:
    """One who asks: what he has said, what is still to be said to him, and until when."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.socket = listener
        self.received = b""
        self.unsent = b""
        self.until = time.monotonic() + SECONDS


class Server:
    """The page on a port, in both families."""

    def __init__(self, plan: BootPlan, port: int, uid: int) -> None:
        self._image = self._plan = plan
        self._version = (0, 0)
        self._listening = [_listen(family, port, uid) for family in FAMILIES]
        self._connections: dict[int, Connection] = {}
        self._page = b""
        self._page_made_at = -PAGE_SECONDS

    @property
    def files(self) -> list[int]:
        """The sockets that it listens on."""
        return [listener.fileno() for listener in self._listening]

    def turn(self) -> None:
        """Wait until somebody comes, speaks or listens, or has had his time; and do it."""
        full = len(self._connections) >= CONNECTIONS
        reading = {} if full else {listener.fileno(): listener for listener in self._listening}
        sending = {n for n, c in self._connections.items() if c.unsent}
        receiving = self._connections.keys() - sending
        ends = [connection.until for connection in self._connections.values()]
        pause = max(0.0, min(ends) - time.monotonic()) if ends else None
        ready, writable, _ = select.select([*reading, *receiving], [*sending], [], pause)
        for number in ready:
            if number in reading:
                self._accept(reading[number])
            else:
                self._receive(self._connections[number])
        for number in writable:
            self._send(self._connections[number])
        now = time.monotonic()
        for connection in [c for c in self._connections.values() if c.until <= now]:
            self._close(connection)

    def _accept(self, listening: socket.socket) -> None:
        try:
            listener, _ = listening.accept()
        except OSError:  # he is gone again
            return
        self._connections[listener.fileno()] = Connection(listener)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(LONGEST_REQUEST)
        except OSError:
            data = b""
        connection.received += data
        if END in connection.received:
            connection.unsent = self._answer(connection.received)
        elif len(connection.received) > LONGEST_REQUEST:
            connection.unsent = _response(431, b"")
        elif not data:
            self._close(connection)

    def _send(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.unsent)
        except OSError:
            sent = len(connection.unsent)
        connection.unsent = connection.unsent[sent:]
        if not connection.unsent:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        del self._connections[connection.socket.fileno()]
        try:
            # What was said and not heard would make it a reset, and the answer could be lost.
            connection.socket.shutdown(socket.SHUT_WR)
            connection.socket.recv(LONGEST_REQUEST)
        except OSError:
            pass
        connection.socket.close()

    def _in_force(self) -> BootPlan:
        """The plan in force, read where it is another than it was: that takes longer than a page.
        One that cannot be read changes nothing.
        """
        stamp = active_plan.version()
        if stamp != self._version:
            with contextlib.suppress(OSError, BootFileError):
                self._plan = active_plan.read(self._image)
                self._version = stamp
        return self._plan

    def _answer(self, request: bytes) -> bytes:
        words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004  RFC 9112, 3
            return _response(400, b"")
        method, target, _ = words
        if method not in METHODS:
            return _response(405, b"", f"Allow: {', '.join(METHODS)}\r\n")
        if target.partition("?")[0] != PATH:
            return _response(404, b"")
        if time.monotonic() - self._page_made_at >= PAGE_SECONDS:
            self._page = page(self._in_force()).encode()
            self._page_made_at = time.monotonic()
        return _response(200, self._page, only_head=method == "HEAD")


def serve(plan: BootPlan) -> None:
    """Serve without end, as the policy's user.

    Raises OSError where the port cannot be had.
    """
    if plan.metrics is None:
        return
    port, uid = plan.metrics
    server = Server(plan, port, uid)
    log(f"metrics: on tcp/{port}, as user {uid}")
    _drop_privileges(uid, server.files)
    while True:
        server.turn()


def _drop_privileges(uid: int, sockets: list[int]) -> None:
    """Keep nothing but the sockets: no console, no right, no other program."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(null, number)
    syscalls.close_all_but(sockets)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    syscalls.setresuid_setgroups(uid)
    syscalls.set_parent_death_signal(signal.SIGKILL)


def _listen(family: int, port: int, uid: int) -> socket.socket:
    """A socket is looked up as its owner (sockfs_setattr, net/socket.c)."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    os.fchown(listener.fileno(), uid, -1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(("", port))
    listener.listen(CONNECTIONS)
    listener.setblocking(False)
    return listener


def _response(status: int, body: bytes, more: str = "", *, only_head: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if only_head else body)
