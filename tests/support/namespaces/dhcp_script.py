"""A DHCP server that says what a test wrote: calls for `lab`, on the peer's end of the wire.

In: the options of each reply, as scapy writes them.  Out: the replies, and what was asked.

It answers as some clouds do, from a program and not from a server with a pool: a real dnsmasq puts
in what it thinks is missing.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from random import Random

from scapy.layers.dhcp import BOOTP

from tests.support.dhcp_bytes import answer, option
from tests.support.generate.packets import seeded

REPLIES = {1: "offer", 3: "ack"}
EVERYBODY = "255.255.255.255"
servers: list[int] = []


def start_server(
    log: str, options: tuple[object, ...], address: str, source: str, noise: int = 0
) -> None:
    """Answer every request from `source`, and note it in the file `log`: the type of the answer,
    and where the request was sent to. Before each answer go so many mangled ones, none of which
    gives an address that a host can have.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        sock.bind(("", 67))
        child = os.fork()
        if child:
            servers.append(child)
            return
        try:
            _serve(sock, Path(log), options, (address, source), noise)
        finally:
            os._exit(1)


def _serve(
    sock: socket.socket,
    log: Path,
    options: tuple[object, ...],
    ends: tuple[str, str],
    noise: int,
) -> None:
    address, source = ends
    drawn = seeded("mangled replies")
    while True:
        data, ancillary, _, _ = sock.recvmsg(1500, 64)
        to = socket.inet_ntoa(ancillary[0][2][8:12])
        kind = option(data, "message-type")
        if kind not in REPLIES:
            continue
        with log.open("a") as file:
            file.write(f"{REPLIES[kind]} {to}\n")
        reply = answer(REPLIES[kind], data, *options, address=address)
        client = BOOTP(data).ciaddr
        to_client = EVERYBODY if client == "0.0.0.0" else client
        for _ in range(noise):
            nothing = answer(REPLIES[kind], data, *options, address="224.0.0.1")
            sock.sendto(_mangled(nothing, drawn), (to_client, 68))
        packed = socket.inet_aton("0.0.0.0") + socket.inet_aton(source) + bytes(4)
        sock.sendmsg(
            [reply], [(socket.IPPROTO_IP, 8, packed)], 0,
            (to_client, 68),
        )  # fmt: skip


def _mangled(reply: bytes, drawn: Random) -> bytes:
    """A reply with some bytes of its options changed, lost or cut."""
    data = bytearray(reply)
    for _ in range(drawn.randrange(1, 6)):
        data[drawn.randrange(240, len(data))] = drawn.randrange(256)
    at = drawn.randrange(240, len(data))
    del data[at : at + drawn.randrange(5)]
    return bytes(data[: drawn.randrange(200, len(data) + 1)])


def stop_server() -> None:
    """End the server."""
    os.kill(servers[-1], signal.SIGKILL)
    os.waitpid(servers.pop(), 0)
