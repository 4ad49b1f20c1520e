"""The kernel's own route look-up: RTM_GETROUTE, called inside a namespace.

In: `RouteQuery` values.  Out: `RouteReply` values.  Source: rtnetlink(7); inet_rtm_getroute
(net/ipv4/route.c) and inet6_rtm_getroute (net/ipv6/route.c) of Linux 6.12.
"""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from pbrinit.boot.network import addresses
from pbrinit.net.addresses import Family
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.netlink.socket import Kernel, attributes
from tests.support.namespaces import in_namespace

RTM_GETROUTE = 26
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
RTM_F_LOOKUP_TABLE = 0x1000
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 2, 3, 4, 5, 15
RTA_UID, RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 25, 27, 28, 29
HEADER = struct.Struct("=IHHII")
ROUTE = struct.Struct("=BBBBBBBBI")
AT_ONCE = 50
MULTICAST_6 = 0xFF
KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast"}


@dataclass(frozen=True)
class RouteQuery:
    """One look-up. Addresses are bytes; `source` may be empty and `protocol` 0."""

    family: int
    destination: bytes
    source: bytes = b""
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    uid: int = 0
    iif: str | None = None
    oif: str | None = None


@dataclass(frozen=True)
class RouteReply:
    """The kernel's answer: an error's name, or a route's type, device, table and next hop."""

    error: str | None = None
    kind: str | None = None
    device: str | None = None
    table: int | None = None
    router: bytes = b""


def enforce(plan: BootPlan, devices: tuple[str, ...]) -> dict[str, str]:
    """Make the devices and put the plan in force; the devices' link-local addresses.

    Each is a veth whose other end is up and has no address of either family.
    """
    for number, device in enumerate(devices):
        pair = f"link add {device} type veth peer name far{number}"
        subprocess.run(["ip", *pair.split()], check=True)
        Path(f"/proc/sys/net/ipv6/conf/far{number}/disable_ipv6").write_text("1")
        Path(f"/proc/sys/net/ipv6/conf/{device}/accept_dad").write_text("0")
        subprocess.run(["ip", "link", "set", f"far{number}", "up"], check=True)
    if different := in_namespace.enforce(plan):
        raise AssertionError(f"the kernel has other rules than the plan: {different}")
    with Kernel() as kernel:
        link_local = {}
        for index, text, _ in addresses.Addresses(kernel).as_list():
            address = ip_address(text.partition("/")[0])
            if isinstance(address, IPv6Address) and address.is_link_local:
                link_local[socket.if_indextoname(index)] = str(address)
    return link_local


def look_up(queries: list[RouteQuery]) -> list[RouteReply]:
    """Send all queries to the kernel; the replies in order."""
    replies: list[RouteReply] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(10)
        for start in range(0, len(queries), AT_ONCE):
            piece = queries[start : start + AT_ONCE]
            for query in piece:
                kernel.send(_message(query))
            replies += [_reply(kernel.recv(65536), query) for query in piece]
    return replies


def _attribute(kind: int, value: bytes) -> bytes:
    data = struct.pack("=HH", 4 + len(value), kind) + value
    return data + bytes(-len(data) % 4)


def _message(query: RouteQuery) -> bytes:
    bits = 8 * len(query.destination)
    body = ROUTE.pack(
        query.family, bits, bits if query.source else 0, 0, 0, 0, 0, 0, RTM_F_LOOKUP_TABLE
    )
    body += _attribute(RTA_DST, query.destination)
    if query.source:
        body += _attribute(RTA_SRC, query.source)
    if query.protocol:
        body += _attribute(RTA_IP_PROTO, bytes([query.protocol]))
    body += _attribute(RTA_SPORT, query.source_port.to_bytes(2, "big"))
    body += _attribute(RTA_DPORT, query.destination_port.to_bytes(2, "big"))
    body += _attribute(RTA_UID, struct.pack("=I", query.uid))
    for kind, device in ((RTA_IIF, query.iif), (RTA_OIF, query.oif)):
        if device is not None:
            body += _attribute(kind, struct.pack("=I", socket.if_nametoindex(device)))
    return HEADER.pack(HEADER.size + len(body), RTM_GETROUTE, NLM_F_REQUEST, 0, 0) + body


def _reply(data: bytes, query: RouteQuery) -> RouteReply:
    """Read one answer.

    For incoming IPv6 multicast the kernel finds the route and then fails to report it
    (rt6_fill_node calls ip6mr_get_route): EMSGSIZE, which no refusal returns.
    """
    _, type_, _, _, _ = HEADER.unpack_from(data)
    payload = data[HEADER.size :]
    if type_ == NLMSG_ERROR:
        code = -int.from_bytes(payload[:4], "little", signed=True)
        if code == errno.EMSGSIZE and query.iif and query.destination[0] == MULTICAST_6:
            return RouteReply(kind="multicast")
        return RouteReply(error=errno.errorcode[code])
    kind = ROUTE.unpack_from(payload)[7]
    values = dict(attributes(payload, ROUTE.size))
    index = int.from_bytes(values.get(RTA_OIF, b"\0"), "little")
    device = socket.if_indextoname(index) if index else None
    table = int.from_bytes(values.get(RTA_TABLE, b"\0"), "little")
    router = values.get(RTA_GATEWAY, b"")
    return RouteReply(kind=KINDS.get(kind, str(kind)), device=device, table=table, router=router)


def accepted_count(version: int) -> int:
    """How many packets and fragments passed the input look-up so far (RFC 4293).

    A protocol without a handler counts as unknown, after its look-up.
    """
    if version == Family.V4.version:
        names, values = (
            line.split()[1:]
            for line in Path("/proc/net/snmp").read_text().splitlines()
            if line.startswith("Ip:")
        )
        prefix = ""
    else:
        rows = [line.split() for line in Path("/proc/net/snmp6").read_text().splitlines()]
        names, values = [row[0] for row in rows], [row[1] for row in rows]
        prefix = "Ip6"
    counters = dict(zip(names, values, strict=True))
    return sum(
        int(counters[prefix + name]) for name in ("InDelivers", "InUnknownProtos", "ReasmReqds")
    )
