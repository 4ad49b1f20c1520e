"""Rules, routes, addresses and links, each as the netlink message that makes it.

In: one value of a plan.  Out: bytes.  They are made on the machine that builds the image, and on
the appliance where a policy is tried, by the same code: so it needs nothing but `struct`, and a
unit test holds every message to pyroute2's.  Source of the formats: rtnetlink(7),
linux/fib_rules.h, linux/if_addr.h, linux/if_link.h, linux/veth.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pbrinit.net.addresses import Family, InterfaceAddress, Prefix
from pbrinit.net.services import Ports
from pbrinit.plan.plan import WITHOUT_DEVICE, Action, Route, RouteKind, Rule

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
ADD = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
CHANGE = NLM_F_REQUEST | NLM_F_ACK

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 17, 20, 24
RTM_NEWRULE, RTM_DELRULE = 32, 33
IFF_UP, IFF_NOARP = 1, 0x80
RTPROT_STATIC = 4
RTNH_F_ONLINK = 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTN = {
    RouteKind.UNICAST: 1,
    RouteKind.LOCAL: 2,
    RouteKind.BROADCAST: 3,
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
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 2, 4, 5, 7, 15
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_F_NODAD = 1, 2, 4, 0x02
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_GROUP, IFLA_NET_NS_FD = 1, 3, 18, 27, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
INDEX = 0x7E57C0DE
"""Stands where the interface's index goes; no attribute of ours has this value."""

LOOPBACK = 1
"""Its index in every network namespace (loopback_net_init, drivers/net/loopback.c)."""


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


def rule(rule: Rule, type_: int, flags: int) -> bytes:
    """Adds the rule, or takes it away."""
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


def marked(message: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The message, and where the interface's index is to be set in it.

    Netlink aligns everything to four bytes.
    """
    mark = struct.pack("=I", INDEX)
    return message, tuple(at for at in range(0, len(message), 4) if message[at : at + 4] == mark)


def link_change(name: str | None, index: int = INDEX) -> bytes:
    """A new name for a device that is down, or, without one, the device's way up."""
    up = 0 if name else IFF_UP
    head = LINK.pack(0, 0, index, up, up)
    return _message(RTM_NEWLINK, CHANGE, head, [_attribute(IFLA_IFNAME, _name(name))])


def veth(device: str, peer: str, mac: str) -> bytes:
    """A pair of devices that both have the MAC address `mac` and resolve none (veth_newlink,
    drivers/net/veth.c); where the index would go, the descriptor of the namespace that `peer`
    is made in.
    """
    hardware = bytes.fromhex(mac.replace(":", ""))
    head = LINK.pack(0, 0, 0, IFF_NOARP, IFF_NOARP)
    inner = (
        head,
        _attribute(IFLA_IFNAME, _name(peer)),
        _attribute(IFLA_ADDRESS, hardware),
        _attribute(IFLA_NET_NS_FD, _number(INDEX)),
    )
    kind = _attribute(IFLA_INFO_KIND, _name("veth"))
    data = _attribute(IFLA_INFO_DATA, _attribute(VETH_INFO_PEER, b"".join(inner)))
    return _message(
        RTM_NEWLINK,
        ADD,
        head,
        [
            _attribute(IFLA_IFNAME, _name(device)),
            _attribute(IFLA_ADDRESS, hardware),
            _attribute(IFLA_LINKINFO, kind + data),
        ],
    )


def link_removal(device: str) -> bytes:
    """Takes a device away by its name."""
    head = LINK.pack(0, 0, 0, 0, 0)
    return _message(RTM_DELLINK, CHANGE, head, [_attribute(IFLA_IFNAME, _name(device))])


def link_group(group: int) -> bytes:
    """Puts a device into a group, a number that means nothing to the kernel."""
    head = LINK.pack(0, 0, INDEX, 0, 0)
    return _message(RTM_NEWLINK, CHANGE, head, [_attribute(IFLA_GROUP, _number(group))])


def address(address: InterfaceAddress, *, tried: bool = True) -> bytes:
    """Adds the address to a device; one of IPv6 is `tried`, whether somebody else has it."""
    broadcast = None
    if address.version == Family.V4.version and address.network.prefixlen < 31:  # noqa: PLR2004  RFC 3021
        broadcast = address.network.broadcast_address.packed
    return _message(
        RTM_NEWADDR,
        ADD,
        ADDRESS.pack(int(Family.of(address)), address.network.prefixlen,
                     0 if tried else IFA_F_NODAD, 0, INDEX),
        [
            _attribute(IFA_LOCAL, address.ip.packed),
            _attribute(IFA_ADDRESS, address.ip.packed),
            _attribute(IFA_BROADCAST, broadcast),
        ],
    )  # fmt: skip


def route(route: Route) -> bytes:
    """Adds the route, to a device where it is of a kind that has one."""
    scope = RT_SCOPE_UNIVERSE
    if route.kind is RouteKind.LOCAL:
        scope = RT_SCOPE_HOST
    elif route.kind is RouteKind.BROADCAST or (
        route.kind is RouteKind.UNICAST and route.gateway is None and route.family is Family.V4
    ):
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
            _attribute(RTA_PREFSRC, route.preferred.packed if route.preferred else None),
            _attribute(RTA_OIF, _number(device)),
        ],
    )
