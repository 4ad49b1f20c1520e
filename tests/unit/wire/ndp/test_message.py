"""What is read of a router's message, whoever wrote it."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr

from pbrinit.wire.ndp import message
from pbrinit.wire.ndp.message import HOP_LIMIT, MessageError, decode, encode
from tests.support.ra_bytes import OTHERS, PREFIX, RESOLVERS, prefix, resolvers, says

MAC = bytes.fromhex("52540012345a")
ROUTER = socket.inet_pton(socket.AF_INET6, "fe80::1")
ABROAD = socket.inet_pton(socket.AF_INET6, "2001:db8::1")


def test_a_question_is_one_that_scapy_reads() -> None:
    read = ICMPv6ND_RS(encode(MAC))
    assert (read.type, read.code, read[ICMPv6NDOptSrcLLAddr].lladdr) == (
        133,
        0,
        "52:54:00:12:34:5a",
    )


def test_an_ordinary_advertisement() -> None:
    said = says(*OTHERS, prefix(), resolvers(*RESOLVERS, seconds=9), prefix("fd00::", L=0))
    found = decode(said, ROUTER, HOP_LIMIT)
    assert (found.router, found.seconds) == (ROUTER, 1800)
    first, second = found.prefixes
    assert first.value == socket.inet_pton(socket.AF_INET6, PREFIX)
    assert (first.length, first.valid, first.preferred) == (64, 3600, 1800)
    assert (first.on_link, first.autonomous) == (True, True)
    assert (second.on_link, second.autonomous) == (False, True)
    assert found.resolvers == tuple((socket.inet_pton(socket.AF_INET6, r), 9) for r in RESOLVERS)


def test_of_resolvers_nothing_said_is_not_the_same_as_none() -> None:
    assert decode(says(), ROUTER, HOP_LIMIT).resolvers is None
    told = says(resolvers("2001:db8::53", seconds=0), resolvers("2001:db8::54"))
    found = decode(told, ROUTER, HOP_LIMIT).resolvers
    assert found is not None
    assert [seconds for _, seconds in found] == [0, 1200]


@pytest.mark.parametrize(
    ("data", "source", "hops", "why"),
    [
        (says(), ROUTER, 254, "was forwarded"),
        (says(), ROUTER, 0, "was forwarded"),
        (says(), ABROAD, HOP_LIMIT, "not a link-local address"),
        (says(), b"\xfe\x80", HOP_LIMIT, "not a link-local address"),
        (b"", ROUTER, HOP_LIMIT, "too short"),
        (says()[:15], ROUTER, HOP_LIMIT, "too short"),
        (says(code=1), ROUTER, HOP_LIMIT, "not a router advertisement"),
        (says(type=136), ROUTER, HOP_LIMIT, "not a router advertisement"),
        (says() + b"\x03", ROUTER, HOP_LIMIT, "option is truncated"),
        (says() + bytes(8), ROUTER, HOP_LIMIT, "option 0 is truncated"),
        (says(prefix())[:-1], ROUTER, HOP_LIMIT, "option 3 is truncated"),
        (says(prefix(len=0)), ROUTER, HOP_LIMIT, "option 3 is truncated"),
        (says(prefix(len=255)), ROUTER, HOP_LIMIT, "option 3 is truncated"),
        (says(prefix()) + b"\x19\x02" + bytes(13), ROUTER, HOP_LIMIT, "option 25 is truncated"),
    ],
)
def test_what_is_no_advertisement_is_refused_with_a_reason(
    data: bytes, source: bytes, hops: int, why: str
) -> None:
    with pytest.raises(MessageError, match=why):
        decode(data, source, hops)


def test_a_prefix_or_resolvers_of_another_size_are_passed_over() -> None:
    odd = says() + b"\x03\x05" + bytes(38) + b"\x03\x01" + bytes(6) + b"\x19\x01" + bytes(6)
    found = decode(odd, ROUTER, HOP_LIMIT)
    assert (found.prefixes, found.resolvers) == ((), ())


@given(st.binary(max_size=1500), st.binary(max_size=16), st.integers(-1, 256))
def test_whatever_comes_is_read_or_refused(data: bytes, source: bytes, hops: int) -> None:
    try:
        decode(data, source, hops)
    except MessageError:
        return


OPTIONS = st.lists(
    st.tuples(
        st.sampled_from((1, 3, 5, 24, 25, 31, 255)), st.integers(0, 6), st.binary(max_size=48)
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(OPTIONS, st.integers(0, 60))
def test_whatever_options_come_they_are_read_or_refused(
    options: list[tuple[int, int, bytes]], cut: int
) -> None:
    told = b"".join(
        bytes((kind, size)) + value.ljust(max(0, 8 * size - 2), b"\xff")
        for kind, size, value in options
    )
    data = says() + told
    try:
        found = decode(data[: len(data) - cut], ROUTER, HOP_LIMIT)
    except MessageError:
        return
    assert all(len(one.value) == message.ADDRESS for one in found.prefixes)
    assert all(len(one) == message.ADDRESS for one, _ in found.resolvers or ())
