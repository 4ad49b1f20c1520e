"""What a hostile peer sends to examples/host.toml, and what must come of it.

In: nothing.  Out: `TABLES`. The expectations are written by hand from docs/meaning.md: who may
reach what is said once, in `may_arrive`, for packets that are whole; all others have it in
their line.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from scapy.layers.inet import (
    IP,
)
from scapy.packet import Packet, Raw

from tests.support.attack.shot import Shot, echo, ether, icmp, ip, tag, tcp, udp
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS

PEERS = {
    "mgmt": MGMT, "resolver": RESOLVER, "router": ROUTER, "neighbour": NEIGHBOUR,
    "stranger": STRANGER,
}  # fmt: skip
CLIENTS = range(32768, 61000)
PORTS = (0, 1, 21, 22, 23, 53, 80, 123, 443, 8080, 32767, 32768, 40000, 60999, 61000, 65535)
OWN_PORTS = (0, 1, 22, 53, 67, 123, 443, 444, 65535)
TRIED = (22, 53, 80, 32767, 32768, 40000, 60999, 61000, 65535)
MAC, GUEST_MAC = PEER_MACS[0], GUEST_MACS[0]
VERSIONS = (4, 6)
LINK_LOCAL = "fe80::5054:ff:fe12:3456"


CALLERS = itertools.cycle(range(33000, 60000))
"""A new port for each call, so that none meets what is left of another."""


def may_arrive(who: str, protocol: str, sport: int, dport: int) -> bool:
    """Whether a whole packet to our address is allowed, from somebody behind wan."""
    if protocol == "tcp" and who == "mgmt" and dport == 22:
        return True
    answers = (sport == 443 and protocol == "tcp") or (sport == 53 and who == "resolver")
    return answers and dport in CLIENTS


def to_us(packet: Packet) -> bytes:
    """A packet in a frame to the guest."""
    return bytes(ether(MAC, GUEST_MAC) / packet)


def _whole(kind: str, who: str, version: int, asked: tuple[str, int, int]) -> Shot:
    protocol, sport, dport = asked
    body = tcp(sport, dport) if protocol == "tcp" else udp(sport, dport)
    arrives = may_arrive(who, protocol, sport, dport)
    return Shot(
        kind,
        f"IPv{version} {protocol} from {who} port {sport} to port {dport}",
        (to_us(ip(PEERS[who][version], SELF[version]) / body),),
        arrives,
        "syn-ack" if arrives and dport == 22 else "",
    )


def ports() -> Iterator[Shot]:
    """Ports from a client's port, by everybody."""
    for version in VERSIONS:
        for who in PEERS:
            for protocol in ("tcp", "udp"):
                for port in PORTS:
                    yield _whole("port", who, version, (protocol, next(CALLERS), port))


def own_ports() -> Iterator[Shot]:
    """The ports of services as the sender's own: the shape of an answer."""
    for version in VERSIONS:
        for who in PEERS:
            for protocol in ("tcp", "udp"):
                for sport in OWN_PORTS:
                    for dport in TRIED:
                        yield _whole("source port", who, version, (protocol, sport, dport))


def protocols() -> Iterator[Shot]:
    """All 256 IP protocols."""
    for version in VERSIONS:
        for who in ("mgmt", "stranger", "resolver"):
            for number in range(256):
                header = ip(PEERS[who][version], SELF[version])
                setattr(header, "proto" if version == 4 else "nh", number)
                # Of IPv6, ICMP is heard from everybody, but this has a wrong checksum.
                arrives = version == 4 and number == 1 and who == "mgmt"
                yield Shot(
                    "protocol",
                    f"IPv{version} protocol {number} from {who}",
                    (to_us(header / Raw(tag() * 8)),),
                    arrives,
                )


