"""What there is to prove of a policy and its plan, case by case.

In: a `FamilyEncoding`.  Out: `Obligation` values, each about one family, path, interface or room,
and group of protocols.  docs/proof.md tells why together they are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import z3

from pbrinit.analysis.conformance import Conformance
from pbrinit.analysis.proof import icmp_obligations
from pbrinit.analysis.proof.encoding import NOTHING, FamilyEncoding
from pbrinit.analysis.proof.icmp_obligations import in_by
from pbrinit.analysis.proof.obligation import Conditions, Obligation
from pbrinit.analysis.proof.terms import AddressClassVar, PacketVars, any_of, in_ports
from pbrinit.net.addresses import Family
from pbrinit.net.services import Protocol
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Program, Zone
from pbrinit.semantics.decision import LOCAL
from pbrinit.semantics.expectations import ExpectedFlows
from pbrinit.semantics.header_space import PathPolicy


def obligations(encoding: FamilyEncoding) -> Iterator[Obligation]:
    """Everything that is to be shown of one family."""
    for group in encoding.protocols:
        for way in encoding.zones:
            yield _arrives(encoding, way, group)
            if encoding.family is Family.V4:
                yield _goes_to_all(encoding, way, group)
            if encoding.kernel.sends_icmp_errors(way.device) or _is_logged(encoding, way):
                yield icmp_obligations.icmp_error_obligations(encoding, way, group)
        sent = group - {ARP}  # that is no packet: see `packet.ARP`
        for bound in (None, *encoding.zones) if sent else ():
            yield _leaves(encoding, bound, sent)
    yield from (_connects(encoding, interface) for interface in encoding.policy.interfaces)
    yield from (
        icmp_obligations.log_obligations(encoding, interface)
        for interface in encoding.policy.interfaces
        if _is_logged(encoding, interface)
    )
    for expected in encoding.expected:
        for group in encoding.protocols:
            if expected.space.pattern.protocol is None or expected.space.pattern.protocol in group:
                yield _expected(encoding, expected, group)


def _is_logged(encoding: FamilyEncoding, way: Zone) -> bool:
    """Whether the log may hear of what arrives by it."""
    if encoding.policy.log:
        return isinstance(way, Interface)
    return bool(encoding.semantics.refusal_log.loggable(encoding.family, way))


def _is_wrong(conformance: Conformance) -> bool:
    return conformance.wrong


def _arrives(encoding: FamilyEncoding, ingress: Zone, protocols: frozenset[int]) -> Obligation:
    """What arrives by an interface, or from a room, is delivered, passed on by this or that way, to
    the router that leads there, or dropped, as it should be. Only where the look-up may lead, or
    the policy says something, there is anything to ask.
    """
    kernel, device, protocol = encoding.kernel, ingress.device, min(protocols)
    four = encoding.family is Family.V4
    flow = kernel.input_flow(device, protocol)
    leads = encoding.rules.devices(flow)
    path_policies = {LOOPBACK: encoding.path_policy(ingress, None), device: NOTHING}
    for way in encoding.zones:
        if way is not ingress and (
            way.device in leads or encoding.path_policy(ingress, way) != NOTHING
        ):
            path_policies[way.device] = encoding.path_policy(ingress, way)
    backs = {
        way: kernel.return_path(flow, kernel.packet.destination, way)
        for way in path_policies
        if four
    }

    def wrong() -> Conditions:
        found = encoding.rules.look_up(flow)
        early = (
            z3.Not(kernel.dropped_early())
            if kernel.accepts_family(device)
            else z3.BoolVal(val=False)
        )
        differ = []
        for way, path_policy in path_policies.items():
            here = way == LOOPBACK
            leads_on = kernel.forwarded(found, device, way, protocol)
            does = z3.And(early, kernel.delivered(found) if here else leads_on)
            if four:
                does = z3.And(does, kernel.reverse_path_ok(backs[way], device))
            means = encoding.passes(path_policy, protocol, kernel.packet)
            differ += [z3.And(does, z3.Not(means)), z3.And(means, z3.Not(does))]
            if here:
                differ[1] = z3.And(differ[1], z3.Not(kernel.foreign_link_local(device)))
            else:
                differ.append(z3.And(does, encoding.wrong_next_hop(found, way, kernel.packet)))
        return [
            *kernel.possible(protocol, outgoing=False),
            z3.Not(kernel.to_all(found, protocol)),
            any_of(differ),
        ]

    def signature() -> object:
        return tuple(encoding.rules.met(flow) for flow in (flow, *backs.values()))

    about = in_by(ingress)
    return Obligation(encoding.family, about, True, device, protocols, wrong, _is_wrong, signature)


def _goes_to_all(encoding: FamilyEncoding, ingress: Zone, protocols: frozenset[int]) -> Obligation:
    """What arrives for groups and for all is let in only from those who may send the same to an
    own address, or whom root may send what would answer it: the return path check, which alone
    is asked, sees no more, nor by which interface it came (rp_filter 2). From a room nothing is
    let in: no return path leads there.
    """
    kernel, device, protocol = encoding.kernel, ingress.device, min(protocols)
    flow = kernel.input_flow(device, protocol)
    back = kernel.return_path(flow, kernel.nobody(), LOOPBACK)

    def wrong() -> Conditions:
        packet = kernel.packet
        ways = () if isinstance(ingress, Program) else encoding.policy.interfaces
        same = [
            encoding.passes(
                encoding.path_policy(way, None),
                protocol,
                replace(packet, destination=AddressClassVar(number)),
            )
            for way in ways
            for number in (encoding.classes.number(a.ip) for a in way.addresses_of(encoding.family))
        ]
        answer = PacketVars(
            AddressClassVar(kernel.unchosen),
            packet.source,
            packet.destination_port,
            packet.source_port,
            0,
        )
        answered = [
            encoding.passes(encoding.path_policy(None, way), protocol, answer, outgoing=True)
            for way in ways
        ]
        return [
            *kernel.possible(protocol, outgoing=False),
            z3.BoolVal(protocol != ARP),
            kernel.to_all(encoding.rules.look_up(flow), protocol),
            z3.Not(kernel.dropped_early_to_all()),
            kernel.reverse_path_ok(back, device),
            z3.Not(any_of([*same, *answered])),
        ]

    def signature() -> object:
        return tuple(encoding.rules.met(flow) for flow in (flow, back))

    about = f"{in_by(ingress)}, to groups and to all"
    return Obligation(encoding.family, about, True, device, protocols, wrong, _is_wrong, signature)


def _leaves(encoding: FamilyEncoding, bound: Zone | None, protocols: frozenset[int]) -> Obligation:
    """What the machine itself sends leaves, stays or is refused as it should; from a socket that is
    bound to a device it may be refused more, but never less.
    """
    kernel, protocol = encoding.kernel, min(protocols)
    oif = bound.device if bound else None
    flow = kernel.output_flow(protocol, oif)
    leads = encoding.rules.devices(flow)

    def wrong() -> Conditions:
        found = encoding.rules.look_up(flow)
        here = kernel.packet.destination.within(encoding.classes.mask(encoding.local_addresses))
        if bound is None:
            kept = encoding.in_any_space(
                encoding.semantics.refusal_log.log_only(encoding.family),
                protocol,
                kernel.packet,
                outgoing=True,
            )
            here = z3.And(here, z3.Not(kept))
        pairs = [(kernel.delivered_locally(found), here)]
        differ = []
        for way in encoding.zones:
            may = bound is None and encoding.path_policy(None, way) != NOTHING
            if not may and way.device not in (*leads, oif):
                continue
            means = encoding.passes(
                encoding.path_policy(None, way), protocol, kernel.packet, outgoing=True
            )
            sent = kernel.sent(found, way.device, oif)
            pairs.append((sent, means))
            astray = encoding.wrong_next_hop(
                found, way.device, kernel.packet, bound=oif == way.device
            )
            differ.append(z3.And(sent, astray))
        differ += [z3.And(does, z3.Not(means)) for does, means in pairs]
        if bound is None:
            differ += [z3.And(means, z3.Not(does)) for does, means in pairs]
        return [
            *kernel.possible(protocol, outgoing=True),
            *kernel.looked_up(protocol, oif),
            any_of(differ),
        ]

    def signature() -> object:
        return encoding.rules.met(flow)

    about = f"out, from a socket bound to {bound.label}" if bound else "out"
    return Obligation(encoding.family, about, False, oif, protocols, wrong, _is_wrong, signature)


def without_answers(path_policy: PathPolicy) -> PathPolicy:
    """What passes on a path otherwise than as an answer."""
    asks = tuple(space for space in path_policy.allowed if not space.answer)
    return replace(path_policy, allowed=asks)


def _connects(encoding: FamilyEncoding, interface: Interface) -> Obligation:
    """Who may ask by TCP may also connect: the look-up before it, without source and port, is
    allowed as well (ip_route_connect, include/net/route.h).
    """
    kernel = encoding.kernel
    path_policy = encoding.path_policy(None, interface)
    asks = without_answers(path_policy)

    def wrong() -> Conditions:
        packet = kernel.packet
        first = replace(packet, source=AddressClassVar(kernel.unchosen), source_port=0)
        return [
            *kernel.possible(Protocol.TCP, outgoing=True),
            in_ports(packet.source_port, encoding.policy.client_ports),
            encoding.granted(asks, Protocol.TCP, packet, outgoing=True),
            z3.Not(encoding.granted(path_policy, Protocol.TCP, first, outgoing=True)),
        ]

    def confirms(conformance: Conformance) -> bool:
        return conformance.intended.where == interface.name

    about = f"out by {interface.name}, the look-up before a connection"
    tcp = frozenset({int(Protocol.TCP)})
    return Obligation(
        encoding.family, about, False, None, tcp, wrong, confirms, lambda: path_policy
    )


def _expected(
    encoding: FamilyEncoding, expected: ExpectedFlows, protocols: frozenset[int]
) -> Obligation:
    """None, or each, of the packets that an expectation is about is allowed, but as answers where
    the expectation lets them pass. That the plan does what is allowed the other obligations show.
    """
    kernel, protocol = encoding.kernel, min(protocols)
    outgoing = expected.ingress is None
    space = expected.space

    def wrong() -> Conditions:
        given = kernel.packet
        senders = encoding.users if expected.any_user else (given.uid,)
        packets = [replace(given, uid=uid) for uid in senders]
        path_policies = [encoding.path_policy(*path) for path in expected.paths]
        if expected.answers:
            path_policies = [without_answers(path_policy) for path_policy in path_policies]
        allowed = any_of(
            encoding.granted(path_policy, protocol, packet, outgoing=outgoing)
            for packet in packets
            for path_policy in path_policies
        )
        return [
            *kernel.possible(protocol, outgoing=outgoing),
            encoding.in_space(space, protocol, given, outgoing=outgoing),
            z3.Not(allowed) if expected.always else allowed,
        ]

    def confirms(conformance: Conformance) -> bool:
        ends = {egress.label if egress else LOCAL for _, egress in expected.paths}
        return (conformance.intended.where in ends) != expected.always

    def signature() -> object:
        return space

    about = f"{expected.key}{', the answer' if space.answer else ''}"
    device = expected.ingress.device if expected.ingress else None
    return Obligation(
        encoding.family, about, not outgoing, device, protocols, wrong, confirms, signature
    )
