"""A plan as the netlink messages that put it in force.

In: a `Plan`.  Out: a `BootPlan` of ready messages.  It is made on the machine that builds the
image, and on the appliance where a policy is tried, by the same code: so it needs nothing but
`struct`, and a unit test holds every message to pyroute2's.  Source of the formats:
rtnetlink(7), linux/fib_rules.h, linux/if_addr.h, linux/if_link.h.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from pbrinit import bootfile, bulk
from pbrinit.addresses import Family, InterfaceAddress, Prefix
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
HEADER, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
RULE = ROUTE = struct.Struct("=BBBBBBBBI")
LINK, ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_PRIORITY = 1, 2, 3, 4, 6
FRA_TABLE, FRA_OIFNAME, FRA_UID_RANGE, FRA_IP_PROTO = 15, 17, 20, 22
FRA_SPORT_RANGE, FRA_DPORT_RANGE = 23, 24
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 2, 4, 5, 15
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
IFLA_IFNAME = 3
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


def _message(type_: int, flags: int, head: bytes, attributes: Sequence[bytes]) -> bytes:
    body = head + b"".join(attributes)
    return HEADER.pack(HEADER.size + len(body), type_, flags, 0, 0) + body


def _attribute(kind: int, value: bytes | None) -> bytes:
    """One attribute, aligned to four bytes (NLA_ALIGN); nothing where there is no value."""
    if value is None:
        return b""
    size = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def _number(value: int | None) -> bytes | None:
    return None if value is None else struct.pack("=I", value)


def _name(value: str | None) -> bytes | None:
    return None if value is None else value.encode() + b"\0"


def _prefix(value: Prefix | None) -> bytes | None:
    return None if value is None else value.network_address.packed


def _length(value: Prefix | None) -> int:
    return value.prefixlen if value else 0


def _rule(rule: Rule, type_: int, flags: int) -> bytes:
    lookup = rule.argument if rule.action is Action.LOOKUP else None
    target = rule.argument if rule.action is Action.GOTO else None
    lengths = _length(rule.destination), _length(rule.source)
    return _message(
        type_,
        flags,
        RULE.pack(int(rule.family), *lengths, 0, 0, 0, 0, FR_ACT[rule.action], 0),
        [
            _attribute(FRA_PRIORITY, _number(rule.preference)),
            _attribute(FRA_TABLE, _number(lookup)),
            _attribute(FRA_GOTO, _number(target)),
            _attribute(FRA_IIFNAME, _name(rule.iif)),
            _attribute(FRA_OIFNAME, _name(rule.oif)),
            _attribute(FRA_SRC, _prefix(rule.source)),
            _attribute(FRA_DST, _prefix(rule.destination)),
            _attribute(FRA_IP_PROTO, None if rule.protocol is None else bytes([rule.protocol])),
            _attribute(FRA_SPORT_RANGE, _range(rule.source_ports)),
            _attribute(FRA_DPORT_RANGE, _range(rule.destination_ports)),
            _attribute(FRA_UID_RANGE,
                       None if rule.uid is None else struct.pack("=II", rule.uid, rule.uid)),
        ],
    )  # fmt: skip


def _range(ports: Ports | None) -> bytes | None:
    return struct.pack("=HH", ports.first, ports.last) if ports else None


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
    head = LINK.pack(0, 0, INDEX, up, up)
    return _message(RTM_NEWLINK, CHANGE, head, [_attribute(IFLA_IFNAME, _name(name))])


def _address(address: InterfaceAddress) -> bytes:
    broadcast = None
    if address.version == Family.V4.version and address.network.prefixlen < 31:  # noqa: PLR2004  RFC 3021
        broadcast = address.network.broadcast_address.packed
    return _message(
        RTM_NEWADDR,
        ADD,
        ADDRESS.pack(int(Family.of(address)), address.network.prefixlen, 0, 0, INDEX),
        [
            _attribute(IFA_LOCAL, address.ip.packed),
            _attribute(IFA_ADDRESS, address.ip.packed),
            _attribute(IFA_BROADCAST, broadcast),
        ],
    )


def _route(route: Route) -> bytes:
    scope = RT_SCOPE_UNIVERSE
    if route.kind is RouteKind.LOCAL:
        scope = RT_SCOPE_HOST
    elif route.kind is RouteKind.UNICAST and route.gateway is None and route.family is Family.V4:
        scope = RT_SCOPE_LINK
    lengths = _length(route.destination), _length(route.source)
    flags = RTNH_F_ONLINK if route.onlink else 0
    device = None if route.kind in WITHOUT_DEVICE else INDEX
    return _message(
        RTM_NEWROUTE,
        ADD,
        ROUTE.pack(int(route.family), *lengths, 0, 0, RTPROT_STATIC, scope, RTN[route.kind], flags),
        [
            _attribute(RTA_TABLE, _number(route.table)),
            _attribute(RTA_DST, _prefix(route.destination)),
            _attribute(RTA_SRC, _prefix(route.source)),
            _attribute(RTA_GATEWAY, route.gateway.packed if route.gateway else None),
            _attribute(RTA_OIF, _number(device)),
        ],
    )
