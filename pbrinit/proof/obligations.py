"""What there is to prove of a policy and its plan, case by case.

In: a `Case`.  Out: `Obligation` values, each a claim about all packets of one family, path,
interface and group of protocols.  docs/proof.md tells why together they are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import z3

from pbrinit.addresses import Family
from pbrinit.boxes import Box, Part
from pbrinit.expectations import Asked
from pbrinit.layout import LOOPBACK
from pbrinit.packet import ARP
from pbrinit.policy import EPHEMERAL, Interface, Protocol
from pbrinit.proof.case import Case
from pbrinit.proof.judge import Judgement
from pbrinit.proof.terms import PROHIBITED, End, Variables, any_of, in_ports
from pbrinit.ruling import NOWHERE

Conditions = list[z3.BoolRef]


@dataclass(frozen=True)
class Obligation:
    """One claim: that no packet of the kind is treated otherwise than it should be.

    `arrives` says whether it comes in; `device` is the one it comes in by, or that its socket is
    bound to.  `wrong` makes the conditions of a packet that shows the contrary, and `confirms`
    says whether a packet does, once it is judged.  `signature` is all that the claim rests on in
    the plan's rules: of two plans with the same tables it holds for both or for none.
    """

    family: Family
    about: str
    arrives: bool
    device: str | None
    protocols: frozenset[int]
    wrong: Callable[[], Conditions]
    confirms: Callable[[Judgement], bool]
    signature: Callable[[], object]

    def __str__(self) -> str:
        return f"IPv{self.family.version} {self.about}"

    def key(self) -> object:
        """The claim itself and all that it rests on."""
        return self.family, self.about, self.protocols, self.signature()


def obligations(case: Case) -> Iterator[Obligation]:
    """Everything that is to be shown of one family."""
    for group in case.protocols:
        for interface in case.policy.interfaces:
            yield _arrives(case, interface, group)
            if case.family is Family.V4:
                yield _goes_to_all(case, interface, group)
            if case.steps.tells(interface.device):
                yield _tells(case, interface, group)
        sent = group - {ARP}  # that is no packet: see `packet.ARP`
        for bound in (None, *case.policy.interfaces) if sent else ():
            yield _leaves(case, bound, sent)
    yield from (_connects(case, interface) for interface in case.policy.interfaces)
    for expected in case.expected:
        for group in case.protocols:
            if expected.box.form.protocol is None or expected.box.form.protocol in group:
                yield _expected(case, expected, group)


def _is_wrong(judgement: Judgement) -> bool:
    return judgement.wrong


def _is_mistold(judgement: Judgement) -> bool:
    return judgement.mistold


def _arrives(case: Case, interface: Interface, protocols: frozenset[int]) -> Obligation:
    """What arrives by an interface is delivered, passed on, or dropped, as it should be."""
    steps, device, protocol = case.steps, interface.device, min(protocols)
    four = case.family is Family.V4
    asked = steps.arriving(device, protocol)
    others = [i for i in case.policy.interfaces if i is not interface]
    ways = [LOOPBACK, device, *(other.device for other in others)]
    backs = [steps.back(asked, steps.packet.destination, way) for way in ways] if four else []
    nothing = Part(())  # leaves by the interface that it came by

    def wrong() -> Conditions:
        found = case.rules.look_up(asked)
        early = z3.Not(steps.dropped_early()) if steps.hears(device) else z3.BoolVal(val=False)
        passes = [steps.delivered(found)]
        passes += [steps.passed_on(found, device, way, protocol) for way in ways[1:]]
        parts = [case.parts[interface, other] for other in (None, *others)]
        parts.insert(1, nothing)
        differ = []
        for number, (passing, part) in enumerate(zip(passes, parts, strict=True)):
            does = z3.And(early, passing)
            if four:
                does = z3.And(does, steps.back_passes(backs[number], device))
            means = case.passes(part, protocol, steps.packet)
            differ += [z3.And(does, z3.Not(means)), z3.And(means, z3.Not(does))]
            if number == 0:
                differ[1] = z3.And(differ[1], z3.Not(steps.foreign_link_local(device)))
        return [
            *steps.possible(protocol, outgoing=False),
            z3.Not(steps.to_all(found, protocol)),
            any_of(differ),
        ]

    def signature() -> object:
        return tuple(case.rules.met(ask) for ask in (asked, *backs))

    about = f"in by {interface.name}"
    return Obligation(case.family, about, True, device, protocols, wrong, _is_wrong, signature)


def _goes_to_all(case: Case, interface: Interface, protocols: frozenset[int]) -> Obligation:
    """What arrives for groups and for all is let in only from those who may send the same to an
    own address, or whom root may send what would answer it: the return path check, which alone
    is asked, sees no more, nor by which interface it came (rp_filter 2).
    """
    steps, device, protocol = case.steps, interface.device, min(protocols)
    asked = steps.arriving(device, protocol)
    back = steps.back(asked, steps.nobody(), LOOPBACK)

    def wrong() -> Conditions:
        packet, ways = steps.packet, case.policy.interfaces
        same = [
            case.passes(case.parts[way, None], protocol, replace(packet, destination=End(number)))
            for way in ways
            for number in (case.classes.number(a.ip) for a in way.own(case.family))
        ]
        answer = Variables(
            End(steps.unchosen), packet.source, packet.destination_port, packet.source_port, 0
        )
        answered = [
            case.passes(case.parts[None, way], protocol, answer, outgoing=True) for way in ways
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

    about = f"in by {interface.name}, to groups and to all"
    return Obligation(case.family, about, True, device, protocols, wrong, _is_wrong, signature)


def _tells(case: Case, interface: Interface, protocols: frozenset[int]) -> Obligation:
    """Whose packets would pass were they not rejected is told so, and nobody but the sources that
    deny entries reject is told anything: the input look-up ends with a prohibition.
    """
    steps, device, protocol = case.steps, interface.device, min(protocols)
    asked = steps.arriving(device, protocol)
    parts = [case.parts[interface, i] for i in case.policy.interfaces if i is not interface]

    def wrong() -> Conditions:
        found = case.rules.look_up(asked)
        told = found == case.rules.results.number(PROHIBITED)

        def held(boxes: Iterable[Box]) -> z3.BoolRef:
            return case.held(boxes, protocol, steps.packet)

        to_tell = []
        for part in parts:
            asks, denied = part.halves[0]
            silent = held(box for box in denied if not box.reject)
            rejected = held(box for box in denied if box.reject)
            passes = case.passes(part, protocol, steps.packet)
            to_tell.append(z3.And(held(asks), rejected, z3.Not(silent), z3.Not(passes)))
        anyhow = any_of(
            steps.packet.source.within(case.classes.mask(box.sources))
            for part in parts
            for box in part.denied
            if box.reject
        )
        return [
            *steps.possible(protocol, outgoing=False),
            z3.Not(steps.to_all(found, protocol)),
            z3.Not(steps.dropped_early()),
            z3.Or(z3.And(told, z3.Not(anyhow)), z3.And(any_of(to_tell), z3.Not(told))),
        ]

    def signature() -> object:
        return case.rules.met(asked)

    about = f"in by {interface.name}, who is told"
    return Obligation(case.family, about, True, device, protocols, wrong, _is_mistold, signature)


def _leaves(case: Case, bound: Interface | None, protocols: frozenset[int]) -> Obligation:
    """What is sent leaves, stays or is refused as it should; from a socket that is bound to a
    device it may be refused more, but never less.
    """
    steps, protocol = case.steps, min(protocols)
    oif = bound.device if bound else None
    asked = steps.leaving(protocol, oif)

    def wrong() -> Conditions:
        found = case.rules.look_up(asked)
        here = steps.packet.destination.within(case.classes.mask(case.here))
        pairs = [(steps.stays(found), here)]
        for interface in case.policy.interfaces:
            part = case.parts[None, interface]
            means = case.passes(part, protocol, steps.packet, outgoing=True)
            pairs.append((steps.sent(found, interface.device, oif), means))
        differ = [z3.And(does, z3.Not(means)) for does, means in pairs]
        if bound is None:
            differ += [z3.And(means, z3.Not(does)) for does, means in pairs]
        return [
            *steps.possible(protocol, outgoing=True),
            *steps.looked_up(protocol, oif),
            any_of(differ),
        ]

    def signature() -> object:
        return case.rules.met(asked)

    about = f"out, from a socket bound to {bound.name}" if bound else "out"
    return Obligation(case.family, about, False, oif, protocols, wrong, _is_wrong, signature)


def _connects(case: Case, interface: Interface) -> Obligation:
    """Who may ask by TCP may also connect: the look-up before it, without source and port, is
    allowed as well (ip_route_connect, include/net/route.h).
    """
    steps = case.steps
    part = case.parts[None, interface]
    asks = replace(part, allowed=tuple(box for box in part.allowed if not box.answer))

    def wrong() -> Conditions:
        packet = steps.packet
        first = replace(packet, source=End(steps.unchosen), source_port=0)
        return [
            *steps.possible(Protocol.TCP, outgoing=True),
            in_ports(packet.source_port, EPHEMERAL),
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
    part = case.parts[expected.way_in, expected.way_out]
    outgoing = expected.way_in is None
    box = expected.box

    def wrong() -> Conditions:
        given = steps.packet
        senders = case.users if expected.anybody else (given.uid,)
        packets = [replace(given, uid=uid) for uid in senders]
        allowed = any_of(
            case.granted(part, protocol, packet, outgoing=outgoing) for packet in packets
        )
        return [
            *steps.possible(protocol, outgoing=outgoing),
            case.box(box, protocol, given, outgoing=outgoing),
            z3.Not(allowed) if expected.always else allowed,
        ]

    def confirms(judgement: Judgement) -> bool:
        return (judgement.means.where == NOWHERE) == expected.always

    def signature() -> object:
        return box

    about = f"{expected.key}{', the answer' if box.answer else ''}"
    device = expected.way_in.device if expected.way_in else None
    return Obligation(
        case.family, about, not outgoing, device, protocols, wrong, confirms, signature
    )
