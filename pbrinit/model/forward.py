"""What the kernel does with a packet that is not for this machine: it is passed on, or not.

In: a packet that arrived, and where the input look-up leads it.  Out: a `Verdict`.  Functions
named are those of Linux 6.12.
"""

from __future__ import annotations

from pbrinit.model.fib import Trace
from pbrinit.model.host import HostState
from pbrinit.model.icmp_errors import IcmpErrors, Reason
from pbrinit.model.tables import FibEntry
from pbrinit.model.verdict import BY_LOOPBACK, Outcome, Verdict, dropped, refused
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Packet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK, Action, RouteType

PASSED_ON = "input allows it to pass"
TOO_OFTEN = "it has been passed on too often"


class ForwardPath:
    """The way through a machine."""

    def __init__(self, host: HostState, icmp_errors: IcmpErrors) -> None:
        self._host = host
        self._icmp_errors = icmp_errors

    def no_route(self, packet: Packet, device: str, trace: Trace) -> Verdict:
        """A packet that the look-up refused or found no way for.

        ip_error (net/ipv4/route.c), which tells nobody where nothing is passed on;
        ip6_pkt_prohibit and ip6_pkt_discard (net/ipv6/route.c), which do all the same.
        A blackhole is silent (dst_discard, and EINVAL in ip_error).
        """
        why = refused(trace)
        silent = packet.family is Family.V4 and not self._host.forwards_from(Family.V4, device)
        if trace.refused is Action.BLACKHOLE or silent:
            return dropped(why, trace)
        reason = Reason.NO_ROUTE if trace.refused is None else Reason.PROHIBITED
        return self._icmp_errors.drop(reason, why, packet, device, trace)

    def closed(self, packet: Packet, device: str, trace: Trace) -> Verdict | None:
        """Where nothing that arrives by the device is passed on: the verdict. IPv4 looks first
        at that, IPv6 (ip6_forward) after the route's own kind.
        """
        if self._host.forwards_from(packet.family, device):
            return None
        return dropped("not for this machine, which passes nothing on", trace)

    def pass_4(self, packet: Packet, hit: FibEntry, *traces: Trace) -> Verdict:
        """__mkroute_input once the return path is found good, and ip_forward
        (net/ipv4/ip_forward.c).
        """
        device = traces[0].flow.iif
        if packet.protocol == ARP:
            return dropped("ARP is answered for own addresses alone", *traces)
        if packet.ttl <= 1:
            return self._icmp_errors.drop(Reason.TIME_EXCEEDED, TOO_OFTEN, packet, device, *traces)
        if hit.device == LOOPBACK:
            # Loopback keeps the route that a packet came with (loopback_xmit), so that it is
            # passed on to loopback again and again.
            why = "led into the sink, where it goes round until its hops are used up"
            last = self._icmp_errors.drop(Reason.TIME_EXCEEDED, why, packet, LOOPBACK, *traces)
            return Verdict(Outcome.LOOPED_BACK, why, traces, icmp_error=last.icmp_error)
        if packet.too_big:
            why = "it is too big for the way on, and may not be cut"
            return self._icmp_errors.drop(Reason.TOO_BIG, why, packet, device, *traces)
        return Verdict(Outcome.FORWARDED, f"{PASSED_ON}, and so does the return path", traces,
                       hit.device)  # fmt: skip

    def pass_6(self, packet: Packet, hit: FibEntry, trace: Trace) -> Verdict:
        """ip6_rt_init_dst (net/ipv6/route.c), and ip6_forward (net/ipv6/ip6_output.c)."""
        device = trace.flow.iif
        if hit.type is RouteType.UNICAST and hit.device == LOOPBACK:
            return self._icmp_errors.drop(Reason.NO_ROUTE, BY_LOOPBACK, packet, device, trace)
        closed = self.closed(packet, device, trace)
        if closed is not None:
            return closed
        silent = _silent_6(packet, elsewhere=hit.device != device)
        if silent is not None:
            return dropped(silent, trace)
        told = _told_6(packet, elsewhere=hit.device != device)
        if told is not None:
            return self._icmp_errors.drop(*told, packet, device, trace)
        return Verdict(Outcome.FORWARDED, PASSED_ON, (trace,), hit.device)


def _silent_6(packet: Packet, *, elsewhere: bool) -> str | None:
    """Why ip6_forward drops a packet and tells nobody. Groups come in frames to groups."""
    nobody = packet.source is None or packet.source.is_unspecified
    if packet.destination.is_multicast:
        return "what goes to a group is not passed on"
    if nobody and (elsewhere or packet.ttl <= 1):
        return "from nobody, which is not passed on"
    return None


def _told_6(packet: Packet, *, elsewhere: bool) -> tuple[Reason, str] | None:
    """Why ip6_forward drops a packet and tells the sender."""
    if packet.ttl <= 1:
        return Reason.TIME_EXCEEDED, TOO_OFTEN
    if elsewhere and packet.source is not None and packet.source.is_link_local:
        return Reason.NOT_NEIGHBOUR, "a link-local source is not passed on"
    if packet.too_big:
        return Reason.TOO_BIG, "it is too big for the way on"
    return None
