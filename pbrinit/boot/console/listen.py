"""Listens on ports and says who is heard, so that a person sees what the policy lets in.

In: (protocol, port) pairs.  Out: lines on the console until Ctrl-C.
"""

from __future__ import annotations

import os
import select
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
GREETING = b"pbrinit hears you\n"
LONGEST = 65535


def listen(ports: Iterable[tuple[str, int]], uid: int = 0) -> None:
    """Answer everybody who comes through, in both families, as a user; returns at Ctrl-C.

    Raises OSError where a port cannot be had.
    """
    sockets: dict[socket.socket, str] = {}
    try:
        for protocol, port in ports:
            for family in (socket.AF_INET, socket.AF_INET6):
                sockets[_bound(family, KINDS[protocol], port, uid)] = f"{protocol}/{port}"
        print("listening on", *dict.fromkeys(sockets.values()), "(Ctrl-C ends)", flush=True)
        while True:
            for ready in select.select(list(sockets), [], [])[0]:
                print(f"{sockets[ready]}: {_answer(ready, uid)}", flush=True)
    except KeyboardInterrupt:
        print()
    finally:
        for each in sockets:
            each.close()


def _bound(family: int, kind: int, port: int, uid: int) -> socket.socket:
    """A socket is looked up as its owner (sockfs_setattr, net/socket.c), who may be another than
    the one that has the right to the port.
    """
    bound = socket.socket(family, kind)
    os.fchown(bound.fileno(), uid, -1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind(("", port))
    if kind == socket.SOCK_STREAM:
        bound.listen()
    return bound


def _answer(ready: socket.socket, uid: int) -> str:
    try:
        if ready.type == socket.SOCK_STREAM:
            connection, source = ready.accept()
            with connection:
                os.fchown(connection.fileno(), uid, -1)
                connection.send(GREETING)
            return f"connection from {source[0]} port {source[1]}"
        data, source = ready.recvfrom(LONGEST)
        ready.sendto(GREETING, source)
        return f"{len(data)} bytes from {source[0]} port {source[1]}"
    except OSError as error:
        return f"could not answer: {error.strerror}"
