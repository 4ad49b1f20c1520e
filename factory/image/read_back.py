"""A second reader of the bytes of an image: pyroute2 reads every message of the boot plan.

In: a boot plan as packed, and the `Plan` that it was made of.  Out: how many messages were read,
or `ReadBackError` with each message that says something else than the plan; an image of it is not
made.

Our own encoder (pbrinit/plan/messages.py) made the bytes. What is expected of them is written here
once more, from the plan, in pyroute2's names and numbers. Messages are compared in the order in
which PID 1 sends them; routes that are sent in bulk come last, and are compared as a set.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from ipaddress import ip_address
from itertools import zip_longest
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import (
    RTM_DELLINK,
    RTM_DELRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    rt_proto,
    rt_scope,
    rt_type,
)
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES, fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_NOARP, IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT, ndmsg
from pyroute2.netlink.rtnl.rtmsg import RTNH_F_ONLINK, rtmsg

from pbrinit.net.addresses import Address, Family, InterfaceAddress, family_of
from pbrinit.plan.plan import (
    KERNEL_RULES,
    WITHOUT_DEVICE,
    Action,
    Link,
    Plan,
    Room,
    Route,
    RouteType,
    Rule,
)
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import ROOM_READY_GROUP, BootPlan, LinkPlan, RoomPlan
from pbrinit.wire.netlink.socket import with_index

INDEX = 4242
"""Stands for the index, or the descriptor, that PID 1 puts into a message."""

LOOPBACK_INDEX = 1
LAST_WITH_BROADCAST = 30
"""The longest IPv4 prefix that has a broadcast address (RFC 3021)."""

ROUTE_ATTRIBUTES_AT = 16 + 12
"""After struct nlmsghdr and struct rtmsg (linux/netlink.h, linux/rtnetlink.h)."""

SHOWN = 10
ADDRESSES = frozenset(
    {"FRA_SRC", "FRA_DST", "RTA_DST", "RTA_SRC", "RTA_GATEWAY", "RTA_PREFSRC",
     "IFA_ADDRESS", "IFA_LOCAL", "IFA_BROADCAST", "NDA_DST"}
)  # fmt: skip
"""Attributes that are addresses: they are compared as such, whatever the text of one is."""

FORMS = {
    RTM_NEWRULE: fibmsg,
    RTM_DELRULE: fibmsg,
    RTM_NEWROUTE: rtmsg,
    RTM_NEWADDR: ifaddrmsg,
    RTM_NEWLINK: ifinfmsg,
    RTM_NEWNEIGH: ndmsg,
    RTM_DELLINK: ifinfmsg,
}
CHANGE = NLM_F_REQUEST | NLM_F_ACK
ADD = CHANGE | NLM_F_CREATE | NLM_F_EXCL
ADD_IN_BULK = ADD & ~NLM_F_ACK
"""Only the last message of a piece asks for an answer."""

Message = tuple[tuple[str, Any], ...]
"""What a message says: its type, its flags, each field of its header, each attribute."""


class ReadBackError(Exception):
    """Messages that do not say what the plan says; the text has the first of them."""


def check(data: bytes, plan: Plan) -> int:
    """Read every message of a packed boot plan and compare it with the plan; how many there are.

    Raises ReadBackError, and BootFileError where the bytes are no boot plan.
    """
    boot = bootplan.unpack(data)
    rules = sorted(plan.rules, key=lambda rule: (rule.family, -rule.preference))
    differences = [
        *_differences("rule", map(read, boot.rules), [_rule(rule) for rule in rules]),
        *_differences("removal of a rule", map(read, boot.kernel_rule_removals),
                      [_rule(rule, RTM_DELRULE, CHANGE) for rule in KERNEL_RULES]),
        *_of_links(boot, plan),
        *_of_rooms(boot, plan),
    ]  # fmt: skip
    if differences:
        more = len(differences) - SHOWN
        rest = [f"and {more} more"] if more > 0 else []
        raise ReadBackError("\n".join([*differences[:SHOWN], *rest]))
    return _count(boot)


def _count(boot: BootPlan) -> int:
    bulks = (len(piece) // size for link in boot.links
             for _, pieces, size, _ in link.bulks for piece in pieces)  # fmt: skip
    links = sum(len(link.messages) + (link.rename is not None) for link in boot.links)
    rooms = sum(2 + len(program.room.messages) for program in boot.programs if program.room)
    return len(boot.rules) + len(boot.kernel_rule_removals) + links + rooms + sum(bulks)


def _differences(what: str, found: Iterable[Message], expected: Iterable[Message]) -> Iterator[str]:
    for number, (message, planned) in enumerate(zip_longest(found, expected), 1):
        if message != planned:
            yield f"{what} {number}: the message says {_text(message)}, the plan {_text(planned)}"


def _text(message: Message | None) -> str:
    if message is None:
        return "nothing"
    return " ".join(f"{name}={value}" for name, value in message)


def _of_links(boot: BootPlan, plan: Plan) -> Iterator[str]:
    if [link.device for link in boot.links] != [link.device for link in plan.links]:
        yield "the links are not those of the plan"
        return
    rooms = {program.room.device: program.room for program in plan.programs if program.room}
    for packed, link in zip(boot.links, plan.links, strict=True):
        in_bulk = Counter(_of_bulks(packed))
        routes = {_route(route): route for route in (*link.preaddress_routes, *link.routes)}
        unplanned = [message for message, count in in_bulk.items()
                     if count > 1 or message not in routes]  # fmt: skip
        for message in unplanned:
            yield f"{link.device}, in bulk: {_text(message)} is not in the plan, or there twice"
        yield from _differences(
            f"{link.device}, message",
            [read(with_index(message, offsets, INDEX)) for _, message, offsets in packed.messages],
            _link(link, in_bulk, rooms.get(link.device)),
        )
        yield from _differences(
            f"{link.device}, new name",
            [read(with_index(*packed.rename[1:], INDEX))] if packed.rename else [],
            [_link_message(CHANGE, IFLA_IFNAME=link.device)] if link.mac else [],
        )


def _of_bulks(link: LinkPlan) -> list[Message]:
    """All that is sent in bulk, as if each message asked for an answer: that is checked first.

    200,000 messages take pyroute2 half a minute of one processor, so all processors read them.
    """
    pieces = [(piece, size, at) for _, pieces, size, at in link.bulks for piece in pieces]
    if not pieces:
        return []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return [message for messages in pool.map(_of_piece, pieces) for message in messages]


def _of_piece(piece: tuple[bytes, int, int]) -> list[Message]:
    data, size, at = piece
    messages = []
    form = _attributes(data[:size])
    for start in range(0, len(data), size):
        message = with_index(data[start : start + size], (at,) if at else (), INDEX)
        last = start + size >= len(data)
        if _attributes(message) != form:
            raise ReadBackError("a message in bulk has other attributes than the first")
        said = dict(read(message, start // size, in_bulk=start > 0))
        if said["flags of the message"] == (ADD if last else ADD_IN_BULK):
            said["flags of the message"] = ADD
        messages.append(_sorted(said))
    return messages


def _attributes(message: bytes) -> list[tuple[int, int]]:
    """The length and the type of each attribute of a route's message, as they stand."""
    heads = []
    at = ROUTE_ATTRIBUTES_AT
    while at < len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        heads.append((length, kind))
        at += max((length + 3) & ~3, 4)
    return heads


