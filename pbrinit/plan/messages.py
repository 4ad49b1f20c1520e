"""Rules, routes, addresses, neighbours and links, each as the netlink message that makes it.

In: one value of a plan.  Out: bytes.  The same code runs on the machine that builds the image and
on the appliance, where a policy is tried. So it needs only `struct`, and a unit test compares every
message with that of pyroute2.  Formats: rtnetlink(7), linux/fib_rules.h, linux/if_addr.h,
linux/if_link.h, linux/neighbour.h, linux/veth.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from pbrinit.net.addresses import Family, InterfaceAddress, Prefix, family_of
from pbrinit.net.services import Ports
from pbrinit.plan.neighbours import Neighbour
from pbrinit.plan.plan import WITHOUT_DEVICE, Action, Route, RouteType, Rule
from pbrinit.wire.netlink import constants as nl

ADD = nl.NLM_F_REQUEST | nl.NLM_F_ACK | nl.NLM_F_EXCL | nl.NLM_F_CREATE
CHANGE = nl.NLM_F_REQUEST | nl.NLM_F_ACK

FR_ACT = {
    Action.LOOKUP: nl.FR_ACT_TO_TBL,
    Action.GOTO: nl.FR_ACT_GOTO,
    Action.NOP: nl.FR_ACT_NOP,
    Action.BLACKHOLE: nl.FR_ACT_BLACKHOLE,
    Action.PROHIBIT: nl.FR_ACT_PROHIBIT,
}
HEADER, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
RULE = ROUTE = struct.Struct("=BBBBBBBBI")
LINK, ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
NEIGHBOUR = struct.Struct("=B3xIHBB")
INDEX = 0x7E57C0DE
"""Stands in the place of the interface's index."""


def _message(type_: int, flags: int, head: bytes, attributes: Sequence[bytes]) -> bytes:
    body = head + b"".join(attributes)
    return HEADER.pack(HEADER.size + len(body), type_, flags, 0, 0) + body


def _attribute(type_: int, value: bytes | None) -> bytes:
    """One attribute, aligned to four bytes (NLA_ALIGN); no bytes where there is no value."""
    if value is None:
        return b""
    size = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(size, type_) + value + bytes(-size % 4)


def _number(value: int | None) -> bytes | None:
    return None if value is None else struct.pack("=I", value)


def _name(value: str | None) -> bytes | None:
    return None if value is None else value.encode() + b"\0"


def _prefix(value: Prefix | None) -> bytes | None:
    return None if value is None else value.network_address.packed


def _length(value: Prefix | None) -> int:
    return value.prefixlen if value else 0


def rule(rule: Rule, type_: int, flags: int) -> bytes:
    """Adds a rule, or removes it."""
    lookup = rule.argument if rule.action is Action.LOOKUP else None
    target = rule.argument if rule.action is Action.GOTO else None
    lengths = _length(rule.destination), _length(rule.source)
    return _message(
        type_,
        flags,
        RULE.pack(int(rule.family), *lengths, 0, 0, 0, 0, FR_ACT[rule.action], 0),
        [
            _attribute(nl.FRA_PRIORITY, _number(rule.preference)),
            _attribute(nl.FRA_TABLE, _number(lookup)),
            _attribute(nl.FRA_GOTO, _number(target)),
            _attribute(nl.FRA_IIFNAME, _name(rule.iif)),
            _attribute(nl.FRA_OIFNAME, _name(rule.oif)),
            _attribute(nl.FRA_SRC, _prefix(rule.source)),
            _attribute(nl.FRA_DST, _prefix(rule.destination)),
            _attribute(nl.FRA_IP_PROTO, None if rule.protocol is None else bytes([rule.protocol])),
            _attribute(nl.FRA_SPORT_RANGE, _range(rule.source_ports)),
            _attribute(nl.FRA_DPORT_RANGE, _range(rule.destination_ports)),
            _attribute(nl.FRA_UID_RANGE,
                       None if rule.uid is None else struct.pack("=II", rule.uid, rule.uid)),
        ],
    )  # fmt: skip


def _range(ports: Ports | None) -> bytes | None:
    return struct.pack("=HH", ports.first, ports.last) if ports else None


