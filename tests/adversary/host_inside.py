"""What hostile programs inside examples/host.toml try, and what must leave by it: nothing.

In: nothing.  Out: `ACTS`. An act is socket calls of one user, see `attempt` of the agent.  What
leaves all the same is marked in its line, and is in docs/ways-out.md.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from tests.adversary.acts import (
    BINDTODEVICE,
    BINDTOIFINDEX,
    BROADCAST,
    DEVICE,
    DGRAM,
    DONTROUTE,
    FAMILY,
    FOUR_FAMILY,
    FREEBIND,
    HERE,
    INDEX,
    MARK,
    MSG_DONTROUTE,
    MSG_FASTOPEN,
    MULTICAST_IF,
    NOBODY,
    NOT_ALLOWED,
    PKTINFO,
    PRIORITY,
    RAW,
    ROOT,
    SIX_FAMILY,
    SOL,
    STREAM,
    TRANSPARENT,
    UNICAST_IF,
    UPDATER,
    Act,
    Step,
)
from tests.boot.conftest import NEIGHBOUR, RESOLVER, SELF, STRANGER


def _option(where: tuple[int, int], value: object) -> Step:
    return ("setsockopt", *where, value)


def _tries(version: int) -> Iterator[tuple[str, list[Step], int]]:
    """Ways to prepare a socket, and flags to send with."""
    index = struct.pack("!I", INDEX)
    foreign = {4: "203.0.113.99", 6: "2001:db8:7::99"}[version]
    yield "a plain socket", [], 0
    yield "SO_BINDTODEVICE", [_option((SOL, BINDTODEVICE), DEVICE)], 0
    yield "SO_BINDTOIFINDEX", [_option((SOL, BINDTOIFINDEX), INDEX)], 0
    yield "IP_UNICAST_IF", [_option(UNICAST_IF[version], index)], 0
    yield "SO_DONTROUTE", [_option((SOL, DONTROUTE), 1)], 0
    yield "MSG_DONTROUTE", [], MSG_DONTROUTE
    yield "SO_PRIORITY", [_option((SOL, PRIORITY), 6)], 0
    yield "SO_MARK", [_option((SOL, MARK), 1)], 0
    yield "our own address", [("bind", (SELF[version], 0))], 0
    yield (
        "our own address and SO_BINDTODEVICE",
        [
            ("bind", (SELF[version], 0)),
            _option((SOL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
    yield "a service's port", [("bind", ("", 1022))], 0
    yield "a foreign address", [("bind", (foreign, 0))], 0
    yield "IP_FREEBIND", [_option(FREEBIND[version], 1), ("bind", (foreign, 0))], 0
    yield (
        "IP_FREEBIND and SO_BINDTODEVICE",
        [
            _option(FREEBIND[version], 1),
            ("bind", (foreign, 0)),
            _option((SOL, BINDTODEVICE), DEVICE),
        ],
        0,
    )
    yield "IP_TRANSPARENT", [_option(TRANSPARENT[version], 1), ("bind", (foreign, 0))], 0
    yield (
        "IP_TRANSPARENT and SO_BINDTODEVICE",
        [
            _option(TRANSPARENT[version], 1),
            ("bind", (foreign, 0)),
            _option((SOL, BINDTODEVICE), DEVICE),
        ],
        0,
    )


def sockets() -> Iterator[Act]:
    """UDP and TCP to where nobody may send, by every way to prepare a socket."""
    for version in (4, 6):
        for uid in HERE:
            for who, place in (("the neighbour", NEIGHBOUR), ("a stranger", STRANGER)):
                target = (place[version], NOT_ALLOWED)
                for how, before, flags in _tries(version):
                    udp = (
                        ("socket", FAMILY[version], DGRAM),
                        *before,
                        ("sendto", b"out", flags, target),
                    )
                    yield Act("socket", f"IPv{version} udp to {who} with {how}", uid, udp)
                    tcp = (("socket", FAMILY[version], STREAM), *before, ("connect", target))
                    yield Act("socket", f"IPv{version} tcp to {who} with {how}", uid, tcp)
                fast = (
                    ("socket", FAMILY[version], STREAM),
                    ("sendto", b"out", MSG_FASTOPEN, target),
                )
                yield Act("socket", f"IPv{version} TCP fast open to {who}", uid, fast)
                yield Act(
                    "socket",
                    f"IPv{version} udp to {who} with IP_PKTINFO",
                    uid,
                    (("socket", FAMILY[version], DGRAM), _by_device(version, target)),
                )


def _by_device(version: int, target: tuple[str, int]) -> Step:
    info = struct.pack("=I8x", INDEX) if version == 4 else struct.pack("=16xI", INDEX)
    return ("sendmsg", [b"out"], [(*PKTINFO[version], info)], 0, target)


def others_ways() -> Iterator[Act]:
    """The ways of the updater, by those who are not, and near misses by the updater."""
    for version in (4, 6):
        far, names = (STRANGER[version], 443), (RESOLVER[version], 53)
        family = FAMILY[version]
        for uid in (NOBODY, ROOT):
            for how, before, _ in _tries(version):
                connect = (("socket", family, STREAM), *before, ("connect", far))
                yield Act("other's way", f"IPv{version} https with {how}", uid, connect)
                ask = (("socket", family, DGRAM), *before, ("sendto", b"out", 0, names))
                yield Act("other's way", f"IPv{version} dns with {how}", uid, ask)
        for port in (1024, 5353, 32767, 61000):
            ask = (("socket", family, DGRAM), ("bind", ("", port)), ("sendto", b"?", 0, names))
            yield Act(
                "near miss", f"IPv{version} dns from port {port}", UPDATER, ask, "EACCES at sendto"
            )
        for what, kind, place in (
            ("http", STREAM, (STRANGER[version], 80)),
            ("https by udp", DGRAM, far),
            ("dns of a stranger", DGRAM, (STRANGER[version], 53)),
        ):
            yield Act(
                "near miss",
                f"IPv{version} {what}",
                UPDATER,
                (("socket", family, kind), ("connect", place)),
                "EACCES at connect",
            )
        tcp = f"tcp {SELF[version]}:45000 > {STRANGER[version]}:443"
        yield Act(
            "allowed",
            f"IPv{version} https",
            UPDATER,
            (("socket", family, STREAM), ("bind", ("", 45000)), ("connect", far)),
            "begun",
            tcp,
        )
        udp = f"udp {SELF[version]}:45001 > {RESOLVER[version]}:53"
        yield Act(
            "allowed",
            f"IPv{version} dns",
            UPDATER,
            (("socket", family, DGRAM), ("bind", ("", 45001)), ("sendto", b"?", 0, names)),
            "done",
            udp,
        )


IGMP = 2
IGMP_FROM = {
    "SO_BINDTODEVICE": SELF[4],
    "SO_BINDTOIFINDEX": SELF[4],
    "IP_UNICAST_IF": SELF[4],
    "our own address and SO_BINDTODEVICE": SELF[4],
    "IP_TRANSPARENT and SO_BINDTODEVICE": "203.0.113.99",
}
"""The ways by which root sends IGMP to anybody without a look-up, and from whom it then is
(ip_route_output_key_hash_rcu, net/ipv4/route.c): docs/ways-out.md.
"""


def raw() -> Iterator[Act]:
    """Raw sockets: of users none, of root what is refused; and the ping sockets."""
    for version in (4, 6):
        family = FAMILY[version]
        for number in (1, 2, 6, 17, 41, 47, 50, 58, 89, 132, 136, 254, 255):
            yield Act(
                "raw socket",
                f"IPv{version} of protocol {number}",
                NOBODY,
                (("socket", family, RAW, number),),
                "EPERM at socket",
            )
            for how, before, _ in _tries(version):
                if how.startswith("a service's"):
                    continue
                # Who is far away is asked for by ARP, again and again, where the packet leaves.
                for place in (NEIGHBOUR,) if number == IGMP else (NEIGHBOUR, STRANGER):
                    data = bytes([8 if version == 4 else 128]) + bytes(31)
                    send = ("sendto", data, 0, (place[version], 0))
                    leaves = IGMP_FROM.get(how, "") if (number, version) == (IGMP, 4) else ""
                    left = f"protocol 2 {leaves} > {place[version]}" if leaves else ""
                    what = f"IPv{version} protocol {number} to {place[version]} with {how}"
                    steps = (("socket", family, RAW, number), *before, send)
                    yield Act("raw socket", what, ROOT, steps, leaves=left)
        for uid in HERE:
            number = 1 if version == 4 else 58
            yield Act(
                "raw socket",
                f"IPv{version} ping socket",
                uid,
                (("socket", family, DGRAM, number),),
                "EACCES at socket",
            )
    for source in (SELF[4], "203.0.113.99", "127.0.0.1", "0.0.0.0"):
        for how, before, _ in _tries(4):
            if how.startswith("a service's"):
                continue
            for place in (NEIGHBOUR, STRANGER):
                packet = bytes(IP(src=source, dst=place[4]) / UDP(sport=53, dport=123) / b"out")
                yield Act(
                    "own header",
                    f"from {source} to {place[4]} with {how}",
                    ROOT,
                    (
                        ("socket", FOUR_FAMILY, RAW, 255),
                        *before,
                        ("sendto", packet, 0, (place[4], 0)),
                    ),
                )
    for source in (SELF[6], "2001:db8:7::99", "::1"):
        packet = bytes(IPv6(src=source, dst=NEIGHBOUR[6]) / UDP(sport=53, dport=123) / b"out")
        yield Act(
            "own header",
            f"from {source} to {NEIGHBOUR[6]}",
            ROOT,
            (("socket", SIX_FAMILY, RAW, 255), ("sendto", packet, 0, (NEIGHBOUR[6], 0))),
        )
    reply = bytes(ICMP(type=0, id=7) / Raw(b"out"))
    yield Act(
        "raw socket",
        "an echo reply that nobody asked for",
        ROOT,
        (("socket", FOUR_FAMILY, RAW, 1), ("sendto", reply, 0, (STRANGER[4], 0))),
    )


GROUPS = ("224.0.0.1", "224.0.0.251", "239.1.1.1", "255.255.255.255", "192.0.2.255")
UNSEEN = ("224.0.0.1", "224.0.0.251", "255.255.255.255")
"""Sent without a look-up by a socket that has a device or a source: docs/ways-out.md."""


def groups() -> Iterator[Act]:
    """Multicast and broadcast. What leaves in IPv4 leaves whoever sends it."""
    loud = _option((SOL, BROADCAST), 1)
    for uid in HERE:
        for destination in GROUPS:
            for how, before in (
                ("a plain socket", []),
                ("our own address", [("bind", (SELF[4], 45002))]),
                ("SO_BINDTODEVICE", [_option((SOL, BINDTODEVICE), DEVICE), ("bind", ("", 45002))]),
                (
                    "IP_MULTICAST_IF",
                    [
                        _option(
                            MULTICAST_IF[4],
                            struct.pack("=4s4sI", b"", socket.inet_aton(SELF[4]), INDEX),
                        ),
                        ("bind", ("", 45002)),
                    ],
                ),
            ):
                seen = destination in UNSEEN and how != "a plain socket"
                if how == "IP_MULTICAST_IF" and destination == "255.255.255.255":
                    seen = False
                if destination == "239.1.1.1" and how == "our own address":
                    seen = True
                words = f"udp {SELF[4]}:45002 > {destination}:{NOT_ALLOWED}" if seen else ""
                yield Act(
                    "group",
                    f"IPv4 to {destination} with {how}",
                    uid,
                    (
                        ("socket", FOUR_FAMILY, DGRAM),
                        loud,
                        *before,
                        ("sendto", b"out", 0, (destination, NOT_ALLOWED)),
                    ),
                    None,
                    words,
                )
        for destination in ("ff01::1", "ff02::1", "ff02::2", "ff02::fb", "ff05::2", "ff0e::1"):
            for how, before in (
                ("a plain socket", []),
                ("IPV6_MULTICAST_IF", [_option(MULTICAST_IF[6], INDEX)]),
                ("SO_BINDTODEVICE", [_option((SOL, BINDTODEVICE), DEVICE)]),
                ("our own address", [("bind", (SELF[6], 0))]),
            ):
                yield Act(
                    "group",
                    f"IPv6 to {destination} with {how}",
                    uid,
                    (
                        ("socket", SIX_FAMILY, DGRAM),
                        *before,
                        ("sendto", b"out", 0, (destination, NOT_ALLOWED, 0, INDEX)),
                    ),
                )
        for label, scope in ((0, INDEX), (0x12345, 0), (0x12345, INDEX)):
            for destination in ("fe80::1", NEIGHBOUR[6], "::ffff:192.0.2.66"):
                yield Act(
                    "group",
                    f"IPv6 to {destination}, flow {label}, scope {scope}",
                    uid,
                    (
                        ("socket", SIX_FAMILY, DGRAM),
                        ("sendto", b"out", 0, (destination, NOT_ALLOWED, label, scope)),
                    ),
                )


TABLES = (sockets, others_ways, raw, groups)