def _of_rooms(boot: BootPlan, plan: Plan) -> Iterator[str]:
    if [p.name for p in boot.programs] != [p.program.name for p in plan.programs]:
        yield "the programs are not those of the plan"
        return
    for packed, program in zip(boot.programs, plan.programs, strict=True):
        if (packed.room is None) != (program.room is None):
            yield f"{program.program.name}: only one of plan and boot plan has a room for it"
        elif packed.room is not None and program.room is not None:
            yield from _of_room(packed.room, program.room)


def _of_room(packed: RoomPlan, room: Room) -> Iterator[str]:
    _, veth, offsets = packed.veth
    yield from _differences(
        f"room of {room.device}, its devices",
        [read(with_index(veth, offsets, INDEX)), read(packed.removal)],
        [_veth(room), _link_message(CHANGE, RTM_DELLINK, IFLA_IFNAME=room.device, index=0)],
    )
    yield from _differences(
        f"room of {room.device}, message",
        [read(with_index(message, offsets, INDEX)) for _, message, offsets in packed.messages],
        [
            _link_message(CHANGE, index=LOOPBACK_INDEX, flags=IFF_UP, change=IFF_UP),
            _link_message(CHANGE, flags=IFF_UP, change=IFF_UP),
            *(_address(address, tried=False) for address in room.addresses),
            *map(_route, room.routes),
            *(
                _neighbour(gateway, room)
                for gateway in dict.fromkeys(route.gateway for route in room.routes)
                if gateway
            ),
        ],
    )


