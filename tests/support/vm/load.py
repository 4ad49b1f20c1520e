"""A load of probes of every kind to a machine, without end: calls for `lab`.

In: the machine's hardware address, its addresses, and the sources.  Out: the number of frames sent.
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
    """Start to send in a thread, one frame after each pause."""
    done.clear()
    count[0] = 0
    frames = list(_frames(hardware, addresses, sources))
    threads.append(threading.Thread(target=_send_all, args=(frames, pause), daemon=True))
    threads[-1].start()


def stop() -> int:
    """Stop sending; how many frames were sent."""
    done.set()
    threads.pop().join()
    return count[0]


def _send_all(frames: list[bytes], pause: float) -> None:
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
        payloads: list[Layer] = [TCP(sport=40000, dport=port, flags="S") for port in (22, 80, 443)]
        payloads += [UDP(sport=40000, dport=port) / b"?" for port in (53, 67, 68, 546)]
        payloads += [UDP(sport=53, dport=40000) / b"?"]
        payloads += [ICMPv6EchoRequest()] if six else [ICMP(), ICMP(type=13)]
        yield from (bytes(ends / payload) for payload in payloads)
