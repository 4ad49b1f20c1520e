"""Addresses and prefixes with a special meaning, and protocol numbers that no service has.

In: nothing (values only).  Out: prefixes.  Sources: RFC 6890, RFC 4291, RFC 5771.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pbrinit.net.addresses import Family, Prefix

UNSPECIFIED_4 = IPv4Network("0.0.0.0/32")
MULTICAST_4 = IPv4Network("224.0.0.0/4")
LOCAL_MULTICAST = IPv4Network("224.0.0.0/24")
LIMITED_BROADCAST = IPv4Network("255.255.255.255/32")
UNSPECIFIED_6 = IPv6Network("::/128")
MAPPED = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses written as IPv6 addresses (RFC 4291, section 2.5.5.2)."""

LINK_LOCAL = IPv6Network("fe80::/10")
MULTICAST_6 = IPv6Network("ff00::/8")
ALL_NODES = IPv6Network("ff02::1/128")
ALL_ROUTERS = IPv6Network("ff02::2/128")
"""All routers of one link (RFC 4291, section 2.7.1)."""

SOLICITED_NODE = IPv6Network("ff02::1:ff00:0/104")
LOOPBACK_PREFIX: dict[Family, Prefix] = {
    Family.V4: IPv4Network("127.0.0.0/8"),
    Family.V6: IPv6Network("::1/128"),
}
NO_HOST: dict[Family, tuple[Prefix, ...]] = {
    Family.V4: (UNSPECIFIED_4, LOOPBACK_PREFIX[Family.V4], MULTICAST_4, LIMITED_BROADCAST),
    Family.V6: (UNSPECIFIED_6, LOOPBACK_PREFIX[Family.V6], MAPPED, LINK_LOCAL, MULTICAST_6),
}
"""Addresses that belong to no single host, or only on one link."""

ARP = 0
"""The IP protocol number of the look-up that arp_process (net/ipv4/arp.c) makes: 0, no protocol."""

IGMP = 2
"""The IP protocol number of IGMP (RFC 2236)."""
