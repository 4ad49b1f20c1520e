"""The band of output: what this machine sends, and what the return path check looks up.

In: the `CompileContext` of one family.  Out: rules in its assembler, from preference OUTPUT on.
docs/how-it-filters.md explains why each is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Network
from typing import Any

from pbrinit.compiler.assembler import Label
from pbrinit.compiler.context import CompileContext, RulePart
from pbrinit.compiler.emit import Branch, emit_prefixes, emit_protocol_tree, lookup_action
from pbrinit.compiler.flowspec import FlowSpec, Role, keys
from pbrinit.compiler.layout import FEW, TABLE_DHCP, TABLE_LOG, TABLE_ROUTERS, TABLE_SINK
from pbrinit.compiler.links import hairpin_tables
from pbrinit.compiler.port_tree import ALLOWING_ROLES, PortSide
from pbrinit.compiler.prefix_cover import cover
from pbrinit.compiler.set_tables import SetAction
from pbrinit.net.addresses import AddressSet, Family, Prefix, holds, host
from pbrinit.net.icmp import PROHIBITED, PROTOCOL, ROUTER_SOLICITATION
from pbrinit.net.services import DHCP_CLIENT, DHCP_SERVER, Protocol
from pbrinit.net.special_addresses import ALL_ROUTERS, LOOPBACK_PREFIX, UNSPECIFIED_4
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, TABLE_MAIN, Action
from pbrinit.policy.programs import ROOT

COMMON_FIRST = (Protocol.TCP, Protocol.UDP, Protocol.ICMP)
EVERY_SOURCE_6 = (IPv6Network("::/1"), IPv6Network("8000::/1"))


@dataclass(frozen=True)
class _Leaf:
    """The addresses that each user may send to, None being all users that are not named; and those
    whose packets may arrive although root may not send to them.
    """

    allowed: tuple[tuple[int | None, AddressSet], ...]
    return_path_only: AddressSet
    keys: tuple[str, ...]
    denying_keys: tuple[str, ...]


@dataclass(frozen=True)
class _Band(RulePart):
    """The context, and the labels that all parts of the band lead to."""

    decide: Label = field(default_factory=lambda: Label("what is sent"))
    refused: Label = field(default_factory=lambda: Label("refused"))


def output_rules(context: CompileContext, tail: Label) -> None:
    """Write the band; look-ups of ARP's return path go to `tail`."""
    band, code = _Band(context), context.code
    _check_addresses(band)
    code.mark(band.decide)
    code.add(Action.NOP, note="what is sent from here")

    def unnamed() -> None:
        code.goto(band.refused, note="nothing of this protocol")

    emit_protocol_tree(
        code,
        tuple(context.flows.output()),
        partial(_leaf, context.family),
        partial(_write_leaf, band),
        unnamed,
        within="sent",
        first=PortSide.SOURCE,
        iif=LOOPBACK,
        note="what is sent from here",
    )
    _refuse(band, tail)


def _check_addresses(band: _Band) -> None:
    """Accept loopback and own addresses; refuse destinations that belong to no single host; then
    the source has to be an own address of the interface that the destination is behind, or not
    chosen yet.

    Where a socket is not bound, IPv4 looks up with source 0. IPv6 looks up without a source, which
    no rule with a source matches (fib6_rule_match), so foreign sources are named.
    """
    code, topology, family = band.code, band.context.topology, band.family
    code.add(Action.NOP, note="output")
    own = [
        host(address)
        for interface in topology.interfaces
        for address in interface.addresses_of(family)
    ]
    _drop_spoofed_self(band, own)
    for destination in (LOOPBACK_PREFIX[family], *own):
        code.add(Action.LOOKUP, TABLE_LOCAL, iif=LOOPBACK, destination=destination,
                 note="to this machine")  # fmt: skip
    _allow_router_solicitation(band)
    # Own addresses again: a socket bound to another device does not find them above
    # (fib_lookup_good_nhc).
    for destination in (*own, *topology.reserved, *topology.broadcasts):
        code.goto(band.refused, destination=destination, note="belongs to no other single host")
    _refuse_other_links(band)
    _allow_dhcp_discover(band)
    for interface in topology.interfaces:
        sources = {address: host(address) for address in interface.addresses_of(family)}
        for source in sources.values():
            for destination, owner in topology.discriminating_prefixes(interface):
                if owner is interface:
                    code.goto(band.decide, source=source, destination=destination,
                              note="from our address")  # fmt: skip
                else:
                    code.goto(band.refused, source=source, destination=destination,
                              note="another interface's link has another source")  # fmt: skip
            if interface.gateway(family) is not None:
                code.goto(band.decide, source=source, note="from our address")
    if family is Family.V4:
        code.goto(band.decide, source=UNSPECIFIED_4, note="source not chosen yet")
        code.goto(band.refused, note="not an own source address")
    else:
        for source in EVERY_SOURCE_6:
            code.goto(band.refused, source=source, note="not an own source address")


