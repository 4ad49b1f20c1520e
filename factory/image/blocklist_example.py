"""The list of an example, `examples/blocklist.txt`: random prefixes, as many as in a real list.

In: nothing.  Out: the same text every time.
`python -m factory.image.blocklist_example > FILE` writes it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network

SEED = 20_241_117
FOUR = 100_000
SIX = 500
HEAD = f"""\
# {FOUR:,} prefixes of IPv4 and {SIX} of IPv6, drawn from all addresses
# that hosts can have by factory/image/blocklist_example.py: what this says of any host is chance.
"""
LEFT_OUT = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
"""Special prefixes, for documentation among others, that are left out (RFC 6890)."""


def text() -> str:
    """The list, a prefix a line; no two are adjacent or overlap."""
    draw = random.Random(SEED)  # noqa: S311  the same every time
    return HEAD + "".join(f"{prefix}\n" for prefix in (*_four(draw), *_six(draw)))


def _four(draw: random.Random) -> Iterator[IPv4Network]:
    """Prefixes, each in the first half of its own /23. Half of them are hosts, as in real lists."""
    blocks: set[int] = set()
    while len(blocks) < FOUR:
        first = draw.getrandbits(23) << 9
        if not any(IPv4Address(first) in network for network in LEFT_OUT):
            blocks.add(first)
    for first in sorted(blocks):
        length = 32 if draw.getrandbits(1) else 24 + draw.getrandbits(3)
        host_bits = draw.getrandbits(8) >> 32 - length << 32 - length
        yield IPv4Network((first | host_bits, length))


def _six(draw: random.Random) -> Iterator[IPv6Network]:
    """Subnets of one /48 for documentation (RFC 3849), at most every second one."""
    site = int(IPv6Network("2001:db8:bad::/48").network_address)
    subnets: set[int] = set()
    while len(subnets) < SIX:
        subnets.add(draw.getrandbits(15) << 1)
    for subnet in sorted(subnets):
        yield IPv6Network((site | subnet << 64, 64))


if __name__ == "__main__":
    print(text(), end="")
