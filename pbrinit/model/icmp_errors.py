"""What the kernel tells the sender of a packet that it drops: ICMP errors.

In: a `Machine`, a packet that arrived and the reason.  Out: the `Verdict` on that packet, with
the ICMP error and what becomes of it.  Functions named are those of Linux 6.12.

Left out is that the kernel sends only so many in a second (icmp_ratelimit).
"""

from __future__ import annotations

import enum
from dataclasses import replace

from pbrinit.model.fib import Trace
from pbrinit.model.host import Machine
from pbrinit.model.output import Sender
from pbrinit.model.verdict import Notice, Outcome, Verdict, dropped
from pbrinit.net.addresses import Address, Family
from pbrinit.net.packet import ARP, Fragment, Out, Packet
from pbrinit.net.services import Protocol

KERNEL = 0
"""The kernel's own packets are root's (sock_net_uid, include/net/sock.h)."""

QUERIES = (0, 8, 13, 14, 15, 16, 17, 18)
"""ICMP's types that are no errors (icmp_pointers, net/ipv4/icmp.c); unknown ones are."""

FIRST_QUERY_6 = 128
"""ICMPv6's types below are errors (RFC 4443, 2.1)."""


class Reason(enum.Enum):
    """Why, as type and code: of ICMP (RFC 792, RFC 1812) and of ICMPv6 (RFC 4443)."""

    NO_ROUTE = ((3, 0), (1, 0))
    PROHIBITED = ((3, 13), (1, 1))
    NOT_NEIGHBOUR = ((3, 0), (1, 2))
    TOO_BIG = ((3, 4), (2, 0))
    TIME_EXCEEDED = ((11, 0), (3, 0))


class Notices:
    """The ICMP errors of a machine."""

    def __init__(self, machine: Machine, sender: Sender) -> None:
        self._machine = machine
        self._sender = sender

    def tell(
        self, reason: Reason, why: str, packet: Packet, device: str, *traces: Trace
    ) -> Verdict:
        """The verdict on a packet that arrived by `device`, is dropped, and whose sender is to
        be told, if the kernel tells such a sender and the output look-up lets it.
        """
        told = _told_4(packet) if packet.family is Family.V4 else _told_6(packet, reason)
        if packet.source is None or not told:
            return dropped(why, *traces)
        notice = self._notice(reason, packet, packet.source, device)
        outcome = Outcome.REJECTED if notice.verdict.allowed else Outcome.DROPPED
        return Verdict(outcome, why, traces, notice=notice)

    def _notice(self, reason: Reason, packet: Packet, sender: Address, device: str) -> Notice:
        of_four, of_six = reason.value
        error = Packet(Protocol.ICMP, None, sender, icmp=of_four)
        if packet.family is Family.V6:
            own = self._source_6(packet, sender, device)
            error = Packet(Protocol.ICMPV6, own, sender, icmp=of_six)
        near = packet.family is Family.V6 and sender.is_link_local
        flow = self._sender.flow(error, Out(KERNEL, device if near else None))
        return Notice(error, self._sender.output(replace(flow, strict=False)))

    def _source_6(self, packet: Packet, sender: Address, device: str) -> Address | None:
        """The address that an ICMPv6 error comes from, chosen before its look-up: the one that
        was asked, if it is the device's, else one of the device's (icmp6_send).

        An ICMP error has none before its look-up (__icmp_send), which is not repeated.
        """
        own = (address.ip for address in self._machine.addresses(device, Family.V6))
        if packet.destination in own:
            return packet.destination
        return self._machine.source(device, sender)


def _told_4(packet: Packet) -> bool:
    """Whether __icmp_send (net/ipv4/icmp.c) answers it: not a later fragment, nor an error.
    Those to all never come so far. ARP is no IP.
    """
    error = packet.icmp is not None and packet.icmp[0] not in QUERIES
    return not error and packet.fragment is not Fragment.LATER and packet.protocol != ARP


def _told_6(packet: Packet, reason: Reason) -> bool:
    """Whether icmp6_send (net/ipv6/icmp.c) answers it: not from nobody, nor an error; what went
    to a group only where it was too big.
    """
    error = packet.icmp is not None and packet.icmp[0] < FIRST_QUERY_6
    source, group = packet.source, packet.destination.is_multicast
    if source is None or source.is_unspecified or source.is_multicast:
        return False
    return not error and (not group or reason is Reason.TOO_BIG)
