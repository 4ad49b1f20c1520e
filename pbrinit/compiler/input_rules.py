"""The band of one interface: what arrives by it, for this machine or to be forwarded.

In: the `CompileContext` of one family, and an interface.  Out: rules in its assembler.
docs/how-it-filters.md explains why each is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from pbrinit.compiler import rooms
from pbrinit.compiler.assembler import CompileError, Label
from pbrinit.compiler.context import CompileContext
from pbrinit.compiler.emit import Branch, emit_prefixes, emit_protocol_tree, lookup_action
from pbrinit.compiler.flowspec import FlowSpec, Resolved, Role, resolve
from pbrinit.compiler.forward_rules import Forwarded, dispatch_forwarded, forward_rules
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.log_rules import LOGGED_PROTOCOLS
from pbrinit.compiler.prefix_cover import cover
from pbrinit.compiler.set_tables import NextHop, SetAction
from pbrinit.net.addresses import AddressSet, Family, host
from pbrinit.net.services import Protocol
from pbrinit.net.special_addresses import (
    ALL_NODES,
    LINK_LOCAL,
    MAPPED,
    SOLICITED_NODE,
    UNSPECIFIED_6,
)
from pbrinit.plan.plan import TABLE_LOCAL, Action
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Program


@dataclass(frozen=True)
class _Leaf:
    """Whose packets are delivered, to which room (None is the machine itself), and whose refused
    packets are logged.
    """

    resolved: Resolved
    room: Program | None
    logged: AddressSet


def input_rules(context: CompileContext, interface: Interface, refused: Label) -> None:
    """Write the band of an interface, but for its end: refused packets go to `refused`."""
    code, family = context.code, context.family
    code.add(Action.NOP, note=f"arrives by {interface.name}")
    if not interface.addresses_of(family):
        if interface.awaiting_address(family) and family is Family.V6:
            _accept_link_local(context, interface)
        code.goto(refused, note="no address of this family here")
        return
    valid = Label("valid source")
    _check_source(context, interface, valid, refused)
    code.mark(valid)
    code.add(Action.NOP, note="the source is valid")
    if family is Family.V6:
        _accept_neighbour_discovery(context, interface, refused)
    local = Label(f"to this machine by {interface.name}")
    for address in interface.addresses_of(family):
        code.goto(local, destination=host(address), note="to this machine")
    forwarded = Forwarded.arriving_by(interface, context)
    dispatch_forwarded(forwarded, refused)
    code.mark(local)
    code.add(Action.NOP, note="to this machine")

    def unnamed() -> None:
        code.goto(refused, note="nothing of this protocol")

    emit_protocol_tree(
        code,
        tuple(context.flows.input(interface)),
        partial(_leaf, family),
        partial(_write_leaf, context, interface, refused),
        unnamed,
        within="to this machine",
        iif=interface.device,
        note="to this machine",
    )
    forward_rules(forwarded, refused)


def _check_source(
    context: CompileContext, interface: Interface, valid: Label, refused: Label
) -> None:
    """Drop packets from own addresses, and from addresses behind another interface. By an interface
    without a gateway, accept only addresses of its own prefixes and of its static routes.

    Where every refused packet is logged, these are logged too, unless a deny entry rejects: then
    the spoofed host would get the ICMP errors.
    """
    code, family = context.code, context.family
    _drop_bogon_sources(context)
    for source, owner in context.topology.discriminating_prefixes(interface):
        if owner is interface:
            code.goto(valid, source=source, note="behind this interface")
        else:
            _drop_spoofed(context, refused, source=source, note=f"spoofed: behind {owner.name}")
    if interface.gateway(family) is None:
        for source in (LINK_LOCAL, UNSPECIFIED_6) if family is Family.V6 else ():
            code.goto(valid, source=source, note="of this link")
        _drop_spoofed(context, refused, note="spoofed: not behind this interface")


def _drop_spoofed(context: CompileContext, refused: Label, **selectors: Any) -> None:
    if context.policy.log and not any(deny.reject for deny in context.policy.denies):
        context.code.goto(refused, **selectors)
    else:
        context.code.add(Action.BLACKHOLE, **selectors)


def _drop_bogon_sources(context: CompileContext) -> None:
    """Drop packets whose source no other host has. Where every refused packet is logged, IPv4 logs
    packets from own addresses: there `output_rules` keeps the ICMP error away from sockets.
    """
    code, family = context.code, context.family
    logged = LOGGED_PROTOCOLS if context.policy.log and family is Family.V4 else ()
    for interface in context.topology.interfaces:
        for address in interface.addresses_of(family):
            source, note = host(address), "spoofed: our own address"
            for protocol in logged:
                code.add(Action.PROHIBIT, source=source, protocol=protocol, note=note)
            code.add(Action.BLACKHOLE, source=source, note=note)
    if family is Family.V6:
        code.add(Action.BLACKHOLE, source=MAPPED, note="spoofed: IPv4 written as IPv6")
    for source in context.topology.room_prefixes:
        code.add(Action.BLACKHOLE, source=source, note="spoofed: an inside address of rooms")


def _accept_link_local(context: CompileContext, interface: Interface) -> None:
    """Accept ICMPv6 from the link, while the interface has only its link-local address."""
    code, device = context.code, interface.device
    _drop_bogon_sources(context)
    for source in (LINK_LOCAL, UNSPECIFIED_6):
        for destination in (SOLICITED_NODE, LINK_LOCAL):
            code.add(Action.LOOKUP, TABLE_LOCAL, iif=device, source=source,
                     destination=destination, protocol=Protocol.ICMPV6,
                     note="neighbour discovery")  # fmt: skip
    _accept_advertisements(context, interface)


def _accept_advertisements(context: CompileContext, interface: Interface) -> None:
    """Accept what routers of the link send to all nodes."""
    context.code.add(Action.LOOKUP, TABLE_LOCAL, iif=interface.device, source=LINK_LOCAL,
                     destination=ALL_NODES, protocol=Protocol.ICMPV6,
                     note="router advertisements")  # fmt: skip


def _accept_neighbour_discovery(
    context: CompileContext, interface: Interface, refused: Label
) -> None:
    """Accept ICMPv6 to this machine from any address, and nothing else from link-local ones."""
    code, family = context.code, context.family
    own = tuple(host(address) for address in interface.addresses_of(family))
    for destination in (*own, SOLICITED_NODE, LINK_LOCAL):
        code.add(Action.LOOKUP, TABLE_LOCAL, iif=interface.device, destination=destination,
                 protocol=Protocol.ICMPV6, note="neighbour discovery, path MTU")  # fmt: skip
    if family in interface.dynamic_families:
        _accept_advertisements(context, interface)
    for source in (LINK_LOCAL, UNSPECIFIED_6):
        code.goto(refused, source=source, note="belongs to no single host")


def _leaf(family: Family, flows: tuple[FlowSpec, ...]) -> _Leaf:
    receivers = {flow.room for flow in flows if flow.role is Role.ALLOW and flow.sources} or {None}
    resolved = resolve(flows, family, lambda flow: flow.sources)
    if len(receivers) > 1:
        keys = ", ".join(resolved.keys)
        raise CompileError(f"{keys}: the same packets would go to more than one room")
    logged = AddressSet(family)
    for flow in flows:
        logged = logged | flow.sources if flow.log else logged
    return _Leaf(resolved, receivers.pop(), logged - resolved.allowed)


def _write_leaf(context: CompileContext, interface: Interface, refused: Label, leaf: _Leaf) -> None:
    """A small set of sources by its prefixes. About a large one the return path check decides in
    IPv4, which is made for every packet; in IPv6 a table of routes by source.
    """
    code, resolved = context.code, leaf.resolved
    behind = context.topology.hosts_behind(interface)
    sources = cover(resolved.allowed, behind)
    table = TABLE_LOCAL if leaf.room is None else rooms.table(context.policy, leaf.room)
    if len(sources) <= FEW:
        deliver = lookup_action(code, table)
        branch = Branch(deliver, refused, resolved.keys, resolved.denying_keys)
        emit_prefixes(code, sources, "source", branch, iif=interface.device)
    elif context.family is Family.V4:
        _refuse_logged(context, interface, refused, leaf)
        code.add(Action.LOOKUP, table, iif=interface.device, note=resolved.keys)
    else:
        action = SetAction.LOCAL_FROM if leaf.room is None else SetAction.VIA_FROM
        hop = None if leaf.room is None else NextHop(leaf.room.device)
        table = context.tables.table(action, context.topology, resolved.allowed, behind, hop)
        code.add(Action.LOOKUP, table, iif=interface.device, note=resolved.keys)
    code.goto(refused, note=resolved.denying_keys or "not allowed")


def _refuse_logged(
    context: CompileContext, interface: Interface, refused: Label, leaf: _Leaf
) -> None:
    """Refuse packets that are logged before the return path check, which would drop them without
    an ICMP error.
    """
    code, keys = context.code, leaf.resolved.denying_keys
    sources = cover(leaf.logged, context.topology.hosts_behind(interface))
    if len(sources) > FEW:
        raise CompileError(
            f"{', '.join(keys)}: rules cannot log so many sources; leave log out, or let from"
            f" have at most {FEW} prefixes"
        )
    after = Label("not logged")

    def refuse(**selectors: Any) -> None:
        code.goto(refused, **selectors)

    branch = Branch(refuse, after, keys, "not logged")
    emit_prefixes(code, sources, "source", branch, iif=interface.device)
    code.mark(after)
