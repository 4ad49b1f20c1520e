"""The list of an example, `examples/blocklist.txt`: as long as real ones are, and made up.

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
"""What is set aside, for documentation among others (RFC 6890)."""


def text() -> str:
    """The whole list, a prefix a line, none of which touches another."""
    draw = random.Random(SEED)  # noqa: S311  it is to be the same every time
    return HEAD + "".join(f"{prefix}\n" for prefix in (*_four(draw), *_six(draw)))


def _four(draw: random.Random) -> Iterator[IPv4Network]:
    """One prefix in the first half of a /23 each. Half of them are hosts, as in real lists."""
    found: set[int] = set()
    while len(found) < FOUR:
        first = draw.getrandbits(23) << 9
        if not any(IPv4Address(first) in network for network in LEFT_OUT):
            found.add(first)
    for first in sorted(found):
        length = 32 if draw.getrandbits(1) else 24 + draw.getrandbits(3)
        inside = draw.getrandbits(8) >> 32 - length << 32 - length
        yield IPv4Network((first | inside, length))


def _six(draw: random.Random) -> Iterator[IPv6Network]:
    """Every second subnet at most of one /48 that is for documentation (RFC 3849)."""
    site = int(IPv6Network("2001:db8:bad::/48").network_address)
    found: set[int] = set()
    while len(found) < SIX:
        found.add(draw.getrandbits(15) << 1)
    for subnet in sorted(found):
        yield IPv6Network((site | subnet << 64, 64))


if __name__ == "__main__":
    print(text(), end="")
