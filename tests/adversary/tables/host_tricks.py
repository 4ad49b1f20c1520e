"""Packets that hide what they are, sent to examples/host.toml, and what must come of them.

In: nothing.  Out: `TABLES`: fragments, options, extension headers, damaged headers, tunnels. Who
may reach what is docs/meaning.md's: ssh and ping from mgmt, the answers of dns and https.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import (
    IP,
    IPOption_LSRR,
    IPOption_Router_Alert,
    IPOption_RR,
    IPOption_SSRR,
)
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import Dot1Q
from scapy.packet import Packet, Raw

from tests.adversary.tables.host_wire import CALLERS, GUEST_MAC, MAC, PEERS, VERSIONS, to_us
from tests.support.attack.shot import Shot, checksum, echo, ether, ip, tcp, udp
from tests.support.host_example import MGMT, SELF, STRANGER

IDENTITIES = itertools.cycle(range(1, 65536))
"""Of datagrams that are cut, so that no two are put together."""


def fragments() -> Iterator[Shot]:
    """Every way to cut a packet, of one that is allowed whole and of one that is not."""
    for version in VERSIONS:
        for who in ("mgmt", "stranger", "resolver"):
            for how in CUTS:
                for what, body in (
                    ("ssh", tcp(next(CALLERS), 22) / Raw(bytes(64))),
                    ("an answer of dns", udp(53, 40000) / Raw(bytes(64))),
                    ("ping", echo(version) / Raw(bytes(64))),
                ):
                    pieces = cut(ip(PEERS[who][version], SELF[version]) / body, how)
                    heard = what == "ping" and (who == "mgmt" or version == 6)
                    arrives = heard and how in ("header first", "tiny first", "later first")
                    yield Shot("fragment", f"IPv{version} {what} from {who}, {how}",
                               tuple(map(to_us, pieces)), arrives,
                               "reply" if arrives and who == "mgmt" else "")  # fmt: skip


CUTS = ("header first", "tiny first", "later first", "never the first", "only the first")


def cut(packet: Packet, how: str) -> list[Packet]:
    """The fragments of a packet, in one of the ways of `CUTS`."""
    whole = type(packet)(bytes(packet))
    data = bytes(whole.payload)
    number = next(IDENTITIES)

    def piece(offset: int, more: int, part: bytes) -> Packet:
        if isinstance(whole, IPv6):
            head = IPv6ExtHdrFragment(id=number, nh=whole.nh, offset=offset, m=more)
            return IPv6(src=whole.src, dst=whole.dst) / head / Raw(part)
        return IP(src=whole.src, dst=whole.dst, proto=whole.proto, id=number, flags=more,
                  frag=offset) / Raw(part)  # fmt: skip

    first, later = piece(0, 1, data[:8]), piece(1, 0, data[8:])
    return {
        # IPv6 drops what has its header in two (ipv6frag_thdr_truncated), whatever the rules say.
        "header first": [piece(0, 1, data[:24]), piece(3, 0, data[24:])],
        "tiny first": [first, later],
        "later first": [later, first],
        "never the first": [later],
        "only the first": [piece(0, 1, data[:16])],
    }[how]


def atomic() -> Iterator[Shot]:
    """One fragment that is all of it (RFC 6946)."""
    for who in PEERS:
        for what, body, number in (("ssh", tcp(next(CALLERS), 22), 6), ("dns", udp(53, 40000), 17)):
            data = bytes(IPv6(bytes(ip(PEERS[who][6], SELF[6]) / body)).payload)
            head = IPv6ExtHdrFragment(id=next(IDENTITIES), nh=number)
            packet = IPv6(src=PEERS[who][6], dst=SELF[6]) / head / Raw(data)
            yield Shot("fragment", f"IPv6 {what} from {who}, atomic", (to_us(packet),))


def overlapping() -> Iterator[Shot]:
    """A second first fragment that writes port 22 over the port of the first, and the rest."""
    for version in VERSIONS:
        for who in ("mgmt", "stranger", "resolver"):
            source, own = PEERS[who][version], SELF[version]
            header = IPv6 if version == 6 else IP
            refused, allowed = (
                bytes(header(bytes(ip(source, own) / tcp(next(CALLERS), port))).payload) + bytes(4)
                for port in (80, 22)
            )
            number = next(IDENTITIES)
            parts = ((0, 1, refused), (0, 1, allowed), (3, 0, bytes(16)))
            pieces: list[Packet]
            if version == 4:
                pieces = [
                    ip(source, own, proto=6, id=number, flags=more, frag=at) / Raw(part)
                    for at, more, part in parts
                ]
            else:
                pieces = [
                    IPv6(src=source, dst=own)
                    / IPv6ExtHdrFragment(id=number, nh=6, m=more, offset=at) / Raw(part)
                    for at, more, part in parts
                ]  # fmt: skip
            yield Shot("fragment", f"IPv{version} ssh over port 80 from {who}, overlapping",
                       tuple(map(to_us, pieces)))  # fmt: skip


def options() -> Iterator[Shot]:
    """IPv4 options. Source routes are refused (accept_source_route); the rest change nothing."""
    mine = SELF[4]
    for who in ("mgmt", "stranger", "resolver"):
        for what, option, heard in (
            ("record route", IPOption_RR(routers=["0.0.0.0"] * 3), True),
            ("a timestamp", Raw(b"\x44\x0c\x05\x00" + bytes(8)), True),
            ("router alert", IPOption_Router_Alert(), True),
            ("loose source route", IPOption_LSRR(routers=[mine, STRANGER[4]]), False),
            ("strict source route", IPOption_SSRR(routers=[mine, STRANGER[4]]), False),
            ("a source route at its end", IPOption_LSRR(routers=[mine], pointer=8), False),
        ):
            packet = IP(src=PEERS[who][4], dst=mine, options=[option]) / tcp(next(CALLERS), 22)
            arrives = heard and who == "mgmt"
            yield Shot("IP option", f"ssh from {who} with {what}", (to_us(packet),), arrives,
                       "syn-ack" if arrives else "")  # fmt: skip
        for header in (b"\x07\xff\x04", b"\x44\x03\x05", b"\x83\x02\x04", b"\x82\xff", b"\x94\x01"):
            raw = IP(src=PEERS[who][4], dst=mine, options=[Raw(header)]) / tcp(next(CALLERS), 22)
            yield Shot("IP option", f"ssh from {who} with a broken option {header.hex()}",
                       (to_us(raw),))  # fmt: skip


def chains() -> Iterator[Shot]:
    """IPv6 extension headers before the port. Rules see 15 headers deep (FLOW_DISSECT_MAX_HDRS)."""
    own = SELF[6]
    pad: dict[str, Any] = {"options": [PadN(optdata=b"\0" * 4)]}
    for who in ("mgmt", "stranger"):
        for length in (1, 2, 5, 10, 14, 15, 16, 17, 18, 20, 60):
            packet: Packet = IPv6(src=PEERS[who][6], dst=own)
            for _ in range(length):
                packet /= IPv6ExtHdrDestOpt(**pad)
            arrives = who == "mgmt" and length <= 16
            yield Shot("extension header", f"ssh from {who} behind {length} destination options",
                       (to_us(packet / tcp(next(CALLERS), 22)),), arrives,
                       "syn-ack" if arrives else "")  # fmt: skip
        for what, head, heard in (
            ("hop by hop options", IPv6ExtHdrHopByHop(**pad), True),
            ("a router alert", IPv6ExtHdrHopByHop(options=[RouterAlert()]), True),
            ("a routing header at its end", IPv6ExtHdrRouting(type=0, segleft=0), True),
            ("a routing header type 0", IPv6ExtHdrRouting(type=0, addresses=[STRANGER[6]]), False),
            ("a routing header type 2", IPv6ExtHdrRouting(type=2, addresses=[own]), False),
            ("a routing header type 3", IPv6ExtHdrRouting(type=3, addresses=[own]), False),
            ("a routing header type 4", IPv6ExtHdrRouting(type=4, addresses=[own]), False),
            ("a second hop by hop header",
             IPv6ExtHdrDestOpt(**pad) / IPv6ExtHdrHopByHop(**pad), False),
        ):  # fmt: skip
            arrives = heard and who == "mgmt"
            yield Shot("extension header", f"ssh from {who} behind {what}",
                       (to_us(IPv6(src=PEERS[who][6], dst=own) / head / tcp(next(CALLERS), 22)),),
                       arrives, "syn-ack" if arrives else "")  # fmt: skip


def damaged() -> Iterator[Shot]:
    """Headers that are cut off, lie about lengths, or have wrong checksums: no answer to any."""
    for version in VERSIONS:
        for who in ("mgmt", "stranger"):
            for what in (
                *_damages(bytes(80), 6),
                *(_damages(bytes(80), 4) if version == 4 else ()),
            ):
                body = tcp(next(CALLERS), 22) / Raw(bytes(60))
                whole = bytes(ip(PEERS[who][version], SELF[version]) / body)
                frame = bytes(ether(MAC, GUEST_MAC) / ip(STRANGER[version], SELF[version]))[:14]
                arrives = who == "mgmt" and what in RAW_ONLY
                yield Shot("damaged", f"IPv{version} ssh from {who} with {what}",
                           (frame + _damages(whole, version)[what],), arrives)  # fmt: skip


RAW_ONLY = ("a TCP checksum that is wrong", "a TCP header longer than the packet")
"""What IP hands on, for TCP to drop."""


def _damages(whole: bytes, version: int) -> dict[str, bytes]:
    size = 20 if version == 4 else 40
    head, body = whole[:size], whole[size:]
    broken = {
        "an IP header cut off": head[: size - 4],
        "a packet cut off within its TCP header": head + body[:12],
        "version 5": bytes([0x50 | head[0] & 15]) + whole[1:],
        "more length than data": _length(head, version, len(body) + 400) + body,
        "a TCP checksum that is wrong": head + body[:16] + b"\xde\xad" + body[18:],
        "a TCP header longer than the packet": head + body[:12] + b"\xf0" + body[13:32],
    }
    broken[RAW_ONLY[1]] = _length(head, version, 32) + broken[RAW_ONLY[1]][size:]
    if version == 4:
        broken["an IP checksum that is wrong"] = head[:10] + b"\xbe\xef" + head[12:] + body
        broken["a header length of 16"] = b"\x44" + whole[1:]
        broken["a header longer than the packet"] = b"\x4f" + whole[1:40]
    return broken


def _length(head: bytes, version: int, length: int) -> bytes:
    """A header with another length of what follows it, its checksum right."""
    if version == 6:
        return head[:4] + length.to_bytes(2, "big") + head[6:]
    zeroed = head[:2] + (length + 20).to_bytes(2, "big") + head[4:10] + b"\0\0" + head[12:]
    return zeroed[:10] + checksum(zeroed).to_bytes(2, "big") + zeroed[12:]


def inside_others() -> Iterator[Shot]:
    """An allowed packet within something else."""
    inner = {4: lambda: ip(MGMT[4], SELF[4]) / tcp(next(CALLERS), 22),
             6: lambda: ip(MGMT[6], SELF[6]) / tcp(next(CALLERS), 22)}  # fmt: skip
    for who in ("mgmt", "stranger", "neighbour"):
        for outer in VERSIONS:
            for within in VERSIONS:
                header = ip(PEERS[who][outer], SELF[outer])
                setattr(header, "proto" if outer == 4 else "nh", 4 if within == 4 else 41)
                yield Shot("tunnel", f"IPv{within} in IPv{outer} from {who}",
                           (to_us(header / inner[within]()),))  # fmt: skip
                header = ip(PEERS[who][outer], SELF[outer])
                setattr(header, "proto" if outer == 4 else "nh", 47)
                kind = b"\0\0\x08\0" if within == 4 else b"\0\0\x86\xdd"
                yield Shot("tunnel", f"IPv{within} in GRE in IPv{outer} from {who}",
                           (to_us(header / Raw(kind + bytes(inner[within]()))),))  # fmt: skip
    for version in VERSIONS:
        for number in (1, 2, 100, 4094):
            frame = bytes(ether(MAC, GUEST_MAC) / Dot1Q(vlan=number) / inner[version]())
            yield Shot("VLAN", f"IPv{version} ssh from mgmt with VLAN {number}", (frame,))
        double = Dot1Q(vlan=0) / Dot1Q(vlan=7)
        frame = bytes(ether(MAC, GUEST_MAC) / double / inner[version]())
        yield Shot("VLAN", f"IPv{version} ssh from mgmt with two VLAN tags", (frame,))
        for who in ("mgmt", "stranger"):
            packet = ip(PEERS[who][version], SELF[version]) / tcp(next(CALLERS), 22)
            frame = bytes(ether(MAC, GUEST_MAC) / Dot1Q(vlan=0, prio=5) / packet)
            yield Shot("VLAN", f"IPv{version} ssh from {who} with a priority tag", (frame,),
                       who == "mgmt", "syn-ack" if who == "mgmt" else "")  # fmt: skip


TABLES = (fragments, atomic, overlapping, options, chains, damaged, inside_others)
