"""What the ends of a measurement do; each function runs in a network namespace.

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
"""More than are made at a time: one that finds it full waits a second for its next SYN."""

_servers: list[int] = []


def serve(port: int, uid: int) -> None:
    """Echo UDP and take TCP connections on a port, in a process of its own as a user."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _serve(port, uid, told)
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(ready, 1), "the server did not start"
    os.close(ready)
    _servers.append(child)


def _serve(port: int, uid: int, told: int) -> None:
    os.setresuid(uid, uid, uid)  # before: rules by user go by who made the socket
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    connections = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    for one in (datagrams, connections):
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for one in (datagrams, connections):
        one.bind(("::", port))
    connections.listen(BACKLOG)
    threading.Thread(target=_accept, args=(connections,), daemon=True).start()
    os.write(told, b"!")
    while True:
        data, sender = datagrams.recvfrom(2048)
        if data != PAYLOAD:
            datagrams.sendto(data, sender)


def _accept(connections: socket.socket) -> None:
    while True:
        connections.accept()[0].close()


def signal_all(number: int) -> None:
    """Send a signal to what was started here: while it is stopped, what it would do when a packet
    wakes it on another processor, now and then, is no part of what the packet costs.
    """
    for child in _servers:
        os.kill(child, number)


def stop() -> None:
    """End what was started here."""
    while _servers:
        child = _servers.pop()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _datagrams(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM)
    found.settimeout(ANSWER_SECONDS)
    found.connect((address, port))
    return found


def send(address: str, port: int, count: int) -> float:
    """Send datagrams that nobody answers, as fast as can be: the receiving side's work up to the
    socket is done before each of these calls returns (netif_rx of veth_xmit).
    """
    with _datagrams(address, port) as end:
        start = time.perf_counter()
        for _ in range(count):
            end.send(PAYLOAD)
        return time.perf_counter() - start


def ask(address: str, port: int, count: int) -> list[float]:
    """How long each of so many questions waits for its answer."""
    times = []
    with _datagrams(address, port) as end:
        for number in range(count):
            question = number.to_bytes(4)
            start = time.perf_counter()
            end.send(question)
            assert end.recv(2048) == question
            times.append(time.perf_counter() - start)
    return times


def connect(address: str, port: int, count: int) -> list[float]:
    """How long each of so many connections takes to be there."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        with socket.create_connection((address, port), ANSWER_SECONDS):
            times.append(time.perf_counter() - start)
    return times
