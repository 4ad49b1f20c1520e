"""What the kernel does with a packet that is sent from here.

In: a `Machine`, a `Packet` and who sends it.  Out: a `Verdict`.  Functions named are those of
Linux 6.12.
"""

from __future__ import annotations

from dataclasses import replace

from pbrinit.model.fib import Flow, Lookup, Trace
from pbrinit.model.host import HostState
from pbrinit.model.tables import FibEntry
from pbrinit.model.verdict import BY_LOOPBACK, LOGGED, Outcome, Verdict, dropped, refused
from pbrinit.net.addresses import Address, Family
from pbrinit.net.martians import BROADCAST, UNSPECIFIED
from pbrinit.net.packet import Egress, Packet
from pbrinit.net.services import Protocol
from pbrinit.net.special_addresses import IGMP, LOCAL_MULTICAST
from pbrinit.plan.plan import LOOPBACK, RouteType


class OutputPath:
    """The output look-ups of a machine."""

    def __init__(self, host: HostState) -> None:
        self._host = host

    def leave(self, packet: Packet, direction: Egress) -> Verdict:
        """A packet of a program: one look-up where the socket has its source, else those of
        ip_route_connect (include/net/route.h) or ip6_dst_lookup_tail (net/ipv6/ip6_output.c).
        """
        verdict = self._looked_up(packet, direction)
        if packet.protocol == Protocol.TCP and _for_many(packet.destination, verdict):
            return dropped("no TCP socket connects to a group or to everybody", *verdict.traces)
        return verdict

    def _looked_up(self, packet: Packet, direction: Egress) -> Verdict:
        flow = self.flow(packet, direction)
        if direction.bound and packet.source is not None:
            if self._foreign_source_6(packet.source, direction.device):
                return dropped(f"{packet.source} is not this machine's")
            return self.output(flow)
        # A TCP socket has no port of its own before its source is known (tcp_v4_connect).
        portless = packet.protocol == Protocol.TCP and not direction.port_bound
        early = 0 if portless else flow.source_port
        first = self.output(replace(flow, source=None, source_port=early))
        four = packet.family is Family.V4
        if first.allowed and _for_many(packet.destination, first):
            return first
        source = packet.source or self._source(packet, first, direction)
        if first.allowed != four or source is None:
            return replace(first, source=source)
        late = flow.source_port if four else early
        second = self.output(replace(flow, source=source, source_port=late))
        return replace(second, traces=(*first.traces, *second.traces), source=source)

    def flow(self, packet: Packet, direction: Egress) -> Flow:
        """What a socket that sends `packet` looks up with, once it has its source."""
        source_port, destination_port = packet.flow_ports
        return Flow(
            packet.family,
            LOOPBACK,
            packet.source,
            packet.destination,
            packet.protocol,
            source_port,
            destination_port,
            direction.uid,
            direction.device,
            strict=direction.device is not None,
        )

    def output(self, flow: Flow) -> Verdict:
        """One call of the kernel's output look-up."""
        if flow.oif is not None and not self._host.has(flow.oif):
            return dropped(f"{flow.oif} is not in the plan and stays down")
        return self._output_4(flow) if flow.family is Family.V4 else self._output_6(flow)

    def _output_4(self, flow: Flow) -> Verdict:
        """ip_route_output_key_hash_rcu (net/ipv4/route.c)."""
        source, destination = flow.source or UNSPECIFIED, flow.destination
        foreign = self._foreign_source_4(source)
        if foreign is not None:
            return dropped(foreign)
        device = self._unasked_device(flow, source)
        if device is not None:
            return _unasked(device, source)
        if destination == UNSPECIFIED:
            return Verdict(Outcome.DELIVERED, "0.0.0.0 is this machine")
        if destination.is_multicast and source == UNSPECIFIED and flow.oif is not None:
            source = self._host.first_address(flow.oif) or source
        lookup = Lookup.OUTPUT if source != UNSPECIFIED else Lookup.OUTPUT_FIRST
        trace = self._host.fib.look_up(lookup, replace(flow, source=source))
        if trace.hit is not None:
            return self._made_4(trace, trace.hit.device, "output allows it")
        if flow.oif is None:
            return dropped(refused(trace), trace)
        why = f"NOT STOPPED: the look-up failed, so the bound socket sends on {flow.oif}"
        return self._made_4(trace, flow.oif, why)

    def _made_4(self, trace: Trace, device: str, why: str) -> Verdict:
        """__mkroute_output (net/ipv4/route.c), and what loopback does with what it gets.

        A local route that is no address of ours is the plan's hairpin, a unicast one by
        loopback its sink: what goes there comes back, and goes nowhere else.
        """
        source, destination = trace.flow.source or UNSPECIFIED, trace.flow.destination
        kind = trace.hit.type if trace.hit is not None else None
        local = kind is RouteType.LOCAL
        if source.is_loopback and not local and device != LOOPBACK:
            return dropped("127.0.0.0/8 does not leave", trace)
        everybody = kind is RouteType.BROADCAST and destination.is_loopback  # 127.255.255.255
        if everybody or (local and (destination.is_loopback or self._host.owns(destination))):
            return Verdict(Outcome.DELIVERED, "to this machine itself", (trace,))
        if local:
            return Verdict(Outcome.LOOPED_BACK, "refused: a bound socket's, led back", (trace,))
        if trace.hit is not None and _is_log(trace.hit, destination):
            return Verdict(Outcome.LOOPED_BACK, LOGGED, (trace,))
        if device == LOOPBACK:
            why = "refused: led into the sink, which is there for the return path"
            return Verdict(Outcome.LOOPED_BACK, why, (trace,))
        return Verdict(Outcome.SENT, why, (trace,), device)

    def _foreign_source_4(self, source: Address) -> str | None:
        """Why no packet with this source is made, if so (__ip_dev_find, net/ipv4/devinet.c)."""
        if source == UNSPECIFIED or self._host.fib.local_device(source) is not None:
            return None
        return f"{source} is not this machine's"

    def _foreign_source_6(self, source: Address, device: str | None) -> bool:
        """Whether no socket can be bound to it (ipv6_chk_addr in __inet6_bind). Loopback's is for
        no other device. Which link-local address is this machine's is not always known.
        """
        if source.version == Family.V4.version or source.is_link_local:
            return False
        return device is not None if source.is_loopback else not self._host.owns(source)

    def _unasked_device(self, flow: Flow, source: Address) -> str | None:
        """Where a packet goes for which no look-up is made: multicast and limited broadcast
        from a socket that has an address or a device, and IGMP from one that has a device.
        """
        destination = flow.destination
        broadcast = destination == BROADCAST
        if flow.oif is not None:
            near = destination in LOCAL_MULTICAST or broadcast or flow.protocol == IGMP
            return flow.oif if near else None
        bound = source != UNSPECIFIED and (destination.is_multicast or broadcast)
        return self._host.fib.local_device(source) if bound else None

    def _output_6(self, flow: Flow) -> Verdict:
        """ip6_route_output_flags (net/ipv6/route.c)."""
        destination = flow.destination
        near = destination.is_multicast or destination.is_link_local or destination.is_loopback
        strict = flow.strict or near or (flow.oif is not None and flow.source is None)
        lookup = Lookup.OUTPUT if flow.source is not None else Lookup.OUTPUT_FIRST
        trace = self._host.fib.look_up(lookup, replace(flow, strict=strict))
        if trace.hit is None:
            return dropped(refused(trace), trace)
        if _is_log(trace.hit, destination):
            return Verdict(Outcome.LOOPED_BACK, LOGGED, (trace,))
        if trace.hit.type in (RouteType.LOCAL, RouteType.ANYCAST):
            return Verdict(Outcome.DELIVERED, "to this machine itself", (trace,))
        if trace.hit.device == LOOPBACK:
            return dropped(BY_LOOPBACK, trace)
        return Verdict(Outcome.SENT, "output allows it", (trace,), trace.hit.device)

    def _source(self, packet: Packet, first: Verdict, direction: Egress) -> Address | None:
        """The address that the kernel chooses: for a local destination that itself."""
        if first.outcome is Outcome.DELIVERED:
            return packet.destination
        hit = first.traces[-1].hit if first.traces else None
        device = hit.device if hit else direction.device
        return self._host.source(device, (hit.gateway if hit else None) or packet.destination)


def _is_log(hit: FibEntry, destination: Address) -> bool:
    """Whether it is led into loopback and is for nobody there: the plan's table of the log."""
    kinds = (RouteType.LOCAL, RouteType.BROADCAST)
    return hit.type in kinds and hit.device == LOOPBACK and not destination.is_loopback


def _for_many(destination: Address, verdict: Verdict) -> bool:
    """Whether it is for more than one host (tcp_v4_connect, tcp_v6_connect)."""
    hit = verdict.traces[-1].hit if verdict.traces else None
    by_route = hit is not None and hit.type is RouteType.BROADCAST
    return destination.is_multicast or destination == BROADCAST or by_route


def _unasked(device: str, source: Address) -> Verdict:
    if device == LOOPBACK:
        return Verdict(Outcome.DELIVERED, "stays on loopback")
    if source.is_loopback:
        return dropped("127.0.0.0/8 does not leave")
    return Verdict(Outcome.SENT, "NOT LOOKED UP: no rule can stop this", device=device)
