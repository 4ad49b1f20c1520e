"""What raw sockets inside examples/host.toml try.

In: nothing.  Out: `TABLES` of acts. What leaves all the same is marked in its line.
"""

from __future__ import annotations

from collections.abc import Iterator

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from tests.support.attack.act import (
    DGRAM,
    FAMILY,
    INET,
    INET6,
    NOBODY,
    RAW,
    ROOT,
    USERS,
    Act,
)
from tests.support.attack.socket_variants import preparations
from tests.support.host_example import NEIGHBOUR, SELF, STRANGER

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
            for how, before, _ in preparations(version):
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
        for uid in USERS:
            number = 1 if version == 4 else 58
            yield Act(
                "raw socket",
                f"IPv{version} ping socket",
                uid,
                (("socket", family, DGRAM, number),),
                "EACCES at socket",
            )
    for source in (SELF[4], "203.0.113.99", "127.0.0.1", "0.0.0.0"):
        for how, before, _ in preparations(4):
            if how.startswith("a service's"):
                continue
            for place in (NEIGHBOUR, STRANGER):
                packet = bytes(IP(src=source, dst=place[4]) / UDP(sport=53, dport=123) / b"out")
                yield Act(
                    "own header",
                    f"from {source} to {place[4]} with {how}",
                    ROOT,
                    (
                        ("socket", INET, RAW, 255),
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
            (("socket", INET6, RAW, 255), ("sendto", packet, 0, (NEIGHBOUR[6], 0))),
        )
    reply = bytes(ICMP(type=0, id=7) / Raw(b"out"))
    yield Act(
        "raw socket",
        "an echo reply that nobody asked for",
        ROOT,
        (("socket", INET, RAW, 1), ("sendto", reply, 0, (STRANGER[4], 0))),
    )


TABLES = (raw,)