def _refuse_other_links(band: _Band) -> None:
    """Refuse packets of a bound socket to addresses behind another interface. Such a socket skips
    the routes by other devices (fib_lookup_good_nhc, rt6_score_route), and would find a less
    specific one: the gateway's, or one for a prefix around theirs.
    """
    code, topology = band.code, band.context.topology
    for interface in topology.interfaces:
        prefixes = topology.discriminating_prefixes(interface)
        behind = Label(f"a bound socket's, by {interface.name}")
        for destination, owner in prefixes:
            if owner is not interface:
                code.goto(band.refused, iif=LOOPBACK, oif=interface.device,
                          destination=destination,
                          note=f"a bound socket's, to the link of {owner.name}")  # fmt: skip
            elif any(o is not interface and holds(p, destination) for p, o in prefixes):
                code.goto(behind, iif=LOOPBACK, oif=interface.device, destination=destination,
                          note=f"a bound socket's, to the link of {owner.name}")  # fmt: skip
        code.mark(behind)


def _allow_dhcp_discover(band: _Band) -> None:
    """Accept the answers of DHCP servers. The request is broadcast, for which there is no look-up.
    The return path check of the answer, which is broadcast too, looks up the server without a
    source, as root.
    """
    context, family = band.context, band.family
    awaiting = (interface.awaiting_address(family) for interface in context.policy.interfaces)
    if family is not Family.V4 or not any(awaiting):
        return
    request: dict[str, Any] = {
        "iif": LOOPBACK, "source": UNSPECIFIED_4, "protocol": Protocol.UDP,
        "source_ports": DHCP_CLIENT, "destination_ports": DHCP_SERVER, "uid": ROOT,
    }  # fmt: skip
    for prefix, _ in context.topology.prefixes:
        band.code.goto(band.decide, destination=prefix, note="behind another interface", **request)
    band.code.add(Action.LOOKUP, TABLE_DHCP, note="a request for an address", **request)


def _allow_router_solicitation(band: _Band) -> None:
    """Let root send router solicitations to all routers of a link. Their source is not chosen yet,
    so no rule with a source matches them (fib6_rule_match).
    """
    code, family = band.code, band.family
    interfaces = band.context.policy.interfaces
    dynamic = any(family in interface.dynamic_families for interface in interfaces)
    if family is not Family.V6 or not dynamic:
        return
    (solicitation,) = ROUTER_SOLICITATION.ports
    for source in EVERY_SOURCE_6:
        code.goto(band.refused, source=source, destination=ALL_ROUTERS,
                  note="a router solicitation has no source yet")  # fmt: skip
    code.add(Action.LOOKUP, TABLE_ROUTERS, iif=LOOPBACK, destination=ALL_ROUTERS,
             protocol=Protocol.ICMPV6, destination_ports=solicitation, uid=ROOT,
             note="router solicitation")  # fmt: skip


def _leaf(family: Family, flows: tuple[FlowSpec, ...]) -> _Leaf:
    allowing = [flow for flow in flows if flow.role in ALLOWING_ROLES and flow.destinations]
    if not allowing:
        return _Leaf(((None, AddressSet(family)),), AddressSet(family), (), ())
    users = sorted({ROOT, *(flow.uid for flow in flows if flow.uid is not None)})

    def total(role: Role, uid: int | None, answer: bool) -> AddressSet:
        union = AddressSet(family)
        for flow in flows:
            if flow.role is role and flow.uid in (None, uid) and flow.answer is answer:
                union = union | flow.destinations
        return union

    def left(allow: Role, deny: Role, uid: int | None) -> AddressSet:
        requests, answers = (
            total(allow, uid, answer) - total(deny, uid, answer) for answer in (False, True)
        )
        return requests | answers

    allowed = {
        uid: left(Role.ALLOW, Role.DENY, uid) | total(Role.KERNEL_ICMP, uid, answer=False)
        for uid in (*users, None)
    }
    arriving = left(Role.RETURN_PATH_ALLOW, Role.RETURN_PATH_DENY, ROOT)
    return_path_only = arriving - allowed[ROOT]
    with_rules = {
        uid: addresses
        for uid, addresses in allowed.items()
        if uid is None or addresses != allowed[None] or (uid == ROOT and return_path_only)
    }
    denying = [
        flow for flow in flows if flow.role is Role.DENY
        and flow.destinations & total(Role.ALLOW, flow.uid, flow.answer)
    ]  # fmt: skip
    return _Leaf(tuple(with_rules.items()), return_path_only, keys(allowing), keys(denying))


