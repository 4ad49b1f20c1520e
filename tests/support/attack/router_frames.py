"""Frames between the two sides of the router of examples/router.toml.

In: the card by which a packet comes, the host inside.  Out: the ends of the packet, its frame, and
the first shots at a router that was just booted.
"""

from __future__ import annotations

from collections.abc import Iterator

from scapy.packet import Packet

from tests.support.attack.shot import Shot, ether, ip, tcp
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.router_example import FAR, INSIDE, LAN, WAN


def to_router(way: int, packet: Packet) -> bytes:
    """A packet in a frame to one of the router's cards."""
    return bytes(ether(PEER_MACS[way], GUEST_MACS[way]) / packet)


def between(way: int, who: str, version: int) -> tuple[str, str]:
    """Source and destination of a packet that comes by the card `way`."""
    inside = INSIDE[who][version]
    return (inside, FAR[version]) if way == LAN else (FAR[version], inside)


def first_words() -> Iterator[Shot]:
    """To everybody who is spoken to later, so that the router asks for hardware addresses."""
    for version in (4, 6):
        for who in INSIDE:
            for way, body in ((WAN, tcp(443, 40000)), (LAN, tcp(40000, 443))):
                packet = ip(*between(way, who, version)) / body
                yield Shot("first", who, (to_router(way, packet),), passes=True, nic=way)
