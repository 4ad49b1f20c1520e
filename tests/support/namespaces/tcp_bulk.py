"""Bulk data over TCP, and counters of ICMP errors: calls for `lab`.

In: addresses and ports, plain values.  Out: how many bytes arrived; counters.
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
served_ports: set[int] = set()


def serve(own: tuple[str, ...], port: int, size: int) -> None:
    """Receive an upload and report its size, or send a download, as the client's first byte says.
    A second call for the same port does nothing.
    """
    if port in served_ports:
        return
    served_ports.add(port)
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
                client.sendall(b"%d\n" % _receive_all(client))
            else:
                client.sendall(bytes(size))


def transfer(calls: list[tuple[tuple[str, int], str]], direction: str, size: int) -> list[int]:
    """Transfer `size` bytes to or from each server, all at the same time; how many arrived.

    A call is the server's end and the client's address, which may be empty. Raises OSError.
    """
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda call: _transfer(call[0], call[1], direction, size), calls))


def _transfer(server: tuple[str, int], own: str, direction: str, size: int) -> int:
    source = (own, 0) if own else None
    with socket.create_connection(server, SECONDS, source_address=source) as client:
        if direction == "download":
            client.sendall(b"d")
            return _receive_all(client)
        client.sendall(b"u" + bytes(size))
        client.shutdown(socket.SHUT_WR)
        return int(client.makefile().readline())


def _receive_all(client: socket.socket) -> int:
    total = 0
    while piece := client.recv(len(PIECE)):
        total += len(piece)
    return total


def icmp_error_counts() -> dict[int, int]:
    """How many ICMP errors this namespace received, by the version of IP: Destination Unreachable
    of IPv4, Packet Too Big of IPv6 (/proc/net/snmp, snmp6).
    """
    lines = Path("/proc/net/snmp6").read_text().splitlines()
    six = int(dict(line.split() for line in lines)["Icmp6InPktTooBigs"])
    return {4: in_namespace.snmp_counter("Icmp InDestUnreachs"), 6: six}
