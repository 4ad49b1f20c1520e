"""A plan as the netlink messages that put it in force.

In: a `Plan`.  Out: a `BootPlan` of ready messages, encoded by pyroute2 on the machine that
builds the image.  Source of the formats: rtnetlink(7), linux/fib_rules.h.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pbrinit import bootfile, bulk
from pbrinit.addresses import Family, InterfaceAddress
from pbrinit.bootfile import BootPlan, LinkPlan
from pbrinit.layout import KERNEL_RULES
from pbrinit.plan import WITHOUT_DEVICE, Action, Link, Plan, Route, RouteKind, Rule
from pbrinit.policy import Ports
from pbrinit.show import address_command, route_command, rule_command

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
ADD = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
CHANGE = NLM_F_REQUEST | NLM_F_ACK

RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWRULE, RTM_DELRULE = 16, 20, 24, 32, 33
IFF_UP = 1
RTPROT_STATIC = 4
RTNH_F_ONLINK = 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTN = {
    RouteKind.UNICAST: 1,
    RouteKind.LOCAL: 2,
    RouteKind.BLACKHOLE: 6,
    RouteKind.PROHIBIT: 8,
    RouteKind.THROW: 9,
}
FR_ACT = {
    Action.LOOKUP: 1,
    Action.GOTO: 2,
    Action.NOP: 3,
    Action.BLACKHOLE: 6,
    Action.PROHIBIT: 8,
}
INDEX = 0x7E57C0DE
"""Stands where the interface's index goes; no attribute of ours has this value."""


def encode(plan: Plan, policy_name: str) -> BootPlan:
    """Every message of the plan, in the order in which PID 1 sends them.

    Rules go from the highest preference down: each is then inserted at the head of the
    kernel's list (fib_nl_newrule walks it from there), and a goto finds its target.
    """
    rules = sorted(plan.rules, key=lambda rule: (rule.family, -rule.preference))
    encoded = BootPlan(
        hostname=plan.hostname,
        policy=policy_name,
        digest="",
        on_failure=(plan.on_failure.ending.value, plan.on_failure.seconds),
        summary=plan.summary,
        users=tuple((user.name, user.uid) for user in plan.users),
        sysctls=tuple((sysctl.key, sysctl.value) for sysctl in plan.sysctls),
        rules=tuple(_rule(rule, RTM_NEWRULE, ADD) for rule in rules),
        removals=tuple(_rule(rule, RTM_DELRULE, CHANGE) for rule in KERNEL_RULES),
        texts=tuple(rule_command(rule) for rule in rules),
        links=tuple(_link(link) for link in plan.links),
        last=tuple((sysctl.key, sysctl.value) for sysctl in plan.last),
    )
    digest = hashlib.sha256(bootfile.pack(encoded)).hexdigest()
    return BootPlan(**{**vars(encoded), "digest": digest})


def _message(kind: type[Any], type_: int, flags: int, fields: dict[str, Any]) -> bytes:
    message = kind()
    attributes = fields.pop("attrs")
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [(name, value) for name, value in attributes if value is not None]
    message["header"]["type"] = type_
    message["header"]["flags"] = flags
    message.encode()
    return bytes(message.data)


def _rule(rule: Rule, type_: int, flags: int) -> bytes:
    lookup = rule.argument if rule.action is Action.LOOKUP else None
    target = rule.argument if rule.action is Action.GOTO else None
    source, destination = rule.source, rule.destination
    return _message(
        fibmsg,
        type_,
        flags,
        {
            "family": int(rule.family),
            "src_len": source.prefixlen if source else 0,
            "dst_len": destination.prefixlen if destination else 0,
            "action": FR_ACT[rule.action],
            "attrs": [
                ("FRA_PRIORITY", rule.preference),
                ("FRA_TABLE", lookup),
                ("FRA_GOTO", target),
                ("FRA_IIFNAME", rule.iif),
                ("FRA_OIFNAME", rule.oif),
                ("FRA_SRC", str(source.network_address) if source else None),
                ("FRA_DST", str(destination.network_address) if destination else None),
                ("FRA_IP_PROTO", rule.protocol),
                ("FRA_SPORT_RANGE", _range(rule.source_ports)),
                ("FRA_DPORT_RANGE", _range(rule.destination_ports)),
                ("FRA_UID_RANGE", None if rule.uid is None else f"{rule.uid}:{rule.uid}"),
            ],
        },
    )


