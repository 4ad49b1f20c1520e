"""Frames between the two sides of the router of examples/router.toml.

In: the card at which a packet arrives, a host of the inner network.  Out: source and destination of
the packet, its frame, and the first shots at a router that was just booted.
"""

from __future__ import annotations

from collections.abc import Iterator

from scapy.packet import Packet

from tests.support.attack.shot import Shot, ether, ip, tcp
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.router_example import FAR, INSIDE, LAN, WAN


def to_router(card: int, packet: Packet) -> bytes:
    """A packet in a frame to one of the router's cards."""
    return bytes(ether(PEER_MACS[card], GUEST_MACS[card]) / packet)


def packet_ends(card: int, host: str, version: int) -> tuple[str, str]:
    """Source and destination of a packet that arrives at `card`."""
    inside = INSIDE[host][version]
    return (inside, FAR[version]) if card == LAN else (FAR[version], inside)


def first_shots() -> Iterator[Shot]:
    """One shot to each host of the tables, so that the router resolves their hardware addresses."""
    for version in (4, 6):
        for host in INSIDE:
            for card, body in ((WAN, tcp(443, 40000)), (LAN, tcp(40000, 443))):
                packet = ip(*packet_ends(card, host, version)) / body
                yield Shot("first", host, (to_router(card, packet),), passes=True, nic=card)
