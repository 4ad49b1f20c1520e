"""What arrives by one interface to be forwarded by another.

In: the `CompileContext` of one family, and an interface.  Out: rules in its assembler.

In IPv4 each forwarded packet is looked up twice: as it is, and by the return path check, reversed,
as if it arrived by the interface that it leaves by (ip_mkroute_input, __fib_validate_source).
Since answers are allowed wherever requests are, the second look-up is about the same exchange.  So
a set of sources that is too large for rules is left to the second look-up, where it is a set of
destinations.  IPv6 has routes by source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pbrinit.compiler.assembler import CompileError, Label, Note
from pbrinit.compiler.context import CompileContext, RulePart
from pbrinit.compiler.emit import emit_pairs, emit_protocol_tree, lookup_action
from pbrinit.compiler.flowspec import FlowSpec, Role
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.port_tree import port_tree, protocols
from pbrinit.compiler.prefix_cover import ANY_ADDRESS, PrefixRule, cover
from pbrinit.compiler.prohibit import prohibit
from pbrinit.compiler.rectangles import AddressPair, cross_product_leak, without
from pbrinit.compiler.set_tables import NextHop, SetAction, next_hops
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.plan.plan import TABLE_MAIN, Action
from pbrinit.policy.interfaces import Interface


@dataclass(frozen=True)
class Forwarded(RulePart):
    """What arrives by one interface to be forwarded: its flows, the addresses that it may come from
    and go to, and the label of its rules.
    """

    interface: Interface
    flows: tuple[FlowSpec, ...]
    sources: AddressSet
    destinations: AddressSet
    start: Label

    @classmethod
    def arriving_by(cls, interface: Interface, context: CompileContext) -> Forwarded:
        """What arrives by this interface."""
        topology, flows = context.topology, context.flows
        others = (other for other in topology.interfaces if other is not interface)
        return cls(
            context,
            interface,
            tuple(flows.forward(interface)) if flows.forwards else (),
            topology.hosts_behind(interface),
            topology.hosts_behind(*others),
            Label(f"to be forwarded from {interface.name}"),
        )

    def source_rules(self, pair: AddressPair) -> tuple[PrefixRule, ...]:
        """The prefixes of the sources of a rectangle."""
        return cover(pair.sources, self.sources)

    def destination_rules(self, pair: AddressPair) -> tuple[PrefixRule, ...]:
        """The prefixes of the destinations of a rectangle."""
        return cover(pair.destinations, self.destinations)

    def is_large(self, pair: AddressPair) -> bool:
        """Whether both sides of a rectangle are too large for rules."""
        sides = (self.source_rules(pair), self.destination_rules(pair))
        return all(len(rules) > FEW for rules in sides)

    def table(
        self,
        action: SetAction,
        wanted: AddressSet,
        universe: AddressSet,
        hop: NextHop | None = None,
    ) -> int:
        """The number of a table of a set."""
        return self.context.tables.table(action, self.context.topology, wanted, universe, hop)


@dataclass(frozen=True)
class _Leaf:
    """What is forwarded, and what is prohibited before that: what a deny entry rejects, and what
    is logged where a look-up that leaves the source to the second look-up would match it too.
    """

    allowed: tuple[AddressPair, ...]
    prohibited: tuple[AddressPair, ...]
    denying_keys: tuple[str, ...]


def dispatch_forwarded(forwarded: Forwarded, refused: Label) -> None:
    """Lead packets to addresses behind the other interfaces to the rules that decide about them."""
    code, interface = forwarded.code, forwarded.interface
    topology = forwarded.context.topology
    if not protocols(forwarded.flows):
        code.goto(refused, note="not to this machine")
        return
    own = topology.own_addresses.prefixes
    six = forwarded.family is Family.V6
    reserved = topology.reserved if six else topology.room_prefixes
    for destination in (*own, *topology.broadcasts, *reserved):
        code.goto(refused, destination=destination, note="belongs to no other single host")
    for destination, owner in topology.discriminating_prefixes(interface):
        if owner is interface:
            code.goto(refused, destination=destination, note="behind this interface itself")
        else:
            code.goto(forwarded.start, destination=destination, note="to be forwarded")
    if interface.gateway(forwarded.family) is None:
        code.goto(forwarded.start, note="to be forwarded")
    else:
        code.goto(refused, note="behind this interface itself")


def forward_rules(forwarded: Forwarded, refused: Label) -> None:
    """Write the rules that `dispatch_forwarded` leads to."""
    code, flows = forwarded.code, forwarded.flows
    if not protocols(flows):
        return
    code.mark(forwarded.start)
    code.add(Action.NOP, note="to be forwarded")
    evaluate = partial(_leaf, forwarded)
    write = partial(_write_leaf, forwarded, refused)

    def unnamed() -> None:
        write(port_tree(flows, None, evaluate).others.others)

    emit_protocol_tree(code, flows, evaluate, write, unnamed, within="forwarded",
                       iif=forwarded.interface.device, note="to be forwarded")  # fmt: skip


def _leaf(forwarded: Forwarded, flows: tuple[FlowSpec, ...]) -> _Leaf:
    """Requests are denied by requests, and answers by answers. A host whose packet is allowed as an
    answer gets no error because it may not send the packet as a request.
    """
    left: list[AddressPair] = []
    for answer in (False, True):
        allow, deny = (
            [AddressPair(flow.sources, flow.destinations, (flow.key,)) for flow in flows
             if flow.role in roles and flow.answer is answer and flow.sources
             and flow.destinations]
            for roles in ((Role.ALLOW,), (Role.DENY, Role.REJECT))
        )  # fmt: skip
        left += without(allow, deny)
    allowed = without(left, ())
    source_left_open = any(len(forwarded.source_rules(pair)) > FEW for pair in allowed)
    prohibited = [
        AddressPair(flow.sources, flow.destinations, (flow.key,)) for flow in flows
        if (flow.role is Role.REJECT or (flow.log and source_left_open))
        and flow.sources and flow.destinations
    ]  # fmt: skip
    some_allowed = any(flow.role is Role.ALLOW for flow in flows)
    denying = dict.fromkeys(flow.key for flow in flows if flow.role in (Role.DENY, Role.REJECT))
    return _Leaf(allowed, without(prohibited, allowed), tuple(denying) if some_allowed else ())


def _write_leaf(forwarded: Forwarded, refused: Label, leaf: _Leaf) -> None:
    """Prohibited packets come first: a look-up that leaves the source to the second look-up would
    match them too, and drop them there without an ICMP error.
    """
    _refuse_leaks(forwarded, leaf.allowed)
    for pair in leaf.prohibited:
        within = forwarded.sources, forwarded.destinations
        device = forwarded.interface.device
        prohibit(forwarded.context, pair, within, "reject or log", pair.keys, iif=device)
    for pair in sorted(leaf.allowed, key=forwarded.is_large):
        _allow(forwarded, pair, leaf.denying_keys)
    forwarded.code.goto(refused, note=leaf.denying_keys or "not allowed")


def _refuse_leaks(forwarded: Forwarded, pairs: tuple[AddressPair, ...]) -> None:
    """Refuse the policy where large sets would be mixed. In IPv4 two look-ups that know nothing of
    each other decide about a large set of sources and a large set of destinations; in IPv6 a table
    of sources ends what follows it.
    """
    if forwarded.family is Family.V4:
        large_sources = [pair for pair in pairs if len(forwarded.source_rules(pair)) > FEW]
        large_destinations = [pair for pair in pairs if _is_large_behind(forwarded, pair)]
        leak = cross_product_leak(large_sources, large_destinations, pairs)
    else:
        large = [pair for pair in pairs if forwarded.is_large(pair)]
        leak = (large[0], large[1]) if len(large) > 1 else None
    if leak:
        keys = " and ".join(dict.fromkeys(", ".join(pair.keys) for pair in leak))
        raise CompileError(
            f"{keys}: large sets of sources and of destinations for the same service, which"
            f" routing would mix in IPv{forwarded.family.version}; give them the same sources,"
            " the same destinations, or other services"
        )


def _is_large_behind(forwarded: Forwarded, pair: AddressPair) -> bool:
    """Whether the destinations are too many for rules where they are the sources."""
    topology = forwarded.context.topology
    others = (other for other in topology.interfaces if other is not forwarded.interface)
    behind = (topology.hosts_behind(other) for other in others)
    return any(len(cover(pair.destinations & hosts, hosts)) > FEW for hosts in behind)


def _allow(forwarded: Forwarded, pair: AddressPair, denying_keys: tuple[str, ...]) -> None:
    code, device = forwarded.code, forwarded.interface.device
    notes: tuple[Note, Note] = (pair.keys, denying_keys)
    sources, destinations = forwarded.source_rules(pair), forwarded.destination_rules(pair)
    if len(sources) > FEW and forwarded.family is Family.V6:
        if len(destinations) <= FEW:
            _allow_by_source(forwarded, pair, notes)
            return
        table = forwarded.table(SetAction.ONLY_FROM, pair.sources, forwarded.sources)
        code.add(Action.LOOKUP, table, iif=device, note=pair.keys)
    then = lookup_action(code, TABLE_MAIN)
    if len(destinations) > FEW:
        table = forwarded.table(SetAction.TOWARDS, pair.destinations, forwarded.destinations)
        then, destinations = lookup_action(code, table), ANY_ADDRESS
    if len(sources) > FEW:
        sources = ANY_ADDRESS
    emit_pairs(code, sources, destinations, then, notes, iif=device)


def _allow_by_source(forwarded: Forwarded, pair: AddressPair, notes: tuple[Note, Note]) -> None:
    """IPv6: for each next hop its few destinations, and a table of the many sources. Such a table
    leads every destination to the next hop, so destinations behind no interface are told apart
    too.
    """
    code, topology = forwarded.code, forwarded.context.topology
    refused_before = AddressSet.from_prefixes(
        forwarded.family, (*topology.reserved, *topology.broadcasts)
    )
    universe = ~(forwarded.sources | topology.own_addresses | refused_before)
    for hop, reached in next_hops(topology):
        destinations = cover(pair.destinations & reached, universe)
        if destinations:
            table = forwarded.table(SetAction.VIA_FROM, pair.sources, forwarded.sources, hop)
            then = lookup_action(code, table)
            device = forwarded.interface.device
            emit_pairs(code, ANY_ADDRESS, destinations, then, notes, iif=device)