def _write_leaf(band: _Band, leaf: _Leaf) -> None:
    code = band.code
    any_user = dict(leaf.allowed)[None]
    for uid, allowed in leaf.allowed:
        if uid == ROOT and leaf.return_path_only:
            sink = Label("for the return path check only")
            _allow(band, leaf, allowed, uid, sink)
            code.mark(sink)
            _write_sink(band, leaf)
        else:
            _allow(band, leaf, allowed, uid, band.refused)
        if uid is not None and any_user:
            code.goto(band.refused, uid=uid, note=leaf.denying_keys or "another user")
    code.goto(band.refused, note=leaf.denying_keys or "refused")


def _allow(
    band: _Band, leaf: _Leaf, allowed: AddressSet, uid: int | None, otherwise: Label
) -> None:
    """Send by the table main, or by the table of a set.

    A strict look-up of IPv6 skips routes without a device (rt6_score_route), and so it skips what a
    set excludes. Bound sockets are refused where a set excludes something.
    """
    code, context = band.code, band.context
    reachable = context.topology.reachable
    destinations = cover(allowed, reachable)
    if len(destinations) <= FEW:
        branch = _branch(band, leaf, TABLE_MAIN, otherwise)
        emit_prefixes(code, destinations, "destination", branch, iif=LOOPBACK, uid=uid)
        return
    if band.family is Family.V6 and not all(rule.include for rule in destinations):
        for interface in context.policy.interfaces:
            code.goto(band.refused, iif=LOOPBACK, oif=interface.device, uid=uid,
                      note="a bound socket skips what the set excludes")  # fmt: skip
    table = context.tables.table(SetAction.TOWARDS, context.topology, allowed, reachable)
    code.add(Action.LOOKUP, table, iif=LOOPBACK, uid=uid, note=leaf.keys)


def _write_sink(band: _Band, leaf: _Leaf) -> None:
    """Routes for the return path check only: they lead into loopback, so that root cannot send by
    them.

    The return path check of a broadcast looks up without an own address, and finds nothing here.
    """
    code, context = band.code, band.context
    code.goto(band.refused, source=UNSPECIFIED_4, uid=ROOT, note="not for broadcast")
    reachable = context.topology.reachable
    destinations = cover(leaf.return_path_only, reachable)
    if len(destinations) <= FEW:
        branch = _branch(band, leaf, TABLE_SINK, band.refused)
        emit_prefixes(code, destinations, "destination", branch, iif=LOOPBACK, uid=ROOT)
        return
    table = context.tables.table(SetAction.SINK, context.topology, leaf.return_path_only, reachable)
    code.add(Action.LOOKUP, table, iif=LOOPBACK, uid=ROOT, note=leaf.keys)


def _branch(band: _Band, leaf: _Leaf, table: int, otherwise: Label) -> Branch:
    return Branch(lookup_action(band.code, table), otherwise, leaf.keys, leaf.denying_keys)


def _drop_spoofed_self(band: _Band, own: list[Prefix]) -> None:
    """Route to the log the ICMP errors about packets that came from an own address. They go to an
    own address, and our sockets would take them for errors of their own. In IPv6 `input_rules`
    generates none.
    """
    for destination in own if band.context.policy.log and band.family is Family.V4 else ():
        _send_to_log(band, "spoofed own address, for the log only", destination=destination)


def _send_to_log(band: _Band, note: str, **selectors: Any) -> None:
    """Route the kernel's ICMP errors about refused packets to the log."""
    (prohibited,) = PROHIBITED[band.family].ports
    band.code.add(Action.LOOKUP, TABLE_LOG, iif=LOOPBACK, uid=ROOT,
                  protocol=PROTOCOL[band.family], destination_ports=prohibited,
                  note=note, **selectors)  # fmt: skip


def _refuse(band: _Band, tail: Label) -> None:
    """Refuse what is left. If a look-up fails, IPv4 sends a bound socket's packet on the link
    (ip_route_output_key_hash_rcu). So there the look-up has to succeed, and leads back here.

    In IPv4 root's look-ups go on in the tail, where ARP's return path is accepted.
    """
    code, policy = band.code, band.context.policy
    code.mark(band.refused)
    code.add(Action.NOP, note="refused")
    if policy.logs:
        _send_to_log(band, "an ICMP error for the log")
    if band.family is Family.V4:
        for device, table in hairpin_tables(policy):
            code.add(Action.LOOKUP, table, iif=LOOPBACK, oif=device,
                     note="from a bound socket")  # fmt: skip
        for protocol in COMMON_FIRST:
            code.add(Action.PROHIBIT, iif=LOOPBACK, protocol=protocol, note="refused")
        code.goto(tail, iif=LOOPBACK, uid=ROOT, note="may be ARP's")
    code.add(Action.PROHIBIT, iif=LOOPBACK, note="refused")
