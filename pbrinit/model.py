"""What the kernel does with a packet under a plan: its own steps, one by one.

In: a `Plan`, a `Packet` and a direction.  Out: a `Verdict`.  Pure.  Functions named are
those of Linux 6.12.  docs/model.md says what is left out, and how the model is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address

from pbrinit.addresses import Address, Family, InterfaceAddress
from pbrinit.fib import Fib, Flow, Kind, Lookup, Trace
from pbrinit.layout import LOOPBACK
from pbrinit.martians import (
    IGMP,
    LIMITED_BROADCAST,
    LOCAL_MULTICAST,
    UNSPECIFIED,
    is_broadcast,
    martian_4,
    martian_6,
)
from pbrinit.packet import ARP, Direction, Fragment, In, Out, Packet
from pbrinit.plan import Plan
from pbrinit.policy import Protocol
from pbrinit.verdict import Outcome, Verdict, dropped, no_way_back, not_ours, refused

IPV6_FRAGMENT = 44


def decide(
    plan: Plan,
    packet: Packet,
    direction: Direction,
    link_local: Mapping[str, IPv6Address] | None = None,
) -> Verdict:
    """What the kernel does with `packet` under `plan`.

    `link_local` says which link-local address a device has, where that is known.
    """
    return Model(plan, link_local or {}).decide(packet, direction)


class Model:
    """A plan in force, ready to be asked about many packets."""

    def __init__(self, plan: Plan, link_local: Mapping[str, IPv6Address]) -> None:
        self._fib = Fib(plan, link_local)
        self._links = {link.device: link for link in plan.links}
        self._own = {a.ip for link in plan.links for a in link.addresses} | set(link_local.values())
        self._dissects = {family: self._fib.dissects(family) for family in Family}

    def decide(self, packet: Packet, direction: Direction) -> Verdict:
        """What the kernel does with the packet."""
        if isinstance(direction, Out):
            return self._leave(packet, direction)
        if direction.device not in self._links:
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
        if not self._dissects[packet.family]:
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

    def _input_4(self, packet: Packet, direction: In) -> Verdict:
        """ip_route_input_rcu and ip_route_input_slow (net/ipv4/route.c)."""
        source, destination = packet.source or UNSPECIFIED, packet.destination
        flow = self._incoming(packet, direction.device)
        martian = martian_4(packet)
        if martian is not None:
            return dropped(martian)
        if destination.is_multicast or is_broadcast(packet):
            return self._everybody_4(flow, source, ())
        trace = self._fib.look_up(Lookup.INPUT, flow)
        kind = trace.hit.kind if trace.hit else None
        if kind is Kind.BROADCAST and packet.protocol != ARP:
            return self._everybody_4(flow, source, (trace,))
        if kind is not Kind.LOCAL:
            return dropped(not_ours(trace), trace)
        back = self._return_path(flow, destination)
        if not self._passes(back, direction.device):
            return dropped(no_way_back(back), trace, back)
        return Verdict(Outcome.DELIVERED, "input and return path allow it", (trace, back))

    def _everybody_4(self, flow: Flow, source: Address, before: tuple[Trace, ...]) -> Verdict:
        """Multicast and broadcast: ip_mc_validate_source, and ip_route_input_slow from
        `brd_input` on (net/ipv4/route.c).

        Some program is taken to have joined the group.
        """
        if source == UNSPECIFIED:
            why = "NOT LOOKED UP: multicast or broadcast from 0.0.0.0, no rule can stop this"
            return Verdict(Outcome.DELIVERED, why, before)
        back = self._return_path(flow, UNSPECIFIED)
        if not self._passes(back, flow.iif):
            return dropped(no_way_back(back), *before, back)
        why = "of multicast and broadcast only the return path is asked"
        return Verdict(Outcome.DELIVERED, why, (*before, back))

    def _return_path(self, flow: Flow, own: Address) -> Trace:
        """The look-up of __fib_validate_source (net/ipv4/fib_frontend.c): as root, ports
        swapped.
        """
        back = Flow(
            flow.family,
            LOOPBACK,
            own,
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
        if back.hit is None or back.hit.kind is not Kind.UNICAST:
            return False
        return back.hit.device == device or bool(self._addresses(device, Family.V4))

    def _input_6(self, packet: Packet, direction: In) -> Verdict:
        """ip6_rcv_core (net/ipv6/ip6_input.c), ip6_route_input (net/ipv6/route.c)."""
        destination = packet.destination
        if not self._addresses(direction.device, Family.V6):
            return dropped(f"IPv6 is off on {direction.device}")
        martian = martian_6(packet)
        if martian is not None:
            return dropped(martian)
        flow = self._incoming(packet, direction.device)
        strict = destination.is_multicast or destination.is_link_local
        trace = self._fib.look_up(Lookup.INPUT, replace(flow, strict=strict))
        kind = trace.hit.kind if trace.hit else None
        if kind is Kind.LOCAL:
            return Verdict(Outcome.DELIVERED, "input allows it", (trace,))
        if kind is Kind.MULTICAST:
            return Verdict(Outcome.DELIVERED, "input allows it, to who joined", (trace,))
        return dropped(not_ours(trace), trace)

    # Output

    def _leave(self, packet: Packet, direction: Out) -> Verdict:
        """A packet of a program: one look-up where the socket has its source, else those of
        ip_route_connect (include/net/route.h) or ip6_dst_lookup_tail (net/ipv6/ip6_output.c).
        """
        flow = self.flow(packet, direction)
        if direction.bound and packet.source is not None:
            return self.output(flow)
        # A TCP socket has no port of its own before its source is known (tcp_v4_connect).
        early = 0 if packet.protocol == Protocol.TCP else flow.source_port
        first = self.output(replace(flow, source=None, source_port=early))
        four = packet.family is Family.V4
        source = packet.source or self._source(packet, first, direction)
        if first.allowed != four or source is None:
            return replace(first, source=source)
        late = flow.source_port if four else early
        second = self.output(replace(flow, source=source, source_port=late))
        return replace(second, traces=(*first.traces, *second.traces), source=source)

    def flow(self, packet: Packet, direction: Out) -> Flow:
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
        if flow.oif is not None and flow.oif not in self._links:
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
            source = self._first_address(flow.oif) or source
        lookup = Lookup.OUTPUT if source != UNSPECIFIED else Lookup.OUTPUT_FIRST
        trace = self._fib.look_up(lookup, replace(flow, source=source))
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
        local = trace.hit is not None and trace.hit.kind is Kind.LOCAL
        if source.is_loopback and not local and device != LOOPBACK:
            return dropped("127.0.0.0/8 does not leave", trace)
        if local and (destination.is_loopback or destination in self._own):
            return Verdict(Outcome.DELIVERED, "to this machine itself", (trace,))
        if local:
            return Verdict(Outcome.TURNED_BACK, "refused: a bound socket's, led back", (trace,))
        if device == LOOPBACK:
            why = "refused: led into the sink, which is there for the return path"
            return Verdict(Outcome.TURNED_BACK, why, (trace,))
        return Verdict(Outcome.SENT, why, (trace,), device)

    def _foreign_source_4(self, source: Address) -> str | None:
        """Why no packet with this source is made, if so (__ip_dev_find, net/ipv4/devinet.c)."""
        if source == UNSPECIFIED or self._fib.local_device(source) is not None:
            return None
        return f"{source} is not this machine's"

    def _unasked_device(self, flow: Flow, source: Address) -> str | None:
        """Where a packet goes for which no look-up is made: multicast and limited broadcast
        from a socket that has an address or a device, and IGMP from one that has a device.
        """
        destination = flow.destination
        broadcast = destination == LIMITED_BROADCAST
        if flow.oif is not None:
            near = destination in LOCAL_MULTICAST or broadcast or flow.protocol == IGMP
            return flow.oif if near else None
        bound = source != UNSPECIFIED and (destination.is_multicast or broadcast)
        return self._fib.local_device(source) if bound else None

    def _output_6(self, flow: Flow) -> Verdict:
        """ip6_route_output_flags (net/ipv6/route.c)."""
        destination = flow.destination
        near = destination.is_multicast or destination.is_link_local or destination.is_loopback
        strict = flow.strict or near or (flow.oif is not None and flow.source is None)
        lookup = Lookup.OUTPUT if flow.source is not None else Lookup.OUTPUT_FIRST
        trace = self._fib.look_up(lookup, replace(flow, strict=strict))
        if trace.hit is None:
            return dropped(refused(trace), trace)
        if trace.hit.kind is Kind.LOCAL:
            return Verdict(Outcome.DELIVERED, "to this machine itself", (trace,))
        return Verdict(Outcome.SENT, "output allows it", (trace,), trace.hit.device)

    # What the machine has

    def _addresses(self, device: str, family: Family) -> tuple[InterfaceAddress, ...]:
        link = self._links.get(device)
        return tuple(a for a in link.addresses if a.version == family.version) if link else ()

    def _first_address(self, device: str) -> Address | None:
        """inet_select_addr (net/ipv4/devinet.c): the device's own, else any other link's."""
        for name in (device, *self._links):
            for address in self._addresses(name, Family.V4):
                return address.ip
        return None

    def _source(self, packet: Packet, first: Verdict, direction: Out) -> Address | None:
        """The address that the kernel chooses: for a local destination that itself, else the
        one whose prefix holds the next hop, else the device's first (fib_info_update_nhc_saddr
        in net/ipv4/fib_semantics.c; for IPv6 an approximation of ipv6_dev_get_saddr).
        """
        hit = first.traces[-1].hit if first.traces else None
        if first.outcome is Outcome.DELIVERED:
            return packet.destination
        device = hit.device if hit else direction.device
        hop = (hit.gateway if hit else None) or packet.destination
        devices = (device,) if device in self._links else tuple(self._links)
        found = [a for d in devices if d for a in self._addresses(d, packet.family)]
        near = next((a.ip for a in found if hop in a.network), None)
        return near or next((a.ip for a in found), None)


def _unasked(device: str, source: Address) -> Verdict:
    if device == LOOPBACK:
        return Verdict(Outcome.DELIVERED, "stays on loopback")
    if source.is_loopback:
        return dropped("127.0.0.0/8 does not leave")
    return Verdict(Outcome.SENT, "NOT LOOKED UP: no rule can stop this", device=device)
