"""A packet and where it comes from, as far as the kernel's look-ups can see them.

In: nothing (values only).  Out: `Packet`, and its `Origin`: `Ingress` or `Egress`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from pbrinit.net.addresses import Address, Family, family_of
from pbrinit.net.icmp import ECHO_REPLY, ECHO_REQUEST
from pbrinit.net.services import Protocol

WITH_PORTS = (Protocol.TCP, Protocol.UDP)
WITH_TYPES = (Protocol.ICMP, Protocol.ICMPV6)


class Fragment(enum.Enum):
    """Whether the packet is whole or a fragment. Neither kind of fragment shows ports to a rule."""

    WHOLE = "whole"
    FIRST = "first fragment"
    LATER = "later fragment"


@dataclass(frozen=True)
class Packet:
    """One packet. Its family is that of its destination.

    `source` is None in output where the kernel is to choose it.  `icmp` is type and code, for
    ICMP and ICMPv6 only.  `ttl` is the TTL or the hop limit.  `too_big`: the packet is larger than
    the MTU of the interface it leaves by, and must not be fragmented.
    """

    protocol: int
    source: Address | None
    destination: Address
    source_port: int = 0
    destination_port: int = 0
    icmp: tuple[int, int] | None = None
    fragment: Fragment = Fragment.WHOLE
    ttl: int = 64
    too_big: bool = False

    @property
    def family(self) -> Family:
        """The address family."""
        return family_of(self.destination)

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination port as __skb_flow_dissect (net/core/flow_dissector.c) reads
        them from a packet that arrives: 0 for fragments and for ICMP.
        """
        if self.fragment is not Fragment.WHOLE or self.protocol not in WITH_PORTS:
            return 0, 0
        return self.source_port, self.destination_port

    @property
    def flow_ports(self) -> tuple[int, int]:
        """Source and destination port of the flow that a socket looks up.

        For ICMP, type and code are in the place of the destination port (union flowi_uli,
        include/net/flow.h).  A packet is fragmented after its look-up.
        """
        if self.icmp is not None:
            type_, code = self.icmp
            return 0, type_ << 8 | code
        return self.source_port, self.destination_port

    def reverse_flow(self) -> Packet | None:
        """The answer that the other side sends; None where no answer is known, or where the
        kernel is still to choose the source.
        """
        if self.source is None:
            return None
        icmp = None
        if self.icmp is not None:
            if self.icmp != ECHO_REQUEST[self.family]:
                return None
            icmp = ECHO_REPLY[self.family]
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            source_port=self.destination_port,
            destination_port=self.source_port,
            icmp=icmp,
            fragment=Fragment.WHOLE,
            ttl=Packet.ttl,
            too_big=False,
        )


@dataclass(frozen=True)
class Ingress:
    """The packet arrives by a device, for this machine or to be forwarded."""

    device: str


@dataclass(frozen=True)
class Egress:
    """The packet is sent by a program of the user `uid`.

    `device` is the device that the socket is bound to, if any.  `bound`: the socket has its source
    address and port before it sends, as a server's has, so there is only one look-up.
    `port_bound`: it has its port, but no address, so that the first look-up of TCP sees the port
    too.
    """

    uid: int
    device: str | None = None
    bound: bool = False
    port_bound: bool = False


Origin = Ingress | Egress
