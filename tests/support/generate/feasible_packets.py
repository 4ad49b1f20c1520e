"""Packets that there can be, of those that are drawn.

In: packets with their directions.  Out: the same, without what no kernel sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address

from pbrinit.net.packet import WITH_PORTS, WITH_TYPES, Egress, Origin, Packet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK

UNSPECIFIED_6 = IPv6Address("::")


def real(packets: Iterable[tuple[Packet, Origin]]) -> Iterator[tuple[Packet, Origin]]:
    """A protocol without ports has none, ARP is not sent by a look-up, :: is no source to IPv6 on
    the way out, and a socket that is not bound has no source yet.
    """
    for packet, direction in packets:
        made = packet
        if packet.protocol not in (*WITH_PORTS, *WITH_TYPES):
            made = replace(packet, source_port=0, destination_port=0)
        if direction.device == LOOPBACK:
            continue
        if isinstance(direction, Egress):
            if made.protocol == ARP:
                continue
            if not direction.bound or made.source == UNSPECIFIED_6:
                made = replace(made, source=None)
        yield made, direction
