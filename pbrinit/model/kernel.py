"""What the kernel does with a packet under a plan: its own steps, one by one.

In: a `Plan`, a `Packet` and a direction.  Out: a `Verdict`.  Pure.  Functions named are
those of Linux 6.12.  docs/model.md says what is left out, and how the model is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address

from pbrinit.model.fib import Flow, Lookup, Trace
from pbrinit.model.forward import ForwardPath
from pbrinit.model.host import HostState
from pbrinit.model.icmp_errors import IcmpErrors
from pbrinit.model.output import OutputPath
from pbrinit.model.tables import FibEntry
from pbrinit.model.verdict import Outcome, Verdict, dropped, no_way_back
from pbrinit.net.addresses import Address, Family
from pbrinit.net.martians import UNSPECIFIED, is_broadcast, martian_4, martian_6
from pbrinit.net.packet import Egress, Fragment, Ingress, Origin, Packet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK, Plan, RouteType

IPV6_FRAGMENT = 44


def decide(
    plan: Plan,
    packet: Packet,
    direction: Origin,
    link_local: Mapping[str, IPv6Address] | None = None,
) -> Verdict:
    """What the kernel does with `packet` under `plan`.

    `link_local` says which link-local address a device has, where that is known.
    """
    return KernelModel(plan, link_local or {}).decide(packet, direction)


class KernelModel:
    """A plan in force, ready to be asked about many packets."""

    def __init__(self, plan: Plan, link_local: Mapping[str, IPv6Address]) -> None:
        self._host = HostState(plan, link_local)
        self._fib = self._host.fib
        self._output = OutputPath(self._host)
        self._forward = ForwardPath(self._host, IcmpErrors(self._host, self._output))

    def decide(self, packet: Packet, direction: Origin) -> Verdict:
        """What the kernel does with the packet."""
        if isinstance(direction, Egress):
            return self._output.leave(packet, direction)
        if not self._host.has(direction.device):
            return dropped(f"{direction.device} is not in the plan and stays down")
        if packet.family is Family.V4:
            return self._input_4(packet, direction)
        return self._input_6(packet, direction)

    # Input

    def _incoming(self, packet: Packet, device: str) -> Flow:
        """The flow of an arriving packet (fib4_rules_early_flow_dissect and fib6_…,
        include/net/ip_fib.h, ip6_fib.h). Undissected, IPv4 has no protocol, and IPv6 has the
        next header of the first one.
        """
        source_port, destination_port = packet.ports
        protocol = packet.protocol
        if not self._host.dissects(packet.family):
            source_port = destination_port = 0
            if packet.family is Family.V4:
                protocol = 0
            elif packet.fragment is not Fragment.WHOLE:
                protocol = IPV6_FRAGMENT
        return Flow(
            packet.family,
            device,
            packet.source,
            packet.destination,
            protocol,
            source_port,
            destination_port,
        )

    def _input_4(self, packet: Packet, direction: Ingress) -> Verdict:
        """ip_route_input_rcu and ip_route_input_slow (net/ipv4/route.c)."""
        source, destination = packet.source or UNSPECIFIED, packet.destination
        flow = self._incoming(packet, direction.device)
        martian = martian_4(packet)
        if martian is not None:
            return dropped(martian)
        if destination.is_multicast or is_broadcast(packet):
            return self._everybody_4(flow, source, ())
        trace = self._fib.look_up(Lookup.INPUT, flow)
        kind = trace.hit.type if trace.hit else None
        if kind is RouteType.BROADCAST and packet.protocol != ARP:
            return self._everybody_4(flow, source, (trace,))
        if trace.hit is None:
            return self._forward.no_route(packet, direction.device, trace)
        return self._routed_4(packet, direction, trace, trace.hit)

    def _routed_4(self, packet: Packet, direction: Ingress, trace: Trace, hit: FibEntry) -> Verdict:
        """ip_route_input_slow from a route on, and __mkroute_input."""
        ours = hit.type is RouteType.LOCAL
        closed = None if ours else self._forward.closed(packet, direction.device, trace)
        if closed is not None:
            return closed
        egress = LOOPBACK if ours else hit.device
        back = self._return_path(trace.flow, packet.destination, egress)
        if not self._passes(back, direction.device):
            return dropped(no_way_back(back), trace, back)
        if not ours:
            return self._forward.pass_4(packet, hit, trace, back)
        return Verdict(Outcome.DELIVERED, "input and return path allow it", (trace, back))

    def _everybody_4(self, flow: Flow, source: Address, before: tuple[Trace, ...]) -> Verdict:
        """Multicast and broadcast: ip_mc_validate_source, and ip_route_input_slow from
        `brd_input` on (net/ipv4/route.c).

        Some program is taken to have joined the group.
        """
        if source == UNSPECIFIED:
            why = "NOT LOOKED UP: multicast or broadcast from 0.0.0.0, no rule can stop this"
            return Verdict(Outcome.DELIVERED, why, before)
        back = self._return_path(flow, UNSPECIFIED, LOOPBACK)
        if not self._passes(back, flow.iif):
            return dropped(no_way_back(back), *before, back)
        why = "of multicast and broadcast only the return path is asked"
        return Verdict(Outcome.DELIVERED, why, (*before, back))

    def _return_path(self, flow: Flow, asked: Address, egress: str) -> Trace:
        """The look-up of __fib_validate_source (net/ipv4/fib_frontend.c): as root, ports
        swapped, as if it came in by the device that the packet is to leave by.
        """
        back = Flow(
            flow.family,
            egress,
            asked,
            flow.source or UNSPECIFIED,
            flow.protocol,
            flow.destination_port,
            flow.source_port,
        )
        return self._fib.look_up(Lookup.RETURN_PATH, back)

    def _passes(self, back: Trace, device: str) -> bool:
        """The verdict of __fib_validate_source with rp_filter 2: any unicast route will do,
        by another device only where the packet's has an address.
        """
        if back.hit is None or back.hit.type is not RouteType.UNICAST:
            return False
        return back.hit.device == device or bool(self._host.addresses(device, Family.V4))

    def _input_6(self, packet: Packet, direction: Ingress) -> Verdict:
        """ip6_rcv_core (net/ipv6/ip6_input.c), ip6_route_input (net/ipv6/route.c)."""
        destination = packet.destination
        if not self._host.has_ipv6(direction.device):
            return dropped(f"IPv6 is off on {direction.device}")
        martian = martian_6(packet)
        if martian is not None:
            return dropped(martian)
        flow = self._incoming(packet, direction.device)
        strict = destination.is_multicast or destination.is_link_local
        trace = self._fib.look_up(Lookup.INPUT, replace(flow, strict=strict))
        if trace.hit is None:
            return self._forward.no_route(packet, direction.device, trace)
        if trace.hit.type in (RouteType.LOCAL, RouteType.ANYCAST):
            return Verdict(Outcome.DELIVERED, "input allows it", (trace,))
        if trace.hit.destination.network_address.is_multicast and trace.hit.device != LOOPBACK:
            return Verdict(Outcome.DELIVERED, "input allows it, to who joined", (trace,))
        return self._forward.pass_6(packet, trace.hit, trace)

    # Output

    def flow(self, packet: Packet, direction: Egress) -> Flow:
        """What a socket that sends `packet` looks up with (`OutputPath.flow`)."""
        return self._output.flow(packet, direction)

    def output(self, flow: Flow) -> Verdict:
        """One output look-up (`OutputPath.output`)."""
        return self._output.output(flow)
