"""What the kernel tells the sender of a packet that it drops: ICMP errors.

In: a `Machine`, a packet that arrived and the reason.  Out: the `Verdict` on that packet, with
the ICMP error and what becomes of it.  Functions named are those of Linux 6.12.

Left out is that the kernel sends only so many in a second (icmp_ratelimit).
"""

from __future__ import annotations

import enum
from dataclasses import replace

from pbrinit.model.fib import Trace
from pbrinit.model.host import HostState
from pbrinit.model.output import OutputPath
from pbrinit.model.verdict import IcmpError, Outcome, Verdict, dropped
from pbrinit.net import icmp
from pbrinit.net.addresses import Address, Family
from pbrinit.net.packet import Egress, Fragment, Packet
from pbrinit.net.services import Protocol
from pbrinit.net.special_addresses import ARP

KERNEL = 0
"""The kernel's own packets are root's (sock_net_uid, include/net/sock.h)."""


class Reason(enum.Enum):
    """Why, as a message of each family."""

    NO_ROUTE = icmp.NO_ROUTE
    PROHIBITED = icmp.PROHIBITED
    NOT_NEIGHBOUR = icmp.NOT_NEIGHBOUR
    TOO_BIG = icmp.TOO_BIG
    TIME_EXCEEDED = icmp.TIME_EXCEEDED


class IcmpErrors:
    """The ICMP errors of a machine."""

    def __init__(self, host: HostState, sender: OutputPath) -> None:
        self._host = host
        self._output = sender

    def drop(
        self, reason: Reason, why: str, packet: Packet, device: str, *traces: Trace
    ) -> Verdict:
        """The verdict on a packet that arrived by `device`, is dropped, and whose sender is to
        be told, if the kernel tells such a sender and the output look-up lets it.
        """
        told = _told_4(packet) if packet.family is Family.V4 else _told_6(packet, reason)
        if packet.source is None or not told:
            return dropped(why, *traces)
        icmp_error = self._icmp_error(reason, packet, packet.source, device)
        outcome = Outcome.REJECTED if icmp_error.verdict.allowed else Outcome.DROPPED
        return Verdict(outcome, why, traces, icmp_error=icmp_error)

    def _icmp_error(
        self, reason: Reason, packet: Packet, sender: Address, device: str
    ) -> IcmpError:
        message = reason.value[packet.family]
        error = Packet(Protocol.ICMP, None, sender, icmp=message)
        if packet.family is Family.V6:
            own = self._source_6(packet, sender, device)
            error = Packet(Protocol.ICMPV6, own, sender, icmp=message)
        near = packet.family is Family.V6 and sender.is_link_local
        flow = self._output.flow(error, Egress(KERNEL, device if near else None))
        return IcmpError(error, self._output.output(replace(flow, strict=False)))

    def _source_6(self, packet: Packet, sender: Address, device: str) -> Address | None:
        """The address that an ICMPv6 error comes from, chosen before its look-up: the one that
        was asked, if it is the device's, else one of the device's (icmp6_send).

        An ICMP error has none before its look-up (__icmp_send), which is not repeated.
        """
        own = (address.ip for address in self._host.addresses(device, Family.V6))
        if packet.destination in own:
            return packet.destination
        return self._host.source(device, sender)


def _told_4(packet: Packet) -> bool:
    """Whether __icmp_send (net/ipv4/icmp.c) answers it: not a later fragment, nor an error.
    Those to all never come so far. ARP is no IP.
    """
    error = packet.icmp is not None and packet.icmp[0] not in icmp.QUERIES
    return not error and packet.fragment is not Fragment.LATER and packet.protocol != ARP


def _told_6(packet: Packet, reason: Reason) -> bool:
    """Whether icmp6_send (net/ipv6/icmp.c) answers it: not from nobody, nor an error; what went
    to a group only where it was too big.
    """
    error = packet.icmp is not None and packet.icmp[0] < icmp.FIRST_QUERY_6
    source, group = packet.source, packet.destination.is_multicast
    if source is None or source.is_unspecified or source.is_multicast:
        return False
    return not error and (not group or reason is Reason.TOO_BIG)
