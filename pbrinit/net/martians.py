"""Packets that the kernel drops before any look-up, because of their addresses.

In: a `Packet` that arrives.  Out: the reason, or None.  Functions named are those of Linux 6.12.
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
    """Whether ip_route_input_slow treats it as broadcast without a look-up."""
    both_unspecified = packet.source == packet.destination == UNSPECIFIED
    return both_unspecified or packet.destination == BROADCAST


def martian_4(packet: Packet) -> str | None:
    """Why ip_route_input_slow or ip_mc_validate_source drops it without a look-up, else None."""
    source, destination = packet.source or UNSPECIFIED, packet.destination
    multicast = destination.is_multicast
    many_hosts = multicast or is_broadcast(packet)
    from_unspecified = not multicast or destination in LOCAL_MULTICAST or packet.protocol == IGMP
    reasons = (
        (source.is_multicast or source == BROADCAST, "no host has such a source"),
        (many_hosts and packet.protocol == ARP, "ARP does not resolve multicast or broadcast"),
        (source == UNSPECIFIED and not (many_hosts and from_unspecified),
         "0.0.0.0 is not a valid source here"),
        (destination == UNSPECIFIED and not many_hosts, "0.0.0.0 is not a valid destination"),
        (source.is_loopback and destination != BROADCAST,
         "127.0.0.0/8 does not arrive from outside"),
        (destination.is_loopback, "127.0.0.0/8 does not arrive from outside"),
    )  # fmt: skip
    return next((f"{why} (martian)" for applies, why in reasons if applies), None)


def martian_6(packet: Packet) -> str | None:
    """Why ip6_rcv_core drops it without a look-up, else None. It accepts IPv4-mapped sources."""
    source, destination = packet.source, packet.destination
    scope = destination.packed[1] & 0xF
    reasons = (
        (destination.is_loopback or (source is not None and source.is_loopback),
         "::1 does not arrive from outside"),
        (source is not None and source.is_multicast, "a multicast address is not a valid source"),
        (destination.is_multicast and scope in (0, 1),
         "a multicast address of this scope does not leave its machine"),
    )  # fmt: skip
    return next((why for applies, why in reasons if applies), None)
