"""A host that asks for a neighbour from one address after another: acts of `lab`.

In: the neighbour's address.  Out: frames, until it is told to stop, and how many there were.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from ipaddress import IPv6Address

from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from tests.support.namespaces import in_namespace

PAUSE_SECONDS, AT_ONCE = 0.01, 10
"""A thousand frames a second: twice as many as were enough to fill a table of ordinary size."""

SOURCE = "fe80::bad:0:0:0"
NUMBER_AT, CHECKSUM_AT = 14 + 8 + 12, 14 + 40 + 2
"""In a frame: the last four bytes of the source, and ICMPv6's checksum."""

_stopped = threading.Event()
_sent = [0]


def start(address: str) -> None:
    """Solicit the address (RFC 4861, 7.2.2) from a new link-local address in each frame."""
    last = IPv6Address(address).packed[-3:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + last)
    own = in_namespace.mac()
    asked = IPv6(src=SOURCE, dst=str(group), hlim=255) / ICMPv6ND_NS(tgt=address)
    asked = asked / ICMPv6NDOptSrcLLAddr(lladdr=own)
    first = bytes(Ether(src=own, dst=b"\x33\x33" + group.packed[-4:]) / asked)
    _stopped.clear()
    _sent[0] = 0

    def ask() -> None:
        numbers = itertools.count(1)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("eth0", 0))
            while not _stopped.is_set():
                for _ in range(AT_ONCE):
                    wire.send(_from_another(first, next(numbers)))
                    _sent[0] += 1
                time.sleep(PAUSE_SECONDS)

    threading.Thread(target=ask, daemon=True).start()


def _from_another(first: bytes, number: int) -> bytes:
    """The frame from another source, with the checksum that goes with it (RFC 1624)."""
    frame = bytearray(first)
    struct.pack_into("!I", frame, NUMBER_AT, number)
    (checksum,) = struct.unpack_from("!H", first, CHECKSUM_AT)
    total = (~checksum & 0xFFFF) + (number >> 16) + (number & 0xFFFF)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", frame, CHECKSUM_AT, ~total & 0xFFFF)
    return bytes(frame)


def count() -> int:
    """How many frames there were."""
    return _sent[0]


def stop() -> None:
    """Ask no more."""
    _stopped.set()
