#!/usr/bin/python3 -ISB
"""The agent: a program that runs in the guest beside PID 1 and executes what the test sends.

In: lines on the second serial port, each (function, arguments) as a Python literal.  Out: a line
for each, (True, result) or (False, error).  The agent comes in an archive of the test's own, after
the shipped image, in the place of `/init`. It forks a child and becomes a copy of the shipped
`/init`. It has only the modules that are in the image.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PORT = "/dev/ttyS1"
MAGIC = b"\x5a\xa5"
TAPS: list[tuple[int, int, socket.socket]] = []
BUFFER = 4 * 1024 * 1024
SO_RCVBUFFORCE = 33
LISTENERS: list[socket.socket] = []
CONNECTIONS: list[socket.socket] = []
CONNECTION_SECONDS = 1.0
SOCKET_PATH = "/run/line"
FOLDER = "/adversary"
SHIPPED_INIT = f"{FOLDER}/shipped-init"


def tap(option: int = SO_RCVBUFFORCE) -> int:
    """Raw sockets of every protocol in both families: they get a copy of all that is delivered.

    raw_local_deliver (net/ipv4/raw.c) and raw6_local_deliver (net/ipv6/raw.c) come after the
    look-ups and before the protocol's own code. Protocol 0 has no raw socket.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in range(1, 256):
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            raw.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            raw.setblocking(False)
            TAPS.append((4 if family == socket.AF_INET else 6, protocol, raw))
    return len(TAPS)


def tapped_tags() -> list[tuple[int, int, int]]:
    """Tag, version and protocol of each packet delivered since the last call."""
    tags: set[tuple[int, int, int]] = set()
    for version, protocol, raw in TAPS:
        while True:
            try:
                data = raw.recv(65535)
            except BlockingIOError:
                break
            at = data.find(MAGIC)
            while at >= 0:
                tags.add((data[at + 2] << 8 | data[at + 3], version, protocol))
                at = data.find(MAGIC, at + 2)
    return sorted(tags)


def listen(protocol: str, port: int, family: int, address: str = "") -> None:
    """Open a listening socket, which stays open."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    server = socket.socket(family, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen(128)
    LISTENERS.append(server)


def serve(protocol: str, port: int, family: int, data: bytes) -> None:
    """Send data to each client, in a child process, until the machine stops."""
    listen(protocol, port, family)
    server = LISTENERS.pop()
    if os.fork():
        server.close()
        return
    while True:
        try:
            if protocol == "tcp":
                connection, _ = server.accept()
                connection.sendall(data)
                connection.close()
            else:
                _, source = server.recvfrom(65535)
                server.sendto(data, source)
        except OSError:
            continue  # the client is gone, or the policy refuses the answer


def received(number: int) -> list[tuple[bytes, Any]]:
    """What a listener received, (data, source) of each; listeners are numbered from 0."""
    server = LISTENERS[number]
    server.setblocking(False)
    messages: list[tuple[bytes, Any]] = []
    while True:
        try:
            if server.type == socket.SOCK_STREAM:
                connection, source = server.accept()
                connection.close()
                messages.append((b"", source[:2]))
            else:
                data, source = server.recvfrom(65535)
                messages.append((data, source[:2]))
        except BlockingIOError:
            return messages


def connect(uid: int, protocol: str, source: str, address: str, port: int) -> int:
    """Connect as a user, from a source or from any; the connection's number."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(
        family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    )
    os.fchown(connection.fileno(), uid, -1)
    connection.settimeout(CONNECTION_SECONDS)
    if source:
        connection.bind((source, 0))
    connection.connect((address, port))
    CONNECTIONS.append(connection)
    return len(CONNECTIONS) - 1


def accept(number: int) -> int:
    """Accept the next connection of a listener, by its number; the connection's number."""
    LISTENERS[number].settimeout(CONNECTION_SECONDS)
    connection, _ = LISTENERS[number].accept()
    connection.settimeout(CONNECTION_SECONDS)
    CONNECTIONS.append(connection)
    return len(CONNECTIONS) - 1


def send(number: int, data: bytes) -> str:
    """Send data on a connection: "sent", or the error's name."""
    try:
        CONNECTIONS[number].sendall(data)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "sent"


def receive(number: int) -> bytes:
    """What a connection receives next; nothing if no data comes in time."""
    try:
        return CONNECTIONS[number].recv(64)
    except TimeoutError:
        return b""


def read(path: str) -> str:
    """A file's text."""
    with open(path) as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Write into a file that exists."""
    with open(path, "w") as file:
        file.write(text)


def execute(line: bytes, functions: dict[str, Any]) -> tuple[bool, Any]:
    """Call the function that a line names; whether it succeeded, and its result or error."""
    try:
        name, arguments = eval(line)
        return (True, functions[name](*arguments))
    except BaseException as error:
        return (False, f"{type(error).__name__}: {error}")


def _serve() -> None:
    """Execute the lines, until the machine stops."""
    while not os.path.exists(PORT):
        time.sleep(0.05)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.setsid()
    port = os.open(PORT, os.O_RDWR | os.O_NOCTTY)
    _raw(port)
    sys.path.insert(0, FOLDER)
    from tests.support.attack import room_access, socket_steps  # noqa: PLC0415  found there alone

    functions = {**vars(socket_steps), **vars(room_access), **globals()}
    commands = os.fdopen(os.dup(port), "rb", buffering=4096)
    _reply(port, (True, "ready"))
    for line in commands:
        _reply(port, execute(line, functions))


def _reply(port: int, result: tuple[bool, Any]) -> None:
    data = repr(result).encode() + b"\n"
    while data:
        data = data[os.write(port, data) :]


def _raw(port: int) -> None:
    """No echo and no line discipline: termios(3) through ctypes, as the image has no termios."""
    state = ctypes.create_string_buffer(60)
    libc = ctypes.CDLL(None)
    libc.tcgetattr(port, state)
    libc.cfmakeraw(state)
    libc.tcsetattr(port, 0, state)


def main() -> None:
    """Started by the kernel: fork a child, then become the shipped PID 1."""
    if os.getpid() == 1 and os.fork():
        os.execv(SHIPPED_INIT, ["/init"])
    _serve()


if __name__ == "__main__":
    main()
