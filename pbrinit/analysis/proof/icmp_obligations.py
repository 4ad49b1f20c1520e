"""Of whom the kernel is to speak, and to whom: the claims about its word on who is refused.

In: a `FamilyEncoding`.  Out: `Obligation` values, which `obligations` gives with the others.
"""

from __future__ import annotations

from collections.abc import Iterable

import z3

from pbrinit.analysis.conformance import Conformance
from pbrinit.analysis.proof.encoding import FamilyEncoding
from pbrinit.analysis.proof.obligation import Conditions, Obligation
from pbrinit.analysis.proof.terms import PROHIBITED, any_of, in_ports
from pbrinit.model.verdict import LOGGED
from pbrinit.net.addresses import Family
from pbrinit.net.icmp import PROHIBITED as SAYS_PROHIBITED
from pbrinit.net.icmp import PROTOCOL
from pbrinit.plan.plan import LOOPBACK, RouteType
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import ROOT, Program, Zone
from pbrinit.semantics.exchange import icmp_pattern
from pbrinit.semantics.header_space import HeaderSpace


def in_by(way: Zone) -> str:
    """Where it comes from, in words."""
    return f"from {way.label}" if isinstance(way, Program) else f"in by {way.name}"


def _is_mistold(conformance: Conformance) -> bool:
    return conformance.wrong_notice


def icmp_error_obligations(
    encoding: FamilyEncoding, ingress: Zone, protocols: frozenset[int]
) -> Obligation:
    """Whose packets would pass were they not rejected is told so, and nobody but the sources that
    deny entries reject is told anything: the input look-up ends with a prohibition. It does as
    well for what a logged deny entry names and what is refused, and for nothing else.

    Where all that is refused is logged, every refusal may be one, and what is refused of those
    behind the interface is, but for what is missed. Whether the sender hears of it is decided where
    the kernel's word is sent: an obligation like any other. But nobody is spoken of
    who claims to be this machine, where the word would be heard by its own sockets: in IPv6, and
    where not all is logged.
    """
    kernel, device, protocol = encoding.kernel, ingress.device, min(protocols)
    flow = kernel.input_flow(device, protocol)
    path_policies = [
        encoding.path_policy(ingress, way)
        for way in encoding.policy.interfaces
        if way is not ingress
    ]
    ends = [
        encoding.path_policy(ingress, way) for way in (None, *encoding.zones) if way is not ingress
    ]
    spoken_of = encoding.semantics.refusal_log.loggable(encoding.family, ingress)

    def wrong() -> Conditions:
        found = encoding.rules.look_up(flow)
        told = z3.BoolVal(val=False)
        if kernel.sends_icmp_errors(device):
            told = found == encoding.rules.results.number(PROHIBITED)

        def held(spaces: Iterable[HeaderSpace]) -> z3.BoolRef:
            return encoding.in_any_space(spaces, protocol, kernel.packet)

        to_tell = []
        for path_policy in path_policies:
            asks, denied = path_policy.by_direction[0]
            silent = held(space for space in denied if not space.reject)
            rejected = held(space for space in denied if space.reject)
            passes = encoding.passes(path_policy, protocol, kernel.packet)
            to_tell.append(z3.And(held(asks), rejected, z3.Not(silent), z3.Not(passes)))
        logged = held(space for path_policy in ends for space in path_policy.logged)
        all_logged = any_of(
            z3.And(held(path_policy.all_logged), z3.Not(held(path_policy.missed)))
            for path_policy in ends
        )
        lets_in = any_of(
            encoding.passes(path_policy, protocol, kernel.packet) for path_policy in ends
        )
        to_tell.append(z3.And(z3.Or(logged, all_logged), z3.Not(lets_in)))
        anyhow = any_of(
            kernel.packet.source.within(encoding.classes.mask(space.sources))
            for path_policy in path_policies
            for space in path_policy.denied
            if space.reject
        )
        ours = kernel.packet.source.within(encoding.classes.mask(encoding.local_addresses))
        unheard = z3.Not(z3.Or(anyhow, held(spoken_of)))
        if encoding.policy.log:
            unheard = z3.And(ours, z3.BoolVal(encoding.family is Family.V6))
        elif encoding.policy.logs:
            unheard = z3.Or(ours, unheard)
        return [
            *kernel.possible(protocol, outgoing=False),
            z3.Not(kernel.to_all(found, protocol)),
            z3.Not(kernel.dropped_early()),
            z3.Or(z3.And(told, unheard), z3.And(any_of(to_tell), z3.Not(told))),
        ]

    def signature() -> object:
        return encoding.rules.met(flow)

    about = f"{in_by(ingress)}, who is told"
    return Obligation(
        encoding.family, about, True, device, protocols, wrong, _is_mistold, signature
    )


def log_obligations(encoding: FamilyEncoding, ingress: Interface) -> Obligation:
    """The kernel's word about those whom the log is to hear of leads into loopback, and is for
    nobody there: so the log hears it. Where all is logged, a source that is rejected gets the word
    itself. IPv4 has chosen no address for it yet (icmp_route_lookup,
    net/ipv4/icmp.c), IPv6 has (icmp6_send, net/ipv6/icmp.c).
    """
    kernel, family = encoding.kernel, encoding.family
    number = PROTOCOL[family]
    flow = kernel.output_flow(number, None)
    (word,) = icmp_pattern(family, SAYS_PROHIBITED[family]).destination_ports
    path_policies = [
        encoding.path_policy(ingress, way) for way in (None, *encoding.zones) if way is not ingress
    ]
    mask, rejected = encoding.classes.mask, 0
    for space in (s for path_policy in path_policies for s in path_policy.denied if s.reject):
        rejected |= mask(space.sources)
    asking = {mask(s.sources) for path_policy in path_policies for s in path_policy.logged}
    asking |= {
        mask(s.sources) & ~rejected for path_policy in path_policies for s in path_policy.all_logged
    }
    own = [encoding.classes.number(address.ip) for address in ingress.addresses_of(family)]

    def wrong() -> Conditions:
        packet = kernel.packet
        says = own if family is Family.V6 else [kernel.unchosen]
        led = encoding.rules.results.among(
            encoding.rules.look_up(flow),
            lambda r: r.device == LOOPBACK and r.type in (RouteType.LOCAL, RouteType.BROADCAST),
        )
        return [
            *kernel.possible(number, outgoing=True),
            any_of(packet.source.within(1 << one) for one in says),
            any_of(packet.destination.within(found) for found in asking),
            in_ports(packet.destination_port, word),
            packet.uid == ROOT,
            z3.Not(led),
        ]

    def confirms(conformance: Conformance) -> bool:
        return conformance.verdict.why != LOGGED

    def signature() -> object:
        return encoding.rules.met(flow)

    about = f"{in_by(ingress)}, who is logged"
    group = frozenset({int(number)})
    return Obligation(family, about, False, None, group, wrong, confirms, signature)
