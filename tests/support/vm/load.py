"""Everybody asks a machine for everything, without end: acts of `lab`.

In: where the machine is, its addresses, and who asks.  Out: how many frames that were.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer

from tests.support.namespaces import in_namespace

PAUSE = 0.002
done = threading.Event()
count = [0]
threads: list[threading.Thread] = []


def start(
    hardware: str, addresses: tuple[str, ...], sources: tuple[str, ...], pause: float = PAUSE
) -> None:
    """Ask from now on, in a thread, a frame after each pause."""
    done.clear()
    count[0] = 0
    frames = list(_frames(hardware, addresses, sources))
    threads.append(threading.Thread(target=_ask, args=(frames, pause), daemon=True))
    threads[-1].start()


def stop() -> int:
    """Ask no more; how many frames were sent."""
    done.set()
    threads.pop().join()
    return count[0]


def _ask(frames: list[bytes], pause: float) -> None:
    for frame in itertools.cycle(frames):
        if done.is_set():
            return
        in_namespace.transmit([frame])
        count[0] += 1
        time.sleep(pause)


def _frames(hardware: str, addresses: tuple[str, ...], sources: tuple[str, ...]) -> Iterator[bytes]:
    for source, address in itertools.product(sources, addresses):
        if (":" in source) != (":" in address):
            continue
        six = ":" in address
        header: type[Layer] = IPv6 if six else IP
        ends = Ether(dst=hardware) / header(src=source, dst=address)
        asked: list[Layer] = [TCP(sport=40000, dport=port, flags="S") for port in (22, 80, 443)]
        asked += [UDP(sport=40000, dport=port) / b"?" for port in (53, 67, 68, 546)]
        asked += [UDP(sport=53, dport=40000) / b"?"]
        asked += [ICMPv6EchoRequest()] if six else [ICMP(), ICMP(type=13)]
        yield from (bytes(ends / one) for one in asked)
