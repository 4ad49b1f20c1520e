"""Advertisements of routers, made by scapy.

In: what the router says.  Out: the bytes of the ICMPv6 message.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptRouteInfo,
)
from scapy.packet import Packet

PREFIX = "2001:db8:1::"
RESOLVERS = ("2001:db8::53", "2001:db8::54")
OTHERS = (ICMPv6NDOptMTU(mtu=1280), ICMPv6NDOptRouteInfo(prefix="2001:db8:7::", plen=48))
"""Options that are not taken."""


def prefix(value: str = PREFIX, length: int = 64, **fields: Any) -> Packet:
    """A prefix in which hosts make their addresses, for an hour."""
    told = {"L": 1, "A": 1, "validlifetime": 3600, "preferredlifetime": 1800, **fields}
    return ICMPv6NDOptPrefixInfo(prefix=value, prefixlen=length, **told)


def resolvers(*addresses: str, seconds: int = 1200) -> Packet:
    """Who resolves names."""
    return ICMPv6NDOptRDNSS(dns=list(addresses), lifetime=seconds)


def says(*options: Packet, seconds: int = 1800, **fields: Any) -> bytes:
    """What a router says, of medium preference unless said."""
    found: Packet = ICMPv6ND_RA(routerlifetime=seconds, cksum=0, **{"prf": 0, **fields})
    for option in options:
        found /= option
    return bytes(found)
