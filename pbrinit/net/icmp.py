"""ICMP and ICMPv6: protocol numbers, types and codes, and how look-ups see them.

In: nothing (values only).  Out: an `IcmpType` of each family for each message that policies, plans
and the model use.  Sources: RFC 792, RFC 1812, section 5.2.7, RFC 4443, RFC 4861.
"""

from __future__ import annotations

from typing import NamedTuple

from pbrinit.net.addresses import Family
from pbrinit.net.services import Ports, PortSet, Protocol

ANY_PORT: PortSet = (Ports(0, 65535),)
NO_PORT: PortSet = (Ports(0, 0), Ports(65535, 65535))
"""The ports that no rule can name (fib_nl2rule, net/core/fib_rules.c). Rules treat both alike."""


class IcmpType(NamedTuple):
    """Type and code of an ICMP message."""

    type: int
    code: int

    @property
    def ports(self) -> PortSet:
        """What an output look-up has as the destination port: type x 256 + code (union
        flowi_uli, include/net/flow.h).

        Type 0 code 0, IPv4's echo reply, is port 0, which no rule can name. It is matched together
        with the other port that no rule can name: type 255 code 255, which is reserved (RFC 4727)
        and which only root can send.
        """
        number = self.type << 8 | self.code
        return (Ports(number, number),) if number else NO_PORT


PROTOCOL = {Family.V4: Protocol.ICMP, Family.V6: Protocol.ICMPV6}
ECHO_REQUEST = {Family.V4: IcmpType(8, 0), Family.V6: IcmpType(128, 0)}
ECHO_REPLY = {Family.V4: IcmpType(0, 0), Family.V6: IcmpType(129, 0)}
NO_ROUTE = {Family.V4: IcmpType(3, 0), Family.V6: IcmpType(1, 0)}
NOT_NEIGHBOUR = {Family.V4: IcmpType(3, 0), Family.V6: IcmpType(1, 2)}
"""ICMP of IPv4 has no such code and sends "no route" instead."""

PROHIBITED = {Family.V4: IcmpType(3, 13), Family.V6: IcmpType(1, 1)}
TOO_BIG = {Family.V4: IcmpType(3, 4), Family.V6: IcmpType(2, 0)}
TIME_EXCEEDED = {Family.V4: IcmpType(11, 0), Family.V6: IcmpType(3, 0)}
ROUTER_SOLICITATION = IcmpType(133, 0)

QUERIES = (0, 8, 13, 14, 15, 16, 17, 18)
"""ICMP's types that are not errors (icmp_pointers, net/ipv4/icmp.c); unknown types are errors."""

FIRST_QUERY_6 = 128
"""ICMPv6's types below this number are errors (RFC 4443, section 2.1)."""
