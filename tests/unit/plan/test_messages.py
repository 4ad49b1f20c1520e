"""Every message is, byte for byte, the one that pyroute2 makes of the same words."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.net.services import Ports
from pbrinit.plan import messages
from pbrinit.plan.neighbours import Neighbour
from pbrinit.plan.plan import WITHOUT_DEVICE, Action, Route, RouteType, Rule
from pbrinit.wire.netlink import constants

EXAMPLES = ("host", "router", "kiosk", "bastion", "jump")
ACTIONS = {"lookup": 1, "goto": 2, "nop": 3, "blackhole": 6, "prohibit": 8}
TYPES = {"unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
         "prohibit": 8, "throw": 9}  # fmt: skip


def by_pyroute2(kind: type[Any], type_: int, flags: int, fields: dict[str, Any]) -> bytes:
    message = kind()
    attributes = fields.pop("attrs")
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [(name, value) for name, value in attributes if value is not None]
    message["header"]["type"], message["header"]["flags"] = type_, flags
    message.encode()
    return bytes(message.data)


def rule_by_pyroute2(rule: Rule) -> bytes:
    source, destination, uid = rule.source, rule.destination, rule.uid
    lookup = rule.argument if rule.action is Action.LOOKUP else None
    target = rule.argument if rule.action is Action.GOTO else None
    ports = (rule.source_ports, rule.destination_ports)
    from_, to = (f"{found.first}:{found.last}" if found else None for found in ports)
    fields = {
        "family": int(rule.family),
        "src_len": source.prefixlen if source else 0,
        "dst_len": destination.prefixlen if destination else 0,
        "action": ACTIONS[rule.action.value],
        "attrs": [
            ("FRA_PRIORITY", rule.preference),
            ("FRA_TABLE", lookup),
            ("FRA_GOTO", target),
            ("FRA_IIFNAME", rule.iif),
            ("FRA_OIFNAME", rule.oif),
            ("FRA_SRC", str(source.network_address) if source else None),
            ("FRA_DST", str(destination.network_address) if destination else None),
            ("FRA_IP_PROTO", rule.protocol),
            ("FRA_SPORT_RANGE", from_),
            ("FRA_DPORT_RANGE", to),
            ("FRA_UID_RANGE", None if uid is None else f"{uid}:{uid}"),
        ],
    }
    return by_pyroute2(fibmsg, constants.RTM_NEWRULE, messages.ADD, fields)


def route_by_pyroute2(route: Route) -> bytes:
    source, destination = route.source, route.destination
    bare = route.gateway is None and route.family is Family.V4
    scopes = {
        RouteType.LOCAL: 254,
        RouteType.BROADCAST: 253,
        RouteType.ANYCAST: 253,
        RouteType.MULTICAST: 253,
        RouteType.UNICAST: 253 if bare else 0,
    }
    fields = {
        "family": int(route.family),
        "src_len": source.prefixlen if source else 0,
        "dst_len": destination.prefixlen if destination else 0,
        "proto": 4,
        "scope": scopes.get(route.type, 0),
        "type": TYPES[route.type.word],
        "flags": 4 if route.onlink else 0,
        "attrs": [
            ("RTA_TABLE", route.table),
            ("RTA_DST", str(destination.network_address) if destination else None),
            ("RTA_SRC", str(source.network_address) if source else None),
            ("RTA_GATEWAY", str(route.gateway) if route.gateway else None),
            ("RTA_PREFSRC", str(route.preferred) if route.preferred else None),
            ("RTA_OIF", None if route.type in WITHOUT_DEVICE else messages.INDEX),
        ],
    }
    return by_pyroute2(rtmsg, constants.RTM_NEWROUTE, messages.ADD, fields)


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8::2", "fe80::1"])
def test_neighbours(address: str) -> None:
    found = Neighbour(ip_address(address), "02:70:62:72:00:01")
    fields = {
        "family": 10 if ":" in address else 2,
        "ifindex": messages.INDEX,
        "state": 0x80,
        "attrs": [("NDA_DST", address), ("NDA_LLADDR", found.mac)],
    }
    expected = by_pyroute2(ndmsg, constants.RTM_NEWNEIGH, messages.ADD, fields)
    assert messages.neighbour(found) == expected


def rules() -> Iterator[Rule]:
    for name in EXAMPLES:
        yield from load(Path(f"examples/{name}.toml")).rules
    for family, prefix in ((Family.V4, "203.0.113.0/24"), (Family.V6, "2001:db8:7::/48")):
        for field, value in (
            ("iif", "a"), ("oif", "abcdefghijklmno"), ("source", ip_network(prefix)),
            ("destination", ip_network(prefix)), ("protocol", 255), ("uid", 2**32 - 2),
            ("source_ports", Ports(1, 65534)), ("destination_ports", Ports(22, 22)),
        ):  # fmt: skip
            yield Rule(family, 2**32 - 1, Action.LOOKUP, 2**32 - 1, **{field: value})  # type: ignore[arg-type]


def test_rules() -> None:
    count = 0
    for rule in rules():
        assert messages.rule(rule, constants.RTM_NEWRULE, messages.ADD) == rule_by_pyroute2(rule)
        count += 1
    assert count > 1000


def test_routes() -> None:
    routes = [
        route
        for name in EXAMPLES
        for link in load(Path(f"examples/{name}.toml")).links
        for route in (*link.preaddress_routes, *link.routes)
    ]
    prefixes = {Family.V4: ip_network("10.1.0.128/25"), Family.V6: ip_network("2001:db8::/49")}
    for family, prefix in prefixes.items():
        for kind in RouteType:
            routes += [
                Route(family, 4000, kind),
                Route(family, 2**32 - 1, kind, prefix, prefix.network_address + 1),
                Route(family, 254, kind, prefix, source=prefix),
                Route(family, 254, kind, prefix, preferred=prefix.network_address + 2),
            ]
    for route in routes:
        assert messages.route(route) == route_by_pyroute2(route)


@pytest.mark.parametrize(
    "text", ["192.0.2.2/24", "192.0.2.2/31", "192.0.2.2/32", "2001:db8::2/64", "2001:db8::2/128"]
)
def test_addresses(text: str) -> None:
    address = ip_interface(text)
    brd = None
    if address.version == 4 and address.network.prefixlen < 31:
        brd = str(address.network.broadcast_address)
    fields = {
        "family": 2 if address.version == 4 else 10,
        "prefixlen": address.network.prefixlen,
        "index": messages.INDEX,
        "attrs": [
            ("IFA_LOCAL", str(ip_address(address.ip))),
            ("IFA_ADDRESS", str(ip_address(address.ip))),
            ("IFA_BROADCAST", brd),
        ],
    }
    told = by_pyroute2(ifaddrmsg, constants.RTM_NEWADDR, messages.ADD, fields)
    assert messages.address(address) == told


@pytest.mark.parametrize("name", ["wan", "abcdefghijklmno", None])
def test_links(name: str | None) -> None:
    up = 0 if name else 1
    fields = {"family": 0, "index": messages.INDEX, "flags": up, "change": up}
    named = {**fields, "attrs": [("IFLA_IFNAME", name)]}
    told = by_pyroute2(ifinfmsg, constants.RTM_NEWLINK, messages.CHANGE, named)
    assert messages.link_change(name) == told


def test_a_veth() -> None:
    mac = "02:70:62:72:00:07"
    head = {"family": 0, "index": 0, "flags": 0x80, "change": 0x80}
    inner = [
        ("IFLA_IFNAME", "eth0"),
        ("IFLA_ADDRESS", mac),
        ("IFLA_NET_NS_FD", messages.INDEX),
    ]
    data = {"attrs": [("VETH_INFO_PEER", {**head, "attrs": inner})]}
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
    outer = [("IFLA_IFNAME", "r-one"), ("IFLA_ADDRESS", mac), ("IFLA_LINKINFO", info)]
    told = by_pyroute2(ifinfmsg, constants.RTM_NEWLINK, messages.ADD, {**head, "attrs": outer})
    assert messages.veth("r-one", "eth0", mac) == told


def test_the_group_and_the_removal_of_a_link() -> None:
    bare = {"family": 0, "flags": 0, "change": 0}
    fields = {**bare, "index": messages.INDEX, "attrs": [("IFLA_GROUP", 28770)]}
    told = by_pyroute2(ifinfmsg, constants.RTM_NEWLINK, messages.CHANGE, fields)
    assert messages.link_group(28770) == told
    fields = {**bare, "index": 0, "attrs": [("IFLA_IFNAME", "r-one")]}
    told = by_pyroute2(ifinfmsg, constants.RTM_DELLINK, messages.CHANGE, fields)
    assert messages.link_removal("r-one") == told


AT_RANDOM = ("222.192.87.126", "2001:db8::dec0:577e", "dec0:577e::1")
"""Addresses with the bytes that stand for an index."""


@pytest.mark.parametrize("text", AT_RANDOM)
def test_an_address_of_any_bytes_is_no_index(text: str) -> None:
    """A DHCP server may give a router such an address."""
    address = ip_address(text)
    assert struct.pack("=I", messages.INDEX) in address.packed
    family = Family.V4 if address.version == 4 else Family.V6
    network = ip_network(text)
    route = Route(family, 254, RouteType.UNICAST, network, address, preferred=address)
    for message in (messages.route(route), messages.address(ip_interface(text))):
        _, offsets = messages.marked(message)
        (at,) = offsets
        changed = bytearray(message)
        struct.pack_into("=I", changed, at, 7)
        mark = struct.pack("=I", messages.INDEX)
        assert bytes(changed).count(mark) == message.count(mark) - 1 > 0
