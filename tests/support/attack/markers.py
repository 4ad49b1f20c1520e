"""Markers: echo requests that the policy allows, one after each shot.

In: two addresses.  Out: frames with a number each, and the number in an answer. The guest has one
processor and handles frames in the order of arrival, so what it sends between the answers to two
markers belongs to the shot between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.vm.wire import Frame

MARKER_ID = 0xFE11


@dataclass
class Markers:
    """Echo requests from `source` to `own`, which are answered."""

    source: str
    own: str
    nic: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def frame(self) -> tuple[int, bytes]:
        """The next one, and its number."""
        number = next(self._numbers)
        data = number.to_bytes(8, "big")
        echo = ICMP(id=MARKER_ID, seq=number & 0xFFFF) / data
        ether = Ether(src=PEER_MACS[self.nic], dst=GUEST_MACS[self.nic])
        return number, bytes(ether / IP(src=self.source, dst=self.own) / echo)

    @staticmethod
    def number(frame: Frame) -> int | None:
        """The number of the marker that a frame answers."""
        data = frame.data
        if data[12:14] != b"\x08\x00" or data[23] != 1 or data[34:36] != b"\0\0":
            return None
        if int.from_bytes(data[38:40], "big") != MARKER_ID:
            return None
        return int.from_bytes(data[42:50], "big")
