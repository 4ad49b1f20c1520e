"""Much data over TCP, and who was told of errors; acts of `lab`.

In: addresses and ports, plain values.  Out: how much arrived; counters.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.namespaces import in_namespace

SECONDS = 40.0
PIECE = bytes(65536)
served: set[int] = set()


def serve(own: tuple[str, ...], port: int, size: int) -> None:
    """Take an upload and say how much it was, or send a download, as the client's first letter
    says. Again for the same port, it does nothing.
    """
    if port in served:
        return
    served.add(port)
    for address in own:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = socket.create_server((address, port), family=family)
        threading.Thread(target=_answer, args=(server, size), daemon=True).start()


def _answer(server: socket.socket, size: int) -> None:
    while True:
        client, _ = server.accept()
        client.settimeout(SECONDS)
        with client, contextlib.suppress(OSError):
            if client.recv(1) == b"u":
                client.sendall(b"%d\n" % _all_of(client))
            else:
                client.sendall(bytes(size))


def ask(calls: list[tuple[tuple[str, int], str]], direction: str, size: int) -> list[int]:
    """Move so many bytes to each server, or from it, all at the same time; how many arrived.

    A call is the server's end and an own address, which may be empty. Raises OSError.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda call: _ask(call[0], call[1], direction, size), calls))


def _ask(there: tuple[str, int], own: str, direction: str, size: int) -> int:
    source = (own, 0) if own else None
    with socket.create_connection(there, SECONDS, source_address=source) as client:
        if direction == "download":
            client.sendall(b"d")
            return _all_of(client)
        client.sendall(b"u" + bytes(size))
        client.shutdown(socket.SHUT_WR)
        return int(client.makefile().readline())


def _all_of(client: socket.socket) -> int:
    total = 0
    while piece := client.recv(len(PIECE)):
        total += len(piece)
    return total


def errors() -> dict[int, int]:
    """How many ICMP errors about what could not be delivered this namespace was handed, by the
    version of IP (/proc/net/snmp, snmp6).
    """
    lines = Path("/proc/net/snmp6").read_text().splitlines()
    six = int(dict(line.split() for line in lines)["Icmp6InPktTooBigs"])
    return {4: in_namespace.counted("Icmp InDestUnreachs"), 6: six}
