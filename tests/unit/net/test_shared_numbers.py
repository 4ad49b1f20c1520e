"""What compiler and meaning share is listed, and each shared number is judged by others.

A number that both sides take from one place is wrong on both, and the proof sees nothing. So each
is held to what is not ours: the kernel's headers, Python's own modules, scapy and pyroute2.
"""

from __future__ import annotations

import ast
import pwd
import re
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import pytest
from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES
from scapy.layers.inet import icmpcodes, icmptypes
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, IPv6, icmp6types
from scapy.utils6 import in6_getnsma

from pbrinit.analysis.assumed import room_network, told
from pbrinit.net import icmp, services
from pbrinit.net import special_addresses as special
from pbrinit.net.addresses import Family, Prefix
from pbrinit.net.services import Protocol
from pbrinit.plan import encode, messages
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, TABLE_MAIN, Action, RouteType
from pbrinit.policy import room_addresses
from pbrinit.policy.programs import ROOT

PAGE = Path("docs/proof.md")
HEADERS = Path("/usr/include/linux")
COMPILER = (Path("pbrinit/compiler"),)
MEANING = tuple(Path("pbrinit", room) for room in ("semantics", "model", "analysis"))
SHARED_ROOMS = ("pbrinit.net", "pbrinit.policy", "pbrinit.plan", "pbrinit.wire")
MODULES = ("icmp", "room_addresses", "room_ids", "rooms")


def imported(folders: Iterable[Path]) -> set[str]:
    """What the modules of some folders take from those below them; of a module, what they use."""
    found: set[str] = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(SHARED_ROOMS):
                found |= {alias.name for alias in node.names if alias.name not in MODULES}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found |= {node.attr} if node.value.id in ("icmp", "room_addresses") else set()
    return found


def shared() -> set[str]:
    return imported(COMPILER) & imported(MEANING)


def kernel(header: str) -> dict[str, int]:
    """The numbers that a header of the kernel defines."""
    path = HEADERS / header
    if not path.exists():
        pytest.fail("no headers of the kernel here: apt-get install linux-libc-dev")
    found = re.findall(r"^#define\s+(\w+)\s+(\d+|0x[0-9a-f]+)\b", path.read_text(), re.MULTILINE)
    return {name: int(number, 0) for name, number in found}


def tables() -> dict[str, int]:
    """The tables that the kernel has names for."""
    path = HEADERS / "rtnetlink.h"
    if not path.exists():
        pytest.fail("no headers of the kernel here: apt-get install linux-libc-dev")
    found = re.findall(r"^\s*(RT_TABLE_\w+)=(\d+)", path.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in found}


def edges(prefix: Prefix) -> tuple[list[bool], list[bool]]:
    """What ipaddress thinks of the first and the last address inside, and of those beside."""
    first, last = int(prefix.network_address), int(prefix.broadcast_address)
    family = Family.V4 if prefix.version == 4 else Family.V6
    beside = (n for n in (first - 1, last + 1) if 0 <= n < 1 << family.bits)
    kinds = ("is_loopback", "is_multicast", "is_link_local", "is_unspecified")
    (kind,) = (k for k in kinds if getattr(family.address(first), k))
    return ([getattr(family.address(n), kind) for n in (first, last)],
            [getattr(family.address(n), kind) for n in beside])  # fmt: skip


def is_what_python_says(prefix: Prefix) -> bool:
    inside, beside = edges(prefix)
    return all(inside) and not any(beside)


def solicited(prefix: Prefix) -> bool:
    """scapy's own solicited-node addresses are in the prefix, with all of what is left of it."""
    ends = ("2001:db8::", "2001:db8::ffff:ffff")
    first, last = (
        socket.inet_ntop(socket.AF_INET6, in6_getnsma(socket.inet_pton(socket.AF_INET6, end)))
        for end in ends
    )
    return (ip_address(first), ip_address(last)) == (prefix[0], prefix[-1])


