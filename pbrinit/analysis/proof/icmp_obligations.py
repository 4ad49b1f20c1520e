"""Of whom the kernel is to speak, and to whom: the claims about its word on who is refused.

In: a `Case`.  Out: `Obligation` values, which `obligations` gives with the others.
"""

from __future__ import annotations

from collections.abc import Iterable

import z3

from pbrinit.analysis.conformance import Judgement
from pbrinit.analysis.proof.encoding import Case
from pbrinit.analysis.proof.obligation import Conditions, Obligation
from pbrinit.analysis.proof.terms import PROHIBITED, any_of, in_ports
from pbrinit.model.tables import Kind
from pbrinit.model.verdict import LOGGED
from pbrinit.net.addresses import Family
from pbrinit.net.icmp import PROHIBITED as SAYS_PROHIBITED
from pbrinit.net.icmp import PROTOCOL
from pbrinit.plan.plan import LOOPBACK
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import ROOT, Run, Way
from pbrinit.semantics.exchange import icmp
from pbrinit.semantics.header_space import Box


def in_by(way: Way) -> str:
    """Where it comes from, in words."""
    return f"from {way.label}" if isinstance(way, Run) else f"in by {way.name}"


def _is_mistold(judgement: Judgement) -> bool:
    return judgement.mistold


def tells(case: Case, way_in: Way, protocols: frozenset[int]) -> Obligation:
    """Whose packets would pass were they not rejected is told so, and nobody but the sources that
    deny entries reject is told anything: the input look-up ends with a prohibition. It does as
    well for what a logged deny entry names and what is refused, and for nothing else.

    Where all that is refused is logged, every refusal is one, and whether the sender hears of it is
    decided where the kernel's word is sent: an obligation like any other. But nobody is spoken of
    who claims to be this machine, where the word would be heard by its own sockets: in IPv6, and
    where not all is logged.
    """
    steps, device, protocol = case.steps, way_in.device, min(protocols)
    asked = steps.arriving(device, protocol)
    parts = [case.part(way_in, way) for way in case.policy.interfaces if way is not way_in]
    ends = [case.part(way_in, way) for way in (None, *case.ways) if way is not way_in]
    spoken_of = case.meaning.hearing.spoken_of(case.family, way_in)

    def wrong() -> Conditions:
        found = case.rules.look_up(asked)
        told = z3.BoolVal(val=False)
        if steps.tells(device):
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
        logged = held(box for part in ends for box in part.logged)
        lets_in = any_of(case.passes(part, protocol, steps.packet) for part in ends)
        to_tell.append(z3.And(logged, z3.Not(lets_in)))
        anyhow = any_of(
            steps.packet.source.within(case.classes.mask(box.sources))
            for part in parts
            for box in part.denied
            if box.reject
        )
        ours = steps.packet.source.within(case.classes.mask(case.here))
        unheard = z3.Not(z3.Or(anyhow, held(spoken_of)))
        if case.policy.log:
            unheard = z3.And(ours, z3.BoolVal(case.family is Family.V6))
        elif case.policy.logs:
            unheard = z3.Or(ours, unheard)
        return [
            *steps.possible(protocol, outgoing=False),
            z3.Not(steps.to_all(found, protocol)),
            z3.Not(steps.dropped_early()),
            z3.Or(z3.And(told, unheard), z3.And(any_of(to_tell), z3.Not(told))),
        ]

    def signature() -> object:
        return case.rules.met(asked)

    about = f"{in_by(way_in)}, who is told"
    return Obligation(case.family, about, True, device, protocols, wrong, _is_mistold, signature)


def logged(case: Case, way_in: Interface) -> Obligation:
    """The kernel's word about those whom a logged deny entry names leads into loopback, and is for
    nobody there: so the log hears it. IPv4 has chosen no address for it yet (icmp_route_lookup,
    net/ipv4/icmp.c), IPv6 has (icmp6_send, net/ipv6/icmp.c).
    """
    steps, family = case.steps, case.family
    number = PROTOCOL[family]
    asked = steps.leaving(number, None)
    (word,) = icmp(family, SAYS_PROHIBITED[family]).destination_ports
    asking = [
        box.sources
        for way in (None, *case.ways)
        if way is not way_in
        for box in case.part(way_in, way).logged
    ]
    own = [case.classes.number(address.ip) for address in way_in.own(family)]

    def wrong() -> Conditions:
        packet = steps.packet
        says = own if family is Family.V6 else [steps.unchosen]
        led = case.rules.results.among(
            case.rules.look_up(asked),
            lambda r: r.device == LOOPBACK and r.kind in (Kind.LOCAL, Kind.BROADCAST),
        )
        return [
            *steps.possible(number, outgoing=True),
            any_of(packet.source.within(1 << one) for one in says),
            any_of(packet.destination.within(case.classes.mask(found)) for found in asking),
            in_ports(packet.destination_port, word),
            packet.uid == ROOT,
            z3.Not(led),
        ]

    def confirms(judgement: Judgement) -> bool:
        return judgement.verdict.why != LOGGED

    def signature() -> object:
        return case.rules.met(asked)

    about = f"{in_by(way_in)}, who is logged"
    group = frozenset({int(number)})
    return Obligation(family, about, False, None, group, wrong, confirms, signature)