def flags() -> Iterator[Shot]:
    """Every combination of TCP's flags, to a port that listens, one that is not allowed, and one
    from somebody who is not.
    """
    for version in VERSIONS:
        for who, port in (("mgmt", 22), ("mgmt", 80), ("stranger", 22)):
            for number in range(256):
                letters = "".join(f for bit, f in enumerate("FSRPAUEC") if number >> bit & 1)
                arrives = port == 22 and who == "mgmt"
                segment = tcp(next(CALLERS), port, letters)
                yield Shot(
                    "TCP flags",
                    f"IPv{version} tcp {letters or 'no flag'} from {who} to port {port}",
                    (to_us(ip(PEERS[who][version], SELF[version]) / segment),),
                    arrives,
                    _listener(letters) if arrives else "",
                )


def _listener(letters: str) -> str:
    """What a listening socket answers (RFC 9293 3.10.7.2)."""
    if "R" in letters:
        return ""
    if "A" in letters:
        return "rst"
    return "syn-ack" if "S" in letters and "F" not in letters else ""


SPOOFED = {
    4: (
        SELF[4], "127.0.0.1", "127.9.9.9", "0.0.0.0", "224.0.0.1", "239.1.1.1",
        "255.255.255.255", "192.0.2.255",
    ),
    6: (
        SELF[6], "::", "::1", LINK_LOCAL, "fe80::1", "ff02::1", "ff0e::1", "::ffff:127.0.0.1",
        "::ffff:198.51.100.9", "::ffff:192.0.2.2",
    ),
}  # fmt: skip
ICMP_FROM = ("::", "fe80::1", LINK_LOCAL)
"""Whose ICMPv6 is heard, of those who are nobody's addresses: neighbour discovery needs it."""


def spoofed() -> Iterator[Shot]:
    """Sources that nobody behind wan has."""
    for version in VERSIONS:
        for source in SPOOFED[version]:
            for what, body in (
                ("ssh", tcp(next(CALLERS), 22)),
                ("an answer of https", tcp(443, 40000)),
                ("an answer of dns", udp(53, 40000)),
                ("udp", udp(40000, 53)),
                ("a ping", echo(version)),
            ):
                yield Shot(
                    "spoofed source",
                    f"{what} from {source}",
                    (to_us(ip(source, SELF[version]) / body),),
                    what == "a ping" and source in ICMP_FROM,
                )


def hardware() -> Iterator[Shot]:
    """Frames that are not to our MAC address, with packets to our IP address."""
    for version in VERSIONS:
        for who, mac in (
            ("another's", "52:54:00:99:99:99"), ("everybody's", "ff:ff:ff:ff:ff:ff"),
            ("a group's", "01:00:5e:00:00:01"), ("all nodes'", "33:33:00:00:00:01"),
        ):  # fmt: skip
            for peer in ("mgmt", "stranger"):
                for what, body in (("ssh", tcp(next(CALLERS), 22)), ("ping", echo(version))):
                    frame = bytes(ether(MAC, mac) / ip(PEERS[peer][version], SELF[version]) / body)
                    yield Shot("hardware address", f"IPv{version} {what} from {peer} to {who} MAC",
                               (frame,))  # fmt: skip


GROUPS = {
    4: (
        ("255.255.255.255", "ff:ff:ff:ff:ff:ff"), ("255.255.255.255", GUEST_MAC),
        ("192.0.2.255", "ff:ff:ff:ff:ff:ff"), ("192.0.2.255", GUEST_MAC),
        ("192.0.2.0", "ff:ff:ff:ff:ff:ff"), ("0.0.0.0", GUEST_MAC),
        ("224.0.0.1", "01:00:5e:00:00:01"), ("224.0.0.1", GUEST_MAC),
        ("224.0.0.251", "01:00:5e:00:00:fb"), ("239.1.1.1", "01:00:5e:01:01:01"),
        ("127.0.0.1", GUEST_MAC), ("127.255.255.255", GUEST_MAC), ("198.51.100.255", GUEST_MAC),
    ),
    6: (
        ("ff01::1", "33:33:00:00:00:01"), ("ff02::1", "33:33:00:00:00:01"), ("ff02::1", GUEST_MAC),
        ("ff02::2", "33:33:00:00:00:02"), ("ff02::16", "33:33:00:00:00:16"),
        ("ff02::fb", "33:33:00:00:00:fb"), ("ff05::2", "33:33:00:00:00:02"),
        ("ff0e::1", "33:33:00:00:00:01"), ("::1", GUEST_MAC), ("::", GUEST_MAC),
        ("2001:db8::", GUEST_MAC), ("::ffff:192.0.2.2", GUEST_MAC), ("::ffff:127.0.0.1", GUEST_MAC),
        ("fe80::", GUEST_MAC),
    ),
}  # fmt: skip


