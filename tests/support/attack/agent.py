#!/usr/bin/python3 -ISB
"""The program inside: runs in the guest beside PID 1, and does what it is told.

In: lines on the second serial port, each (function, arguments) as a Python literal.  Out: a line
for each, (True, result) or (False, error).  It is a test's own archive beside the shipped image,
started by the kernel's `rdinit=`: it leaves a child behind and becomes the shipped `/init`.
It has the modules that are in the image, and no others.
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
CALLS: list[socket.socket] = []
CALL_SECONDS = 1.0
LINE = "/run/line"
FOLDER = "/adversary"


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


def tapped() -> list[tuple[int, int, int]]:
    """The tags of all that was delivered since it was last asked, with version and protocol."""
    found: set[tuple[int, int, int]] = set()
    for version, protocol, raw in TAPS:
        while True:
            try:
                data = raw.recv(65535)
            except BlockingIOError:
                break
            at = data.find(MAGIC)
            while at >= 0:
                found.add((data[at + 2] << 8 | data[at + 3], version, protocol))
                at = data.find(MAGIC, at + 2)
    return sorted(found)


def listen(protocol: str, port: int, family: int, address: str = "") -> None:
    """A listener, kept for good."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    server = socket.socket(family, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen(128)
    LISTENERS.append(server)


def serve(protocol: str, port: int, family: int, words: bytes) -> None:
    """Say words to whoever comes, in a child, until the machine ends."""
    listen(protocol, port, family)
    server = LISTENERS.pop()
    if os.fork():
        server.close()
        return
    while True:
        try:
            if protocol == "tcp":
                connection, _ = server.accept()
                connection.sendall(words)
                connection.close()
            else:
                _, source = server.recvfrom(65535)
                server.sendto(words, source)
        except OSError:
            continue  # he went, or may not be answered


def heard(number: int) -> list[tuple[bytes, Any]]:
    """What came to a listener, by its number in order: (data, source) of each."""
    server = LISTENERS[number]
    server.setblocking(False)
    found: list[tuple[bytes, Any]] = []
    while True:
        try:
            if server.type == socket.SOCK_STREAM:
                connection, source = server.accept()
                connection.close()
                found.append((b"", source[:2]))
            else:
                data, source = server.recvfrom(65535)
                found.append((data, source[:2]))
        except BlockingIOError:
            return found


def dial(uid: int, protocol: str, source: str, address: str, port: int) -> int:
    """Connect as a user, from a source or from any; the number of the call."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    call = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    os.fchown(call.fileno(), uid, -1)
    call.settimeout(CALL_SECONDS)
    if source:
        call.bind((source, 0))
    call.connect((address, port))
    CALLS.append(call)
    return len(CALLS) - 1


def take(number: int) -> int:
    """Take the next who calls a listener, by its number in order; the number of the call."""
    LISTENERS[number].settimeout(CALL_SECONDS)
    call, _ = LISTENERS[number].accept()
    call.settimeout(CALL_SECONDS)
    CALLS.append(call)
    return len(CALLS) - 1


def say(number: int, words: bytes) -> str:
    """Say something in a call: "said", or why not."""
    try:
        CALLS[number].sendall(words)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "said"


def hear(number: int) -> bytes:
    """What is said next in a call; nothing where it stays silent."""
    try:
        return CALLS[number].recv(64)
    except TimeoutError:
        return b""


def read(path: str) -> str:
    """A file's text."""
    with open(path) as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Write into a file that is there."""
    with open(path, "w") as file:
        file.write(text)


def done(line: bytes, functions: dict[str, Any]) -> tuple[bool, Any]:
    """Have one line's function done; what came of it."""
    try:
        name, arguments = eval(line)
        return (True, functions[name](*arguments))
    except BaseException as error:
        return (False, f"{type(error).__name__}: {error}")


def _serve() -> None:
    """Do what the lines say, until the machine ends."""
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
    _say(port, (True, "here"))
    for line in commands:
        _say(port, done(line, functions))


def _say(port: int, result: tuple[bool, Any]) -> None:
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
    """As the kernel starts it: leave a child and become the shipped PID 1."""
    if os.getpid() == 1 and os.fork():
        os.execv("/init", ["/init"])
    _serve()


if __name__ == "__main__":
    main()
