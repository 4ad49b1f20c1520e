"""A packet and which way it goes, as far as the kernel's look-ups can see them.

In: nothing (values only).  Out: `Packet`, `In` and `Out`, which the model takes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from pbrinit.net.addresses import Address, Family
from pbrinit.net.icmp import ECHO_REPLY, ECHO_REQUEST
from pbrinit.net.services import Protocol

WITH_PORTS = (Protocol.TCP, Protocol.UDP)
WITH_TYPES = (Protocol.ICMP, Protocol.ICMPV6)


class Fragment(enum.Enum):
    """Whether the packet is whole. Neither fragment shows its ports to a rule."""

    WHOLE = "whole"
    FIRST = "first fragment"
    LATER = "later fragment"


@dataclass(frozen=True)
class Packet:
    """One packet. Its family is its destination's.

    `source` is None where the kernel is to choose it, on the way out.  `icmp` is type and
    code, for ICMP and ICMPv6 only.  `hops` is how many machines may still take it (TTL, hop
    limit).  `too_big`: the way on takes nothing of this length, and it may not be cut.
    """

    protocol: int
    source: Address | None
    destination: Address
    source_port: int = 0
    destination_port: int = 0
    icmp: tuple[int, int] | None = None
    fragment: Fragment = Fragment.WHOLE
    hops: int = 64
    too_big: bool = False

    @property
    def family(self) -> Family:
        """The address family."""
        return Family.of(self.destination)

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination port as __skb_flow_dissect (net/core/flow_dissector.c) reads
        them from a packet on its way in: of a fragment none, of ICMP none.
        """
        if self.fragment is not Fragment.WHOLE or self.protocol not in WITH_PORTS:
            return 0, 0
        return self.source_port, self.destination_port

    @property
    def flow_ports(self) -> tuple[int, int]:
        """Source and destination port of the flow that a socket looks up with.

        ICMP's type and code stand where the destination port is (union flowi_uli,
        include/net/flow.h).  A packet is cut into fragments after its look-up.
        """
        if self.icmp is not None:
            kind, code = self.icmp
            return 0, kind << 8 | code
        return self.source_port, self.destination_port

    def answer(self) -> Packet | None:
        """What the other side sends in answer; None where nothing is known to answer, or
        the kernel has yet to choose who asks.
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
            hops=Packet.hops,
            too_big=False,
        )


@dataclass(frozen=True)
class In:
    """Arrives by a device: for this machine, or to be passed on."""

    device: str


@dataclass(frozen=True)
class Out:
    """Sent by a program of the user `uid`.

    `device`: the socket is bound to it.  `bound`: the socket has its source address and port
    before it sends, as a server's has, so that it is looked up once.
    """

    uid: int
    device: str | None = None
    bound: bool = False


Direction = In | Out