def goes_to(message: type[object], prefix: Prefix) -> bool:
    """Where scapy sends such a message."""
    return IPv6Network(getattr(message, "_overload_fields")[IPv6]["dst"]) == prefix  # noqa: B009


def service(name: str) -> int:
    """The UDP port that IANA gives a service, as the system's list has it."""
    try:
        return socket.getservbyname(name, "udp")
    except OSError:
        pytest.fail("no list of services here: apt-get install netbase")


def is_icmp(message: dict[Family, icmp.IcmpType], four: str, six: str) -> bool:
    """Whether scapy calls a message so; of an error the IPv4 word is that of its code."""
    kind, code = message[Family.V4]
    word = icmpcodes[kind].get(code) if kind == 3 else icmptypes[kind]
    return (word, icmp6types[message[Family.V6].type]) == (four, six)


JUDGED: dict[str, Callable[[], bool]] = {
    "Protocol": lambda: [int(Protocol[name]) for name in ("ICMP", "TCP", "UDP", "ICMPV6")] == [
        socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMPV6],
    "PROTOCOL": lambda: icmp.PROTOCOL == {
        Family.V4: socket.IPPROTO_ICMP, Family.V6: socket.IPPROTO_ICMPV6},
    "Family": lambda: (Family.V4.bits, Family.V6.bits) == tuple(
        8 * len(socket.inet_pton(int(f), text))
        for f, text in ((Family.V4, "0.0.0.0"), (Family.V6, "::"))),
    "RouteType": lambda: all(rtnl.rt_type[t.word] == int(t) for t in RouteType),
    "Action": lambda: {action: FR_ACT_NAMES[f"FR_ACT_{name}"] for action, name in (
        (Action.LOOKUP, "TO_TBL"), (Action.GOTO, "GOTO"), (Action.NOP, "NOP"),
        (Action.BLACKHOLE, "BLACKHOLE"), (Action.PROHIBIT, "PROHIBIT"))} == messages.FR_ACT,
    "TABLE_MAIN": lambda: tables()["RT_TABLE_MAIN"] == TABLE_MAIN,
    "TABLE_LOCAL": lambda: tables()["RT_TABLE_LOCAL"] == TABLE_LOCAL,
    "LOOPBACK": lambda: socket.if_indextoname(1) == LOOPBACK,
    "ROOT": lambda: pwd.getpwnam("root").pw_uid == ROOT,
    "DHCP_CLIENT": lambda: services.Ports(*[service("bootpc")] * 2) == services.DHCP_CLIENT,
    "DHCP_SERVER": lambda: services.Ports(*[service("bootps")] * 2) == services.DHCP_SERVER,
    "ECHO_REQUEST": lambda: is_icmp(icmp.ECHO_REQUEST, "echo-request", "Echo Request"),
    "ECHO_REPLY": lambda: is_icmp(icmp.ECHO_REPLY, "echo-reply", "Echo Reply"),
    "PROHIBITED": lambda: is_icmp(
        icmp.PROHIBITED, "communication-prohibited", "Destination unreachable"),
    "TOO_BIG": lambda: is_icmp(icmp.TOO_BIG, "fragmentation-needed", "Packet too big"),
    "ROUTER_SOLICITATION": lambda: icmp6types[icmp.ROUTER_SOLICITATION.type]
        == "Router Solicitation" and icmp.ROUTER_SOLICITATION.code == 0,
    "ANY_PORT": lambda: [(p.first, p.last) for p in icmp.ANY_PORT] == [(0, (1 << 16) - 1)],
    "NO_PORT": lambda: [(p.first, p.last) for p in icmp.NO_PORT] == [(0, 0), (65535, 65535)],
    "ALL_NODES": lambda: goes_to(ICMPv6ND_RA, special.ALL_NODES),
    "ALL_ROUTERS": lambda: goes_to(ICMPv6ND_RS, special.ALL_ROUTERS),
    "SOLICITED_NODE": lambda: solicited(special.SOLICITED_NODE),
    "LINK_LOCAL": lambda: is_what_python_says(special.LINK_LOCAL),
    "LOOPBACK_PREFIX": lambda: all(map(is_what_python_says, special.LOOPBACK_PREFIX.values())),
    "UNSPECIFIED_6": lambda: is_what_python_says(special.UNSPECIFIED_6),
    "reserved_prefixes": lambda: {
        family: (prefix.network_address, prefix.prefixlen)
        for family, prefix in room_addresses.ROOM_PREFIX.items()
    } == {f: (room_network.INSIDE[f], room_network.INSIDE_LENGTH[f]) for f in Family},
}  # fmt: skip
FORMS = {
    "Address", "AddressGroup", "AddressSet", "Allow", "Deny", "Direction", "Interface",
    "InterfaceAddress", "Link", "Plan", "PlannedProgram", "Policy", "Ports", "Prefix", "Program",
    "Room", "Route", "Rule", "Service", "Sysctl", "family_of", "host", "room_address",
}  # fmt: skip
"""What has no number: values that are passed on, and arithmetic of prefixes."""