def _range(ports: Ports | None) -> str | None:
    return f"{ports.first}:{ports.last}" if ports else None


def _link(link: Link) -> LinkPlan:
    rename = (
        (f"link set {link.mac} name {link.device}", *_marked(_link_change(link.device)))
        if link.mac
        else None
    )
    many, few = bulk.split((*link.early_routes, *link.routes))
    messages = [(f"link set {link.device} up", _link_change(None))]
    messages += [(route_command(route, link.device), _route(route))
                 for route in link.early_routes if route in few]  # fmt: skip
    messages += [(address_command(address, link.device), _address(address))
                 for address in link.addresses]  # fmt: skip
    messages += [(route_command(route, link.device), _route(route))
                 for route in link.routes if route in few]  # fmt: skip
    return LinkPlan(
        name=link.name,
        device=link.device,
        mac=link.mac,
        rename=rename,
        sysctls=tuple((sysctl.key, sysctl.value) for sysctl in link.sysctls),
        messages=tuple((text, *_marked(message)) for text, message in messages),
        bulks=tuple(_bulk(routes, link.device) for routes in many),
    )


def _bulk(routes: Sequence[Route], device: str) -> tuple[str, tuple[bytes, ...], int, int]:
    """What it is, its pieces, the size of a message, and where in each the index is to be set."""
    first = _route(routes[0])
    _, offsets = _marked(first)
    text = f"{len(routes)} routes from {route_command(routes[0], device)!r} on"
    return text, tuple(bulk.pieces(first, routes)), len(first), offsets[0] if offsets else 0


def _marked(message: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The message, and where the interface's index is to be set in it.

    Netlink aligns everything to four bytes.
    """
    mark = struct.pack("=I", INDEX)
    return message, tuple(at for at in range(0, len(message), 4) if message[at : at + 4] == mark)


def _link_change(name: str | None) -> bytes:
    """A new name for a device that is down, or, without one, the device's way up."""
    up = 0 if name else IFF_UP
    fields = {"family": 0, "index": INDEX, "flags": up, "change": up}
    return _message(ifinfmsg, RTM_NEWLINK, CHANGE, {**fields, "attrs": [("IFLA_IFNAME", name)]})


def _address(address: InterfaceAddress) -> bytes:
    broadcast = None
    if address.version == Family.V4.version and address.network.prefixlen < 31:  # noqa: PLR2004  RFC 3021
        broadcast = str(address.network.broadcast_address)
    return _message(
        ifaddrmsg,
        RTM_NEWADDR,
        ADD,
        {
            "family": int(Family.of(address)),
            "prefixlen": address.network.prefixlen,
            "index": INDEX,
            "attrs": [
                ("IFA_LOCAL", str(address.ip)),
                ("IFA_ADDRESS", str(address.ip)),
                ("IFA_BROADCAST", broadcast),
            ],
        },
    )


def _route(route: Route) -> bytes:
    scope = RT_SCOPE_UNIVERSE
    if route.kind is RouteKind.LOCAL:
        scope = RT_SCOPE_HOST
    elif route.kind is RouteKind.UNICAST and route.gateway is None and route.family is Family.V4:
        scope = RT_SCOPE_LINK
    source, destination = route.source, route.destination
    return _message(
        rtmsg,
        RTM_NEWROUTE,
        ADD,
        {
            "family": int(route.family),
            "src_len": source.prefixlen if source else 0,
            "dst_len": destination.prefixlen if destination else 0,
            "proto": RTPROT_STATIC,
            "scope": scope,
            "type": RTN[route.kind],
            "flags": RTNH_F_ONLINK if route.onlink else 0,
            "attrs": [
                ("RTA_TABLE", route.table),
                ("RTA_DST", str(destination.network_address) if destination else None),
                ("RTA_SRC", str(source.network_address) if source else None),
                ("RTA_GATEWAY", str(route.gateway) if route.gateway else None),
                ("RTA_OIF", None if route.kind in WITHOUT_DEVICE else INDEX),
            ],
        },
    )
