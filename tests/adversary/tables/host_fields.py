"""Fields that no rule looks at, sent to examples/host.toml: they open nothing and close nothing.

In: nothing.  Out: `TABLES`: type of service, flow label, hop limit; TCP fast open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scapy.layers.inet import TCP
from scapy.packet import Packet, Raw

from tests.adversary.tables.host_wire import CALLERS, PEERS, VERSIONS, to_us
from tests.support.attack.shot import Shot, ip, tag, tcp
from tests.support.host_example import SELF

WHO = (("mgmt", 22, True), ("mgmt", 80, False), ("stranger", 22, False))
"""Who asks for which port, and whether he is let in."""

FIELDS: dict[int, tuple[dict[str, Any], ...]] = {
    4: (
        *({"tos": value} for value in range(0, 256, 4)),
        *({"ttl": value} for value in (1, 2, 64, 128, 255)),
        *({"id": value, "flags": flags} for value in (0, 1, 65535) for flags in ("DF", "evil")),
    ),
    6: (
        *({"tc": value} for value in range(0, 256, 4)),
        *({"hlim": value} for value in (1, 2, 64, 128, 255)),
        *({"fl": value} for value in (1, 0x12345, 0x80000, 0xFFFFF)),
        *({"fl": 0x12345, "tc": value} for value in (32, 252)),
    ),
}  # fmt: skip


def headers() -> Iterator[Shot]:
    """A call for ssh with every field of the IP header that is nobody's name."""
    for version in VERSIONS:
        for fields in FIELDS[version]:
            for who, port, heard in WHO:
                packet = ip(PEERS[who][version], SELF[version], **fields)
                said = " ".join(f"{name} {value}" for name, value in fields.items())
                yield Shot(
                    "field",
                    f"IPv{version} port {port} from {who} with {said}",
                    (to_us(packet / tcp(next(CALLERS), port)),),
                    heard,
                    "syn-ack" if heard else "",
                )


FAST_OPEN = {
    "a request for a cookie": (34, b""),
    "a cookie": (34, bytes(8)),
    "the longest cookie": (34, bytes(range(16))),
    "a cookie of the experiment": (254, b"\xf9\x89" + bytes(8)),
}
"""The option's two numbers (RFC 7413 4.1.1)."""


def fast_open() -> Iterator[Shot]:
    """A SYN that brings data along: none of it is handed to a program before the call stands."""
    for version in VERSIONS:
        for what, (number, cookie) in FAST_OPEN.items():
            for who, port, heard in WHO:
                for data in (b"", b"GET / HTTP/1.0\r\n\r\n"):
                    segment: Packet = TCP(
                        sport=next(CALLERS), dport=port, flags="S",
                        seq=int.from_bytes(tag(), "big"), options=[(number, cookie)],
                    )  # fmt: skip
                    packet = ip(PEERS[who][version], SELF[version]) / segment
                    if data:
                        packet /= Raw(data)
                    yield Shot(
                        "TCP fast open",
                        f"IPv{version} port {port} from {who} with {what}, {len(data)} bytes",
                        (to_us(packet),),
                        heard,
                        "syn-ack" if heard else "",
                    )


TABLES = (headers, fast_open)