HEARD_AS_WELL = ("255.255.255.255", "224.0.0.1")
"""Where who may reach a port of our address reaches it as well, and is not answered."""


def groups() -> Iterator[Shot]:
    """To everybody, to groups, and to what is nobody's address."""
    for version in VERSIONS:
        for destination, mac in GROUPS[version]:
            for who, place in PEERS.items():
                for what, body in (
                    ("ssh", tcp(next(CALLERS), 22)),
                    ("udp to dns", udp(40000, 53)),
                    ("an answer of dns", udp(53, 40000)),
                    ("dhcp", udp(67, 68)),
                    ("mdns", udp(5353, 5353)),
                    ("ping", echo(version)),
                ):
                    frame = bytes(ether(MAC, mac) / ip(place[version], destination) / body)
                    heard = (
                        destination in HEARD_AS_WELL and who == "mgmt" and what in ("ssh", "ping")
                    )
                    yield Shot("group or broadcast", f"{what} from {who} to {destination} at {mac}",
                               (frame,), heard)  # fmt: skip


def from_nobody() -> Iterator[Shot]:
    """From 0.0.0.0 the kernel looks nothing up (docs/meaning.md, "What no rule decides")."""
    unlooked = {"255.255.255.255", "224.0.0.1", "0.0.0.0"}
    for destination, mac in GROUPS[4]:
        for sport, dport in ((67, 68), (68, 67), (40000, 53)):
            frame = bytes(ether(MAC, mac) / IP(src="0.0.0.0", dst=destination) / udp(sport, dport))
            yield Shot("from 0.0.0.0", f"udp port {dport} to {destination} at {mac}", (frame,),
                       destination in unlooked)  # fmt: skip


ICMP_ANSWERS = {(4, 8): "reply", (6, 128): "reply", (4, 13): "icmp 14/0"}
"""What is answered to who may ping. The timestamp is a way out: icmp_reply (net/ipv4/icmp.c) asks
for a route without the type, so that output takes it for the echo's answer (docs/ways-out.md).
"""


def icmp_types() -> Iterator[Shot]:
    """ICMP and ICMPv6 of all types; codes other than 0 for those that have a meaning."""
    for version in VERSIONS:
        for who in ("mgmt", "stranger", "router"):
            for kind in range(256):
                packet = icmp(PEERS[who][version], SELF[version], kind, 0)
                arrives = version == 6 or who == "mgmt"
                answer = ICMP_ANSWERS.get((version, kind), "") if who == "mgmt" else ""
                yield Shot("ICMP type", f"IPv{version} type {kind} from {who}", (to_us(packet),),
                           arrives, answer)  # fmt: skip


def passing() -> Iterator[Shot]:
    """To others, through us: this machine passes nothing on."""
    for version in VERSIONS:
        for who in PEERS:
            for destination in (STRANGER[version], NEIGHBOUR[version], RESOLVER[version]):
                for what, body in (("ssh", tcp(next(CALLERS), 22)), ("https", tcp(40000, 443)),
                                   ("dns", udp(40000, 53)), ("ping", echo(version))):  # fmt: skip
                    packet = ip(PEERS[who][version], destination) / body
                    yield Shot("through", f"{what} from {who} to {destination}", (to_us(packet),))


TABLES = (
    ports, own_ports, protocols, flags, spoofed, hardware, groups, from_nobody, icmp_types, passing,
)  # fmt: skip