def _link(link: Link, in_bulk: Counter[Message], room: Room | None) -> Iterator[Message]:
    """The messages that bring a link up, in order, without the routes that are sent in bulk."""
    yield _link_message(CHANGE, flags=IFF_UP, change=IFF_UP)
    early = [_route(route) for route in link.preaddress_routes]
    late = [_route(route) for route in link.routes]
    yield from (message for message in early if message not in in_bulk)
    yield from (_address(address) for address in link.addresses)
    yield from (message for message in late if message not in in_bulk)
    if room is not None:
        into_it = [route.destination for route in link.preaddress_routes
                   if route.type is RouteType.UNICAST]  # fmt: skip
        yield from (_neighbour(found.network_address, room) for found in into_it if found)
        yield _link_message(CHANGE, IFLA_GROUP=ROOM_READY_GROUP)


def read(data: bytes, number: int = 0, *, in_bulk: bool = False) -> Message:
    """What pyroute2 reads in a message, which is the `number`th of those sent at once.

    pyroute2 reads an attribute of a wrong length with a warning, so the bytes that it makes of what
    it has read must be the same; of those `in_bulk`, that is checked of the first alone.

    Raises ReadBackError.
    """
    kind = int.from_bytes(data[4:6], "little")
    if kind not in FORMS:
        raise ReadBackError(f"a message of type {kind}")
    message = FORMS[kind](data)
    try:
        message.decode()
        fields = _fields(message)
        if not in_bulk and _made_again(message) != data:
            raise ReadBackError("pyroute2 would write a message otherwise than it reads it")
    except Exception as error:
        raise ReadBackError(f"pyroute2 cannot read a message: {error!r}") from None
    header = fields.pop("header")
    length, place = header["length"], (header["sequence_number"], header["pid"])
    if length != len(data) or place != (number, 0):
        raise ReadBackError(f"a message has the wrong length or number: {header}")
    return _sorted({"type of the message": header["type"],
                    "flags of the message": header["flags"], **fields})  # fmt: skip


def _made_again(message: Any) -> bytes:
    again = type(message)()
    for name, value in message.items():
        again[name] = value
    again.encode()
    return bytes(again.data)


def _fields(message: Any) -> dict[str, Any]:
    """Header fields and attributes in one table; what a message has not is not there."""
    fields: dict[str, Any] = {}
    for name, value in message.items():
        if name == "attrs":
            for attribute, content in value:
                if attribute in fields:
                    raise ReadBackError(f"{attribute} is there twice")
                fields[attribute] = _value(attribute, content)
        elif name == "header":
            fields[name] = dict(value)
        elif name == "state" and isinstance(message, ifinfmsg):
            continue  # pyroute2's own word for IFF_UP
        elif name != "__align" and value:
            fields[name] = value
    return fields


def _value(attribute: str, content: Any) -> Any:
    if isinstance(content, dict):
        return _sorted(_fields(content))
    return ip_address(content) if attribute in ADDRESSES else content


def _sorted(fields: dict[str, Any]) -> Message:
    return tuple(sorted((name, value) for name, value in fields.items() if value is not None))


def _message(kind: int, flags: int, fields: dict[str, Any]) -> Message:
    """As `read` has it: header fields that are 0 are left out, attributes are not."""
    kept = {name: value for name, value in fields.items() if value or name.isupper()}
    return _sorted({"type of the message": kind, "flags of the message": flags, **kept})


