"""What the kernel drops before any look-up, because of the addresses alone.

In: a `Packet` that arrives.  Out: the reason, or None.  Functions named are Linux 6.12's.
"""

from __future__ import annotations

from pbrinit.net.packet import Packet
from pbrinit.net.special_addresses import (
    ARP,
    IGMP,
    LIMITED_BROADCAST,
    LOCAL_MULTICAST,
    UNSPECIFIED_4,
)

UNSPECIFIED = UNSPECIFIED_4.network_address
BROADCAST = LIMITED_BROADCAST.network_address


def is_broadcast(packet: Packet) -> bool:
    """Whether ip_route_input_slow takes it for a broadcast without a look-up."""
    both = packet.source == packet.destination == UNSPECIFIED
    return both or packet.destination == BROADCAST


def martian_4(packet: Packet) -> str | None:
    """Why ip_route_input_slow and ip_mc_validate_source drop it without a look-up, if so."""
    source, destination = packet.source or UNSPECIFIED, packet.destination
    group = destination.is_multicast
    everybody = group or is_broadcast(packet)
    joined = not group or destination in LOCAL_MULTICAST or packet.protocol == IGMP
    reasons = (
        (source.is_multicast or source == BROADCAST, "no host has such a source"),
        (everybody and packet.protocol == ARP, "ARP is not about everybody's addresses"),
        (source == UNSPECIFIED and not (everybody and joined), "0.0.0.0 is no source"),
        (destination == UNSPECIFIED and not everybody, "0.0.0.0 is no destination"),
        (source.is_loopback and destination != BROADCAST,
         "127.0.0.0/8 does not come in from outside"),
        (destination.is_loopback, "127.0.0.0/8 does not come in from outside"),
    )  # fmt: skip
    return next((f"{why} (martian)" for holds, why in reasons if holds), None)


def martian_6(packet: Packet) -> str | None:
    """Why ip6_rcv_core drops it without a look-up, if so. It takes IPv4-mapped sources."""
    source, destination = packet.source, packet.destination
    scope = destination.packed[1] & 0xF
    reasons = (
        (destination.is_loopback or (source is not None and source.is_loopback),
         "::1 does not come in from outside"),
        (source is not None and source.is_multicast, "a multicast address is no source"),
        (destination.is_multicast and scope in (0, 1),
         "a multicast address of this scope stays on its machine"),
    )  # fmt: skip
    return next((why for holds, why in reasons if holds), None)
