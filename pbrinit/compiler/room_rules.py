"""The band of one room: what the program in it sends.

In: the `CompileContext` of one family, and a program.  Out: rules in its assembler.

For the machine, what a room sends is a packet that arrives to be forwarded: it has no socket, no
user, and no device that a socket could be bound to.  Multicast and broadcast are not forwarded.
The source decides by which interface a packet may leave: it is the address that the machine has
there, or, to another room, the inside address.
"""

from __future__ import annotations

from functools import partial

from pbrinit.compiler import rooms
from pbrinit.compiler.assembler import Label
from pbrinit.compiler.context import CompileContext
from pbrinit.compiler.emit import Branch, emit_prefixes, emit_protocol_tree, lookup_action
from pbrinit.compiler.flowspec import FlowSpec, PortMatch, Resolved, Role, resolve
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.prefix_cover import cover
from pbrinit.compiler.set_tables import SetAction
from pbrinit.net.addresses import AddressSet, Prefix, host
from pbrinit.plan.plan import TABLE_MAIN, Action
from pbrinit.policy import room_addresses
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Program

Servers = tuple[tuple[Program, str], ...]
"""Programs in other rooms that a packet may go to, each with the key of the entry."""


def room_rules(context: CompileContext, program: Program) -> None:
    """Write the band of a room."""
    code, family = context.code, context.family
    code.add(Action.NOP, note=f"from the room {program.name}")
    refused, inside = Label("refused"), Label("to other rooms")
    labels = [(i, Label(f"from the room by {i.name}")) for i in context.topology.interfaces]
    for interface, label in labels:
        for address in interface.addresses_of(family):
            code.goto(label, source=host(address), note=f"from our address on {interface.name}")
    flows = _inside_flows(context, program)
    if flows:
        own = _inside_prefix(context, program)
        code.goto(inside, source=own, note="from the inside address of this room")
    code.goto(refused, note="not an own source address")
    for interface, label in labels:
        code.mark(label)
        _rules_by_interface(context, program, interface, refused)
    code.mark(inside)
    _rules_to_rooms(context, program, flows, refused)
    code.mark(refused)
    code.add(Action.BLACKHOLE, note="refused")


def _rules_by_interface(
    context: CompileContext, program: Program, interface: Interface, refused: Label
) -> None:
    """Rules for packets to addresses behind the interface; all others are refused."""
    code, topology = context.code, context.topology
    for destination in (
        *topology.own_addresses.prefixes,
        *topology.reserved,
        *topology.broadcasts,
    ):
        code.goto(refused, destination=destination, note="belongs to no other single host")
    behind = Label(f"to an address behind {interface.name}")
    for destination, owner in topology.discriminating_prefixes(interface):
        target = behind if owner is interface else refused
        code.goto(target, destination=destination, note=f"behind {owner.name}")
    if interface.gateway(context.family) is None:
        code.goto(refused, note=f"not behind {interface.name}")
    code.mark(behind)
    code.add(Action.NOP, note=f"to an address behind {interface.name}")

    def evaluate(flows: tuple[FlowSpec, ...]) -> Resolved:
        return resolve(flows, context.family, lambda flow: flow.destinations)

    def unnamed() -> None:
        code.goto(refused, note="nothing of this protocol")

    emit_protocol_tree(
        code,
        tuple(context.flows.room_output(program, interface)),
        evaluate,
        partial(_write_leaf, context, program, interface, refused),
        unnamed,
        within="leaves the room",
        iif=program.device,
        note="leaves the room",
    )


def _write_leaf(
    context: CompileContext,
    program: Program,
    interface: Interface,
    refused: Label,
    resolved: Resolved,
) -> None:
    code, behind = context.code, context.topology.hosts_behind(interface)
    destinations = cover(resolved.allowed, behind)
    if len(destinations) <= FEW:
        forward = lookup_action(code, TABLE_MAIN)
        branch = Branch(forward, refused, resolved.keys, resolved.denying_keys)
        emit_prefixes(code, destinations, "destination", branch, iif=program.device)
    else:
        table = context.tables.table(SetAction.TOWARDS, context.topology, resolved.allowed, behind)
        code.add(Action.LOOKUP, table, iif=program.device, note=resolved.keys)
    code.goto(refused, note=resolved.denying_keys or "not allowed")


def _inside_flows(context: CompileContext, program: Program) -> tuple[FlowSpec, ...]:
    """What the room sends to other rooms: its requests, and its answers to their requests."""
    flows = []
    for allow in context.policy.room_allows:
        for service in allow.services:
            if service.ports is None:
                raise AssertionError(f"{allow.key}: {service} has no ports")
            request = PortMatch(service.protocol, allow.client.client_ports, service.ports)
            for sender, receiver, match in (
                (allow.client, allow.server, request),
                (allow.server, allow.client, request.reversed),
            ):
                if sender is program:
                    address = _inside_prefix(context, receiver)
                    flows.append(FlowSpec(
                        Role.ALLOW, allow.key, match, AddressSet.everything(context.family),
                        AddressSet.from_prefixes(context.family, (address,)), room=receiver,
                    ))  # fmt: skip
    return tuple(flows)


def _inside_prefix(context: CompileContext, program: Program) -> Prefix:
    address = room_addresses.room_address(context.policy, program, context.family)
    return host(rooms.host_address(address))


def _rules_to_rooms(
    context: CompileContext, program: Program, flows: tuple[FlowSpec, ...], refused: Label
) -> None:
    """Rules for packets from the inside address to those of other rooms."""
    code, device = context.code, program.device

    def evaluate(flows: tuple[FlowSpec, ...]) -> Servers:
        return tuple((flow.room, flow.key) for flow in flows if flow.room is not None)

    def write(servers: Servers) -> None:
        for server, key in servers:
            code.add(Action.LOOKUP, rooms.table(context.policy, server), iif=device,
                     destination=_inside_prefix(context, server), note=(key,))  # fmt: skip
        code.goto(refused, note="not allowed")

    def unnamed() -> None:
        code.goto(refused, note="nothing of this protocol")

    emit_protocol_tree(code, flows, evaluate, write, unnamed, within="to other rooms",
                       iif=device, note="to other rooms")  # fmt: skip
