"""What there is to prove of a policy and its plan, case by case.

In: a `Case`.  Out: `Obligation` values, each about one family, path, interface or room,
and group of protocols.  docs/proof.md tells why together they are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import z3

from pbrinit.analysis.conformance import Judgement
from pbrinit.analysis.proof import icmp_obligations
from pbrinit.analysis.proof.encoding import NOTHING, Case
from pbrinit.analysis.proof.icmp_obligations import in_by
from pbrinit.analysis.proof.obligation import Conditions, Obligation
from pbrinit.analysis.proof.terms import End, Variables, any_of, in_ports
from pbrinit.net.addresses import Family
from pbrinit.net.services import Protocol
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Run, Way
from pbrinit.semantics.decision import HERE
from pbrinit.semantics.expectations import Asked


def obligations(case: Case) -> Iterator[Obligation]:
    """Everything that is to be shown of one family."""
    for group in case.protocols:
        for way in case.ways:
            yield _arrives(case, way, group)
            if case.family is Family.V4:
                yield _goes_to_all(case, way, group)
            if case.steps.tells(way.device) or case.meaning.hearing.spoken_of(case.family, way):
                yield icmp_obligations.tells(case, way, group)
        sent = group - {ARP}  # that is no packet: see `packet.ARP`
        for bound in (None, *case.ways) if sent else ():
            yield _leaves(case, bound, sent)
    yield from (_connects(case, interface) for interface in case.policy.interfaces)
    yield from (
        icmp_obligations.logged(case, interface)
        for interface in case.policy.interfaces
        if case.meaning.hearing.spoken_of(case.family, interface)
    )
    for expected in case.expected:
        for group in case.protocols:
            if expected.box.form.protocol is None or expected.box.form.protocol in group:
                yield _expected(case, expected, group)


def _is_wrong(judgement: Judgement) -> bool:
    return judgement.wrong


def _arrives(case: Case, way_in: Way, protocols: frozenset[int]) -> Obligation:
    """What arrives by an interface, or from a room, is delivered, passed on by this or that way, to
    the router that leads there, or dropped, as it should be. Only where the look-up may lead, or
    the policy says something, there is anything to ask.
    """
    steps, device, protocol = case.steps, way_in.device, min(protocols)
    four = case.family is Family.V4
    asked = steps.arriving(device, protocol)
    leads = case.rules.devices(asked)
    parts = {LOOPBACK: case.part(way_in, None), device: NOTHING}
    for way in case.ways:
        if way is not way_in and (way.device in leads or case.part(way_in, way) != NOTHING):
            parts[way.device] = case.part(way_in, way)
    backs = {way: steps.back(asked, steps.packet.destination, way) for way in parts if four}

    def wrong() -> Conditions:
        found = case.rules.look_up(asked)
        early = z3.Not(steps.dropped_early()) if steps.hears(device) else z3.BoolVal(val=False)
        differ = []
        for way, part in parts.items():
            here = way == LOOPBACK
            leads_on = steps.passed_on(found, device, way, protocol)
            does = z3.And(early, steps.delivered(found) if here else leads_on)
            if four:
                does = z3.And(does, steps.back_passes(backs[way], device))
            means = case.passes(part, protocol, steps.packet)
            differ += [z3.And(does, z3.Not(means)), z3.And(means, z3.Not(does))]
            if here:
                differ[1] = z3.And(differ[1], z3.Not(steps.foreign_link_local(device)))
            else:
                differ.append(z3.And(does, case.astray(found, way, steps.packet)))
        return [
            *steps.possible(protocol, outgoing=False),
            z3.Not(steps.to_all(found, protocol)),
            any_of(differ),
        ]

    def signature() -> object:
        return tuple(case.rules.met(ask) for ask in (asked, *backs.values()))

    about = in_by(way_in)
    return Obligation(case.family, about, True, device, protocols, wrong, _is_wrong, signature)


def _goes_to_all(case: Case, way_in: Way, protocols: frozenset[int]) -> Obligation:
    """What arrives for groups and for all is let in only from those who may send the same to an
    own address, or whom root may send what would answer it: the return path check, which alone
    is asked, sees no more, nor by which interface it came (rp_filter 2). From a room nothing is
    let in: no return path leads there.
    """
    steps, device, protocol = case.steps, way_in.device, min(protocols)
    asked = steps.arriving(device, protocol)
    back = steps.back(asked, steps.nobody(), LOOPBACK)

    def wrong() -> Conditions:
        packet = steps.packet
        ways = () if isinstance(way_in, Run) else case.policy.interfaces
        same = [
            case.passes(case.part(way, None), protocol, replace(packet, destination=End(number)))
            for way in ways
            for number in (case.classes.number(a.ip) for a in way.own(case.family))
        ]
        answer = Variables(
            End(steps.unchosen), packet.source, packet.destination_port, packet.source_port, 0
        )
        answered = [
            case.passes(case.part(None, way), protocol, answer, outgoing=True) for way in ways
        ]
        return [
            *steps.possible(protocol, outgoing=False),
            z3.BoolVal(protocol != ARP),
            steps.to_all(case.rules.look_up(asked), protocol),
            z3.Not(steps.dropped_early_to_all()),
            steps.back_passes(back, device),
            z3.Not(any_of([*same, *answered])),
        ]

    def signature() -> object:
        return tuple(case.rules.met(ask) for ask in (asked, back))

    about = f"{in_by(way_in)}, to groups and to all"
    return Obligation(case.family, about, True, device, protocols, wrong, _is_wrong, signature)


def _leaves(case: Case, bound: Way | None, protocols: frozenset[int]) -> Obligation:
    """What the machine itself sends leaves, stays or is refused as it should; from a socket that is
    bound to a device it may be refused more, but never less.
    """
    steps, protocol = case.steps, min(protocols)
    oif = bound.device if bound else None
    asked = steps.leaving(protocol, oif)
    leads = case.rules.devices(asked)

    def wrong() -> Conditions:
        found = case.rules.look_up(asked)
        here = steps.packet.destination.within(case.classes.mask(case.here))
        if bound is None:
            kept = case.held(
                case.meaning.hearing.not_here(case.family), protocol, steps.packet, outgoing=True
            )
            here = z3.And(here, z3.Not(kept))
        pairs = [(steps.stays(found), here)]
        differ = []
        for way in case.ways:
            may = bound is None and case.part(None, way) != NOTHING
            if not may and way.device not in (*leads, oif):
                continue
            means = case.passes(case.part(None, way), protocol, steps.packet, outgoing=True)
            sent = steps.sent(found, way.device, oif)
            pairs.append((sent, means))
            astray = case.astray(found, way.device, steps.packet, bound=oif == way.device)
            differ.append(z3.And(sent, astray))
        differ += [z3.And(does, z3.Not(means)) for does, means in pairs]
        if bound is None:
            differ += [z3.And(means, z3.Not(does)) for does, means in pairs]
        return [
            *steps.possible(protocol, outgoing=True),
            *steps.looked_up(protocol, oif),
            any_of(differ),
        ]

    def signature() -> object:
        return case.rules.met(asked)

    about = f"out, from a socket bound to {bound.label}" if bound else "out"
    return Obligation(case.family, about, False, oif, protocols, wrong, _is_wrong, signature)


def _connects(case: Case, interface: Interface) -> Obligation:
    """Who may ask by TCP may also connect: the look-up before it, without source and port, is
    allowed as well (ip_route_connect, include/net/route.h).
    """
    steps = case.steps
    part = case.part(None, interface)
    asks = replace(part, allowed=tuple(box for box in part.allowed if not box.answer))

    def wrong() -> Conditions:
        packet = steps.packet
        first = replace(packet, source=End(steps.unchosen), source_port=0)
        return [
            *steps.possible(Protocol.TCP, outgoing=True),
            in_ports(packet.source_port, case.policy.clients),
            case.granted(asks, Protocol.TCP, packet, outgoing=True),
            z3.Not(case.granted(part, Protocol.TCP, first, outgoing=True)),
        ]

    def confirms(judgement: Judgement) -> bool:
        return judgement.means.where == interface.name

    about = f"out by {interface.name}, the look-up before a connection"
    tcp = frozenset({int(Protocol.TCP)})
    return Obligation(case.family, about, False, None, tcp, wrong, confirms, lambda: part)


def _expected(case: Case, expected: Asked, protocols: frozenset[int]) -> Obligation:
    """None, or each, of the packets that an expectation is about is allowed. That the plan
    does what is allowed the other obligations show.
    """
    steps, protocol = case.steps, min(protocols)
    outgoing = expected.way_in is None
    box = expected.box

    def wrong() -> Conditions:
        given = steps.packet
        senders = case.users if expected.anybody else (given.uid,)
        packets = [replace(given, uid=uid) for uid in senders]
        allowed = any_of(
            case.granted(case.part(*path), protocol, packet, outgoing=outgoing)
            for packet in packets
            for path in expected.paths
        )
        return [
            *steps.possible(protocol, outgoing=outgoing),
            case.box(box, protocol, given, outgoing=outgoing),
            z3.Not(allowed) if expected.always else allowed,
        ]

    def confirms(judgement: Judgement) -> bool:
        ends = {way_out.label if way_out else HERE for _, way_out in expected.paths}
        return (judgement.means.where in ends) != expected.always

    def signature() -> object:
        return box

    about = f"{expected.key}{', the answer' if box.answer else ''}"
    device = expected.way_in.device if expected.way_in else None
    return Obligation(
        case.family, about, not outgoing, device, protocols, wrong, confirms, signature
    )
