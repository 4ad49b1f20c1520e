"""What the two ends of a measurement do; each function runs in a network namespace.

In: addresses, ports, counts.  Out: times in seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

PAYLOAD = bytes(22)
"""64 bytes of Ethernet with IPv4 and UDP."""

ANSWER_SECONDS = 2.0
BACKLOG = 1024
"""More than are open at a time: if it is full, the client sends its SYN again after a second."""

_servers: list[int] = []


def serve(port: int, uid: int) -> None:
    """Echo UDP and accept TCP connections on a port, in a process of its own as a user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _serve(port, uid, writer)
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1), "the server did not start"
    os.close(reader)
    _servers.append(child)


def _serve(port: int, uid: int, ready: int) -> None:
    os.setresuid(uid, uid, uid)  # first: a rule with a user matches the user who created the socket
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    connections = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    for server in (datagrams, connections):
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for server in (datagrams, connections):
        server.bind(("::", port))
    connections.listen(BACKLOG)
    threading.Thread(target=_accept, args=(connections,), daemon=True).start()
    os.write(ready, b"!")
    while True:
        data, sender = datagrams.recvfrom(2048)
        if data != PAYLOAD:
            datagrams.sendto(data, sender)


def _accept(connections: socket.socket) -> None:
    while True:
        connections.accept()[0].close()


def signal_all(number: int) -> None:
    """Send a signal to every server. While a server is stopped, no packet wakes it on another
    processor, and its work is not measured.
    """
    for child in _servers:
        os.kill(child, number)


def stop() -> None:
    """End all servers."""
    while _servers:
        child = _servers.pop()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _udp_socket(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.settimeout(ANSWER_SECONDS)
    datagrams.connect((address, port))
    return datagrams


def send(address: str, port: int, count: int) -> float:
    """Send datagrams without answers as fast as possible; the time. The receiving side's work up to
    the socket is done before each send returns (netif_rx of veth_xmit).
    """
    with _udp_socket(address, port) as end:
        start = time.perf_counter()
        for _ in range(count):
            end.send(PAYLOAD)
        return time.perf_counter() - start


def round_trips(address: str, port: int, count: int) -> list[float]:
    """The round trip time of each of `count` datagrams."""
    times = []
    with _udp_socket(address, port) as end:
        for number in range(count):
            request = number.to_bytes(4)
            start = time.perf_counter()
            end.send(request)
            assert end.recv(2048) == request
            times.append(time.perf_counter() - start)
    return times


def connection_times(address: str, port: int, count: int) -> list[float]:
    """The time to establish each of `count` connections."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        with socket.create_connection((address, port), ANSWER_SECONDS):
            times.append(time.perf_counter() - start)
    return times
