"""Which sets of addresses are the Internet at large, and which no host of it can answer.

In: sets of addresses.  Out: yes or no, or the part of them that is private.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pbrinit.net.addresses import AddressSet, Family, Prefix

PRIVATE: dict[Family, tuple[Prefix, ...]] = {
    Family.V4: tuple(
        map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
    ),
    Family.V6: (IPv6Network("fc00::/7"),),
}
"""RFC 1918, RFC 6598, RFC 4193."""

GLOBAL_UNICAST_BITS = {Family.V4: 32, Family.V6: 125}
"""In IPv6 it is 2000::/3."""


def is_the_internet(addresses: AddressSet) -> bool:
    """Whether they are at least half of all hosts."""
    size = sum(last - first + 1 for first, last in addresses.ranges)
    return size >= 1 << (GLOBAL_UNICAST_BITS[addresses.family] - 1)


def private_part(addresses: AddressSet) -> AddressSet:
    """Those of them that have no route on the Internet."""
    family = addresses.family
    return addresses & AddressSet.from_prefixes(family, PRIVATE[family])