def _rule(rule: Rule, kind: int = RTM_NEWRULE, flags: int = ADD) -> Message:
    source, destination = rule.source, rule.destination
    ports = (rule.source_ports, rule.destination_ports)
    from_, to = (f"{p.first}:{p.last}" if p else None for p in ports)
    return _message(
        kind,
        flags,
        {
            "family": int(rule.family),
            "src_len": source.prefixlen if source else 0,
            "dst_len": destination.prefixlen if destination else 0,
            "action": FR_ACT_NAMES[_ACTIONS[rule.action]],
            "FRA_PRIORITY": rule.preference,
            "FRA_TABLE": rule.argument if rule.action is Action.LOOKUP else None,
            "FRA_GOTO": rule.argument if rule.action is Action.GOTO else None,
            "FRA_IIFNAME": rule.iif,
            "FRA_OIFNAME": rule.oif,
            "FRA_SRC": source.network_address if source else None,
            "FRA_DST": destination.network_address if destination else None,
            "FRA_IP_PROTO": rule.protocol,
            "FRA_SPORT_RANGE": from_,
            "FRA_DPORT_RANGE": to,
            "FRA_UID_RANGE": None if rule.uid is None else f"{rule.uid}:{rule.uid}",
        },
    )


_ACTIONS = {
    Action.LOOKUP: "FR_ACT_TO_TBL",
    Action.GOTO: "FR_ACT_GOTO",
    Action.NOP: "FR_ACT_NOP",
    Action.BLACKHOLE: "FR_ACT_BLACKHOLE",
    Action.PROHIBIT: "FR_ACT_PROHIBIT",
}


def _route(route: Route) -> Message:
    source, destination = route.source, route.destination
    on_link = route.gateway is None and route.family is Family.V4
    scopes = {
        RouteType.LOCAL: "host",
        RouteType.BROADCAST: "link",
        RouteType.UNICAST: "link" if on_link else "universe",
    }
    return _message(
        RTM_NEWROUTE,
        ADD,
        {
            "family": int(route.family),
            "src_len": source.prefixlen if source else 0,
            "dst_len": destination.prefixlen if destination else 0,
            "proto": rt_proto["static"],
            "scope": rt_scope[scopes.get(route.type, "universe")],
            "type": rt_type[route.type.word],
            "flags": RTNH_F_ONLINK if route.onlink else 0,
            "RTA_TABLE": route.table,
            "RTA_DST": destination.network_address if destination else None,
            "RTA_SRC": source.network_address if source else None,
            "RTA_GATEWAY": route.gateway,
            "RTA_PREFSRC": route.preferred,
            "RTA_OIF": None if route.type in WITHOUT_DEVICE else INDEX,
        },
    )


def _address(address: InterfaceAddress, *, tried: bool = True) -> Message:
    network = address.network
    has_broadcast = (
        address.version == Family.V4.version and network.prefixlen <= LAST_WITH_BROADCAST
    )
    return _message(
        RTM_NEWADDR,
        ADD,
        {
            "family": int(family_of(address)),
            "prefixlen": network.prefixlen,
            "flags": 0 if tried else IFA_F_NODAD,
            "index": INDEX,
            "IFA_LOCAL": address.ip,
            "IFA_ADDRESS": address.ip,
            "IFA_BROADCAST": network.broadcast_address if has_broadcast else None,
        },
    )


def _neighbour(address: Address, room: Room) -> Message:
    """What both ends of a room's veth know of each other for good: they have one MAC address."""
    return _message(
        RTM_NEWNEIGH,
        ADD,
        {
            "family": int(family_of(address)),
            "ifindex": INDEX,
            "state": NUD_PERMANENT,
            "NDA_DST": address,
            "NDA_LLADDR": room.mac,
        },
    )


def _link_message(
    message_flags: int, kind: int = RTM_NEWLINK, index: int = INDEX, **fields: Any
) -> Message:
    return _message(kind, message_flags, {"index": index, **fields})


def _veth(room: Room) -> Message:
    up = {"flags": IFF_NOARP, "change": IFF_NOARP, "IFLA_ADDRESS": room.mac}
    peer = _sorted({**up, "IFLA_IFNAME": "eth0", "IFLA_NET_NS_FD": INDEX})
    data = _sorted({"VETH_INFO_PEER": peer})
    info = _sorted({"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": data})
    return _link_message(ADD, index=0, IFLA_IFNAME=room.device, IFLA_LINKINFO=info, **up)