def marked(message: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The message, and the offsets at which the interface's index has to be set.

    Of a route that is its outgoing device, of an address a field of its head: nothing else of them
    is looked at, since an address may be any bytes. Netlink aligns everything to four bytes.
    """
    _, type_, *_ = HEADER.unpack_from(message)
    mark = struct.pack("=I", INDEX)
    places: Sequence[int] = range(0, len(message), 4)
    if type_ == nl.RTM_NEWADDR:
        places = [HEADER.size + ADDRESS.size - len(mark)]
    elif type_ == nl.RTM_NEWROUTE:
        places = [
            at for kind, at in _values(message, HEADER.size + ROUTE.size) if kind == nl.RTA_OIF
        ]
    return message, tuple(at for at in places if message[at : at + 4] == mark)


def _values(message: bytes, at: int) -> Iterator[tuple[int, int]]:
    """The type of each attribute from an offset on, and the offset of its value."""
    while at < len(message):
        length, kind = ATTRIBUTE.unpack_from(message, at)
        yield kind, at + ATTRIBUTE.size
        at += length + -length % 4


def link_change(name: str | None, index: int = INDEX) -> bytes:
    """Renames a device that is down, or, without a name, sets a device up."""
    up = 0 if name else nl.IFF_UP
    head = LINK.pack(0, 0, index, up, up)
    return _message(nl.RTM_NEWLINK, CHANGE, head, [_attribute(nl.IFLA_IFNAME, _name(name))])


def veth(device: str, peer: str, mac: str) -> bytes:
    """Makes a pair of devices that both have the MAC address `mac` and no address resolution
    (veth_newlink, drivers/net/veth.c). In the place of the index it has the descriptor of the
    namespace that `peer` is made in.
    """
    hardware = bytes.fromhex(mac.replace(":", ""))
    head = LINK.pack(0, 0, 0, nl.IFF_NOARP, nl.IFF_NOARP)
    inner = (
        head,
        _attribute(nl.IFLA_IFNAME, _name(peer)),
        _attribute(nl.IFLA_ADDRESS, hardware),
        _attribute(nl.IFLA_NET_NS_FD, _number(INDEX)),
    )
    kind = _attribute(nl.IFLA_INFO_KIND, _name("veth"))
    data = _attribute(nl.IFLA_INFO_DATA, _attribute(nl.VETH_INFO_PEER, b"".join(inner)))
    return _message(
        nl.RTM_NEWLINK,
        ADD,
        head,
        [
            _attribute(nl.IFLA_IFNAME, _name(device)),
            _attribute(nl.IFLA_ADDRESS, hardware),
            _attribute(nl.IFLA_LINKINFO, kind + data),
        ],
    )


def link_removal(device: str) -> bytes:
    """Removes a device by its name."""
    head = LINK.pack(0, 0, 0, 0, 0)
    return _message(nl.RTM_DELLINK, CHANGE, head, [_attribute(nl.IFLA_IFNAME, _name(device))])


def link_group(group: int) -> bytes:
    """Puts a device into a group: a number without a meaning for the kernel."""
    head = LINK.pack(0, 0, INDEX, 0, 0)
    return _message(nl.RTM_NEWLINK, CHANGE, head, [_attribute(nl.IFLA_GROUP, _number(group))])


def address(address: InterfaceAddress, *, dad: bool = True) -> bytes:
    """Adds the address to a device; `dad`: duplicate address detection in IPv6."""
    broadcast = None
    if address.version == Family.V4.version and address.network.prefixlen < 31:  # noqa: PLR2004  RFC 3021
        broadcast = address.network.broadcast_address.packed
    return _message(
        nl.RTM_NEWADDR,
        ADD,
        ADDRESS.pack(int(family_of(address)), address.network.prefixlen,
                     0 if dad else nl.IFA_F_NODAD, 0, INDEX),
        [
            _attribute(nl.IFA_LOCAL, address.ip.packed),
            _attribute(nl.IFA_ADDRESS, address.ip.packed),
            _attribute(nl.IFA_BROADCAST, broadcast),
        ],
    )  # fmt: skip


def neighbour(neighbour: Neighbour) -> bytes:
    """Adds a neighbour of a device for good (neigh_add, net/core/neighbour.c)."""
    family = int(family_of(neighbour.address))
    return _message(
        nl.RTM_NEWNEIGH,
        ADD,
        NEIGHBOUR.pack(family, INDEX, nl.NUD_PERMANENT, 0, 0),
        [
            _attribute(nl.NDA_DST, neighbour.address.packed),
            _attribute(nl.NDA_LLADDR, bytes.fromhex(neighbour.mac.replace(":", ""))),
        ],
    )


def route(route: Route) -> bytes:
    """Adds the route, with a device where its type has one."""
    scope = nl.RT_SCOPE_UNIVERSE
    if route.type is RouteType.LOCAL:
        scope = nl.RT_SCOPE_HOST
    elif route.type in (RouteType.BROADCAST, RouteType.ANYCAST, RouteType.MULTICAST) or (
        route.type is RouteType.UNICAST and route.gateway is None and route.family is Family.V4
    ):
        scope = nl.RT_SCOPE_LINK
    lengths = _length(route.destination), _length(route.source)
    flags = nl.RTNH_F_ONLINK if route.onlink else 0
    device = None if route.type in WITHOUT_DEVICE else INDEX
    return _message(
        nl.RTM_NEWROUTE,
        ADD,
        ROUTE.pack(int(route.family), *lengths, 0, 0, nl.RTPROT_STATIC, scope, route.type, flags),
        [
            _attribute(nl.RTA_TABLE, _number(route.table)),
            _attribute(nl.RTA_DST, _prefix(route.destination)),
            _attribute(nl.RTA_SRC, _prefix(route.source)),
            _attribute(nl.RTA_GATEWAY, route.gateway.packed if route.gateway else None),
            _attribute(nl.RTA_PREFSRC, route.preferred.packed if route.preferred else None),
            _attribute(nl.RTA_OIF, _number(device)),
        ],
    )
