"""What a hostile program sends, as root of its room or as a user beside PID 1.

In: nothing.  Out: `IN_A_ROOM` of acts.  None of them is what the policy (evil.toml) lets it do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_RA, IPv6
from scapy.packet import Packet, Raw

from tests.adversary.tables import host_groups, host_inside, host_raw
from tests.support.attack.act import (
    BINDTODEVICE,
    BROADCAST,
    DEVICE,
    DGRAM,
    FAMILY,
    RAW,
    ROOT,
    SOCKET_LEVEL,
    STREAM,
    Act,
)
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF, STRANGER, VERSIONS

DEPOT = 4430
GROUPS = {4: ("224.0.0.1", "239.1.2.3", "255.255.255.255", "192.0.2.255"),
          6: ("ff02::1", "ff02::fb", "ff05::2", "ff0e::1")}  # fmt: skip
INSIDE = {
    4: tuple(f"169.254.77.{number}" for number in range(1, 5)),
    6: tuple(f"fd70:6272:696e:6974::{number}" for number in range(1, 5)),
}
NOBODY_S = {
    4: ("0.0.0.0", "127.0.0.1", "169.254.0.1", "255.255.255.255", "224.0.0.1"),
    6: ("::", "::1", "fe80::1", "fe80::2", "ff02::1"),
}
OWN_PORT, FOREIGN_PORT = 50000, 22


def own_header(version: int, packet: Packet, there: str) -> tuple[tuple[object, ...], ...]:
    """A packet whose header the program writes itself, in both families (raw(7))."""
    return (("socket", FAMILY[version], RAW, 255), ("sendto", bytes(packet), 0, (there, 0)))


def protocols() -> Iterator[Act]:
    """Every protocol, from our own address, to the one who may be asked."""
    for version in VERSIONS:
        header = IP if version == 4 else IPv6
        for number in range(256):
            there = STRANGER[version]
            number_of: Any = {"proto" if version == 4 else "nh": number}
            packet = header(src=SELF[version], dst=there, **number_of) / Raw(bytes(24))
            yield Act(
                "protocol", f"IPv{version} {number}", ROOT, own_header(version, packet, there)
            )


def ends() -> Iterator[Act]:
    """Every source to every destination, those of other rooms among them."""
    for version in VERSIONS:
        header = IP if version == 4 else IPv6
        named = [who[version] for who in (MGMT, NEIGHBOUR, RESOLVER, ROUTER, STRANGER)]
        foreign = (*named, *INSIDE[version], *NOBODY_S[version])
        bodies = (
            TCP(sport=OWN_PORT, dport=DEPOT, flags="S"),
            TCP(sport=FOREIGN_PORT, dport=DEPOT, flags="SA"),
            UDP(sport=OWN_PORT, dport=53),
            ICMP() if version == 4 else ICMPv6EchoRequest(),
        )
        pairs = [(source, there) for source in foreign for there in (*foreign, *GROUPS[version])]
        pairs += [(SELF[version], there) for there in (*named[:-1], *GROUPS[version])]
        for number, (source, there) in enumerate(pairs):
            packet = header(src=source, dst=there) / bodies[number % len(bodies)]
            what = f"{source} > {there} {packet.payload.summary()}"
            yield Act("forged", what, ROOT, own_header(version, packet, there))


def neighbours() -> Iterator[Act]:
    """Router and neighbour advertisements in a header of one's own."""
    for said in (ICMPv6ND_NA(tgt=SELF[6]), ICMPv6ND_NA(tgt=NEIGHBOUR[6]), ICMPv6ND_RA()):
        for source in (SELF[6], NEIGHBOUR[6], "fe80::1", "::"):
            for there in ("ff02::1", "ff02::2", "fe80::1", NEIGHBOUR[6]):
                packet = IPv6(src=source, dst=there, hlim=255) / said
                what = f"{source} > {there} {said.name}"
                yield Act("neighbour", what, ROOT, own_header(6, packet, there))


def sockets() -> Iterator[Act]:
    """What is tried without rooms as well: sockets prepared in every way, raw ones, groups."""
    for table in (host_inside.sockets, host_raw.raw, host_groups.groups):
        for act in table():
            # TCP fast open waits for an answer where nothing says that it is refused.
            if act.uid == ROOT and "fast open" not in act.what:
                yield act


def from_nobody() -> Iterator[Act]:
    """To all and to a group from a device that has no address, so that 0.0.0.0 is the source."""
    for there in ("255.255.255.255", "224.0.0.1"):
        steps = (
            ("socket", FAMILY[4], DGRAM),
            ("setsockopt", SOCKET_LEVEL, BINDTODEVICE, DEVICE),
            ("setsockopt", SOCKET_LEVEL, BROADCAST, 1),
            ("sendto", b"out", 0, (there, 53)),
        )
        yield Act("nobody", there, ROOT, steps, "done")


def allowed() -> Iterator[Act]:
    """What the policy lets a program do."""
    for version in VERSIONS:
        connect = ("connect", (STRANGER[version], DEPOT))
        steps = (("socket", FAMILY[version], STREAM), connect)
        yield Act("allowed", f"IPv{version}", ROOT, steps, "begun")


def from_own_ports() -> Iterator[Act]:
    """What the policy lets a room send, with headers of its own."""
    for version in VERSIONS:
        header = IP if version == 4 else IPv6
        there = STRANGER[version]
        for port in range(OWN_PORT, OWN_PORT + 25):
            packet = header(src=SELF[version], dst=there) / TCP(sport=port, dport=DEPOT)
            yield Act("allowed", f"{port}", ROOT, own_header(version, packet, there))


TITLES = {
    "protocols": "every protocol, from the machine's address to the one who may be asked",
    "ends": "forged sources and ports, to everybody: hosts, groups, all, other rooms",
    "neighbours": "router and neighbour advertisements",
    "sockets": "sockets prepared in every way, raw ones, multicast and broadcast",
}
IN_A_ROOM = (protocols, ends, neighbours, sockets)
