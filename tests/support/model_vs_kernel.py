"""The model and the kernel, asked the same.

In: a plan in force in a namespace, a plan for the model (the same, or a mutant), packets.
Out: the decisions on which the two differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from random import Random

from pbrinit.model.fib import Lookup, Trace
from pbrinit.model.host import HostState
from pbrinit.model.kernel import KernelModel
from pbrinit.model.tables import FibEntry
from pbrinit.model.verdict import Outcome, Verdict
from pbrinit.net.addresses import Address, Family
from pbrinit.net.martians import BROADCAST
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES, Egress, Ingress, Origin, Packet
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Action, Plan, RouteType
from tests.support.generate import policies
from tests.support.namespaces import in_namespace, room_netns, route_get
from tests.support.namespaces.lab import Namespace
from tests.support.namespaces.route_get import RouteQuery, RouteReply

ALL_HOSTS = IPv4Address("224.0.0.1")
UNSPECIFIED_6 = IPv6Address("::")


@dataclass(frozen=True)
class Difference:
    """One decision on which the model and the kernel are not of one mind."""

    packet: Packet
    direction: Origin
    model: Verdict
    kernel: RouteReply


class Host:
    """A namespace in which a plan is in force."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.namespace = Namespace()
        bare = room_netns.without_rooms(plan)
        devices = tuple(link.device for link in bare.links[1:])
        try:
            found = self.namespace.do(route_get.enforce, encode(bare, "drawn"), devices)
            for room, link in room_netns.room_links(plan):
                self.namespace.do(room_netns.make_veth, room, link, None)
            last = [(sysctl.key, sysctl.value) for sysctl in plan.forwarding_sysctls]
            self.namespace.do(in_namespace.write_sysctls, last)
        except BaseException:
            self.close()
            raise
        self.link_local = {device: IPv6Address(text) for device, text in found.items()}

    def close(self) -> None:
        """Give the namespace back."""
        self.namespace.close()

    def differences(
        self, model: Plan, asked: Iterable[tuple[Packet, Origin]]
    ) -> tuple[int, int, list[Difference]]:
        """How many decisions were compared, how many let a packet pass, those that differ."""
        fair = [(p, d) for p, d in map(_once, asked) if _can_be_asked(p, d, self.plan)]
        told = self.namespace.do(route_get.look_up, [_question(p, d) for p, d in fair])
        judge, machine = KernelModel(model, self.link_local), HostState(model, self.link_local)
        verdicts = [_judged(judge, p, d) for p, d in fair]
        passed = sum(verdict.allowed for verdict in verdicts)
        return (
            len(fair),
            passed,
            [
                Difference(packet, direction, verdict, answer)
                for (packet, direction), verdict, answer in zip(fair, verdicts, told, strict=True)
                if not _same(verdict, answer, machine)
            ],
        )


def _judged(model: KernelModel, packet: Packet, direction: Origin) -> Verdict:
    """What the model says to one look-up; RTM_GETROUTE knows no second one for output.

    It has no socket either, so that IPv6's look-up is not strict about the device.
    """
    if isinstance(direction, Ingress):
        return model.decide(packet, direction)
    flow = model.flow(packet, direction)
    return model.output(replace(flow, strict=False))


def _once(asked: tuple[Packet, Origin]) -> tuple[Packet, Origin]:
    """A socket that is not bound has no source at its first look-up, nor TCP a port."""
    packet, direction = asked
    if isinstance(direction, Egress) and not direction.bound:
        return replace(packet, source=None), direction
    return asked


def _can_be_asked(packet: Packet, direction: Origin, plan: Plan) -> bool:
    """What RTM_GETROUTE cannot put to the kernel is left out:

    - protocols but TCP, UDP and the family's ICMP (rtm_getroute_parse_ip_proto), so ARP too;
    - fragments: the packet that inet_rtm_getroute_build_skb makes is whole;
    - multicast to a group that nobody joined: it is refused before any look-up;
    - IPv6 from :: on input, which has no RT6_LOOKUP_F_HAS_SADDR there but has on the wire;
    - what ip6_rcv_core drops before its look-up, and devices on which IPv6 is off;
    - IPv6 to a link-local address without a device, which no socket can send (tcp_v6_connect,
      __ip6_datagram_connect): each device has the same route, and which is first is chance.
    """
    if packet.protocol not in (*WITH_PORTS, *WITH_TYPES):
        return False
    if isinstance(direction, Egress):
        scoped = direction.device is not None or not packet.destination.is_link_local
        return packet.source != UNSPECIFIED_6 and (scoped or packet.family is Family.V4)
    if packet.family is Family.V4:
        return not packet.destination.is_multicast or packet.destination == ALL_HOSTS
    source, destination = packet.source, packet.destination
    has_six = any(link.has_ipv6 for link in plan.links if link.device == direction.device)
    early = (
        source is None or source == UNSPECIFIED_6 or source.is_loopback or source.is_multicast
        or destination.is_loopback
        or (destination.is_multicast and destination.packed[1] & 0xF in (0, 1))
    )  # fmt: skip
    return has_six and not early