def test_everything_that_is_shared_is_a_form_or_is_judged() -> None:
    assert shared() == FORMS | JUDGED.keys()


def test_everything_that_is_shared_is_listed_in_the_page() -> None:
    section = PAGE.read_text().partition("## What both sides share")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", section))
    assert shared() <= listed


@pytest.mark.parametrize("name", JUDGED)
def test_a_shared_number_is_what_others_say(name: str) -> None:
    assert JUDGED[name]()


def test_icmp_s_numbers_are_those_of_the_kernel_s_headers() -> None:
    four, six = kernel("icmp.h"), kernel("icmpv6.h")
    assert {
        Family.V4: (four["ICMP_ECHO"], 0),
        Family.V6: (six["ICMPV6_ECHO_REQUEST"], 0),
    } == icmp.ECHO_REQUEST
    assert {
        Family.V4: (four["ICMP_ECHOREPLY"], 0),
        Family.V6: (six["ICMPV6_ECHO_REPLY"], 0),
    } == icmp.ECHO_REPLY
    unreachable = four["ICMP_DEST_UNREACH"]
    assert {
        Family.V4: (unreachable, four["ICMP_PKT_FILTERED"]),
        Family.V6: (six["ICMPV6_DEST_UNREACH"], six["ICMPV6_ADM_PROHIBITED"]),
    } == icmp.PROHIBITED
    assert {
        Family.V4: (unreachable, four["ICMP_FRAG_NEEDED"]),
        Family.V6: (six["ICMPV6_PKT_TOOBIG"], 0),
    } == icmp.TOO_BIG
    assert {
        Family.V4: (four["ICMP_TIME_EXCEEDED"], four["ICMP_EXC_TTL"]),
        Family.V6: (six["ICMPV6_TIME_EXCEED"], six["ICMPV6_EXC_HOPLIMIT"]),
    } == icmp.TIME_EXCEEDED
    assert {
        Family.V4: (unreachable, four["ICMP_NET_UNREACH"]),
        Family.V6: (six["ICMPV6_DEST_UNREACH"], six["ICMPV6_NOROUTE"]),
    } == icmp.NO_ROUTE
    assert six["ICMPV6_INFOMSG_MASK"] == icmp.FIRST_QUERY_6


def test_capabilities_have_the_numbers_of_the_kernel_s_header() -> None:
    numbers = kernel("capability.h")
    for ours in (told.CAPABILITIES, encode.CAPABILITIES):
        assert ours == {name: numbers[f"CAP_{name.upper()}"] for name in ours}


def test_the_inside_addresses_of_rooms_are_nobody_s_on_the_internet() -> None:
    """Link-local (RFC 3927) and unique local (RFC 4193)."""
    four, six = room_addresses.ROOM_PREFIX.values()
    assert isinstance(four, IPv4Network)
    assert four.is_link_local
    assert six.subnet_of(IPv6Network("fc00::/7"))  # type: ignore[arg-type]
