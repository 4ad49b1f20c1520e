"""Replies of servers and routers, mangled: hypothesis strategies.

In: nothing.  Out: options as broken servers write them, and changes of the bytes of a message.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from hypothesis import strategies as st

OWN, TAKEN_PREFIX = "192.0.2.77", "10.0.0.0/16"
ADDRESSES = st.sampled_from(
    [socket.inet_aton(address) for address in (
        "192.0.2.1", "192.0.2.9", OWN, "192.0.2.0", "192.0.2.255", "192.0.2.78", "0.0.0.0",
        "255.255.255.255", "127.0.0.1", "10.0.0.1", "10.1.0.1", "169.254.169.254", "169.254.77.3",
        "224.0.0.1", "240.0.0.1", "172.31.1.1", "203.0.113.9", "100.64.0.1",
    )]
)  # fmt: skip
NEAR = [socket.inet_aton(address) for address in ("0.0.0.0", "192.0.2.1", "192.0.2.9")]
NUMBERS = st.sampled_from(
    [number.to_bytes(4, "big")
     for number in (0, 59, 60, 61, 300, 3600, 86400, 0x7FFFFFFF, 0xFFFFFFFF)]
)  # fmt: skip
MASKS = st.one_of(
    st.sampled_from((32, 24, 31, 30, 25, 23, 8, 7, 0)).map(
        lambda length: ((1 << 32) - (1 << 32 - length)).to_bytes(4, "big")
    ),
    st.just(socket.inet_aton("255.0.255.0")),
)
ROUTES = st.lists(
    st.builds(
        lambda length, first, hop: bytes((length,)) + first[: (length + 7) // 8] + hop,
        st.sampled_from((0, 0, 7, 8, 16, 24, 25, 31, 32, 32, 32, 33)),
        ADDRESSES,
        st.one_of(st.sampled_from(NEAR), ADDRESSES),
    ),
    max_size=12,
).map(b"".join)
SEVERAL = st.lists(ADDRESSES, max_size=6).map(b"".join)
BY_CODE = {1: MASKS, 3: SEVERAL, 6: SEVERAL, 51: NUMBERS, 52: st.binary(max_size=2), 54: ADDRESSES,
           58: NUMBERS, 59: NUMBERS, 121: ROUTES}  # fmt: skip
VALUES = st.sampled_from([*sorted(BY_CODE), 1, 3, 121, 121]).flatmap(
    lambda code: st.tuples(
        st.just(code), st.one_of(BY_CODE[code], BY_CODE[code], st.binary(max_size=9))
    )
)
ORDINARY = ((54, socket.inet_aton("192.0.2.1")), (51, (3600).to_bytes(4, "big")),
            (1, socket.inet_aton("255.255.255.0")), (3, socket.inet_aton("192.0.2.1")))  # fmt: skip


def encoded(options: list[tuple[int, bytes]]) -> bytes:
    """Options as bytes; those that are too long are cut."""
    return b"".join(bytes((code, min(len(v), 255))) + v[:255] for code, v in options)


OPTIONS = st.builds(
    lambda kept, others, ends: encoded([o for o in ORDINARY if o[0] not in kept] + others) + ends,
    st.sets(st.sampled_from((1, 3, 51, 54)), max_size=4),
    st.lists(VALUES, max_size=6),
    st.sampled_from((b"\xff", b"", b"\x03", b"\x36\x04\xc0", b"\x00\x00\xff\x01\x04")),
)
"""Those of an ordinary offer, some left out and others beside them."""

Change = Callable[[bytes], bytes]


def _changed(kind: str, at: int, value: int) -> Change:
    def change(data: bytes) -> bytes:
        here = at % (len(data) + 1)
        if kind == "cut":
            return data[:here]
        if kind == "lost":
            return data[:here] + data[here + value :]
        if kind == "twice":
            return data[:here] + data[here : here + value] + data[here:]
        return data[:here] + bytes((value,)) + data[here + 1 :]

    return change


KINDS = st.sampled_from(("cut", "lost", "twice", "other", "other", "other"))
CHANGES = st.lists(st.builds(_changed, KINDS, st.integers(0, 400), st.integers(0, 255)), max_size=3)
"""What happens to the bytes of a message; often nothing."""


def mangle(data: bytes, changes: list[Change]) -> bytes:
    """The bytes after all changes."""
    for change in changes:
        data = change(data)
    return data