def _question(packet: Packet, direction: Origin) -> RouteQuery:
    incoming = isinstance(direction, Ingress)
    source_port, destination_port = packet.ports if incoming else packet.flow_ports
    return RouteQuery(
        family=packet.family,
        destination=packet.destination.packed,
        source=_packed(packet.source),
        protocol=packet.protocol,
        source_port=source_port,
        destination_port=destination_port,
        uid=direction.uid if isinstance(direction, Egress) else 0,
        iif=direction.device if isinstance(direction, Ingress) else None,
        oif=direction.device if isinstance(direction, Egress) else None,
    )


def _packed(address: Address | None) -> bytes:
    return b"" if address is None else address.packed


REFUSED = {
    Action.BLACKHOLE: "EINVAL",
    Action.PROHIBIT: "EACCES",
    None: "ENETUNREACH",
}
"""The error of a look-up that a rule or a route refuses, or nothing takes."""


def _same(verdict: Verdict, told: RouteReply, judge: HostState) -> bool:
    """Whether the two agree: refused or not, by which error, and on kind, device and router of a
    route.

    In IPv6 the kernel tells of the look-up alone, not what ip6_forward then makes of it.
    """
    trace = verdict.traces[-1] if verdict.traces else None
    if trace is not None and trace.flow.family is Family.V6:
        return _same_look_up(trace, told)
    if verdict.outcome in (Outcome.DROPPED, Outcome.REJECTED) or told.error is not None:
        return verdict.outcome in (Outcome.DROPPED, Outcome.REJECTED) and (
            told.error in _errors(verdict, judge)
        )
    if verdict.outcome is Outcome.DELIVERED:
        return told.kind in ("local", "broadcast", "multicast")
    if verdict.outcome in (Outcome.FORWARDED, Outcome.SENT):
        router = _packed(_router(verdict))
        return (told.device, told.router) == (verdict.device, router) and told.kind != "local"
    hit = verdict.traces[0].hit
    return hit is not None and told.kind == _made(hit, verdict.traces[0].flow.destination)


def _router(verdict: Verdict) -> Address | None:
    """Whom an IPv4 packet is handed to. What is for groups or for all goes to the link whatever the
    route says (__mkroute_output), and so does what is bound to a device and finds no route
    (ip_route_output_key_hash_rcu).
    """
    hit = verdict.traces[0].hit if verdict.traces else None
    if hit is None or _made(hit, verdict.traces[0].flow.destination) != RouteType.UNICAST.word:
        return None
    return hit.gateway


def _made(hit: FibEntry, destination: Address) -> str:
    """The kind of an IPv4 route that was made from one that was found (__mkroute_output)."""
    if destination == BROADCAST:
        return "broadcast"
    return "multicast" if destination.is_multicast else hit.type.word


def _errors(verdict: Verdict, judge: HostState) -> tuple[str, ...]:
    """The errors that IPv4's look-up may end with (ip_route_input_slow,
    __fib_validate_source, ip_route_output_key_hash_rcu). What the return path check refuses
    has no error of its own after Linux 6.12.
    """
    if not verdict.traces:
        return "EINVAL", "ENETUNREACH"
    trace = verdict.traces[-1]
    passes = trace.lookup is not Lookup.INPUT or judge.forwards_from(Family.V4, trace.flow.iif)
    if trace.lookup is Lookup.RETURN_PATH:
        return "EINVAL", "EXDEV"
    if trace.hit is None and trace.flow.oif is None and passes:
        return (REFUSED[trace.refused],)
    return ("EINVAL",) if passes else ("EHOSTUNREACH",)


def _same_look_up(trace: Trace, told: RouteReply) -> bool:
    """Whether the kernel found what the model did. Loopback is the device of what is ours."""
    if trace.hit is None or told.error is not None:
        return trace.hit is None and told.error == REFUSED[trace.refused]
    if trace.hit.destination.network_address.is_multicast and told.kind == "multicast":
        return True
    if told.kind != trace.hit.type.word:
        return False
    found = (trace.hit.device, _packed(trace.hit.gateway))
    return trace.hit.type is not RouteType.UNICAST or (told.device, told.router) == found


def drawn_plan(random: Random) -> tuple[str, Plan]:
    """A random policy that compiles, as text and plan."""
    text, _, plan = policies.compiled(random)
    return text, plan
