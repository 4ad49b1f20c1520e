"""DHCP messages, with scapy to judge them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp import lease
from pbrinit.wire.dhcp.message import (
    DISCOVER,
    HOSTNAME,
    LEASE_TIME,
    MASK,
    MESSAGE_TYPE,
    OFFER,
    OVERLOAD,
    REQUEST,
    RESOLVERS,
    ROUTERS,
    SERVER_ID,
    MessageError,
    decode,
    encode,
    is_reply,
)
from pbrinit.wire.dhcp.offer import offer_from_message
from tests.support.dhcp_bytes import answer

MAC = bytes.fromhex("52540012345a")
QUESTION = encode(DISCOVER, 0x01020304, MAC)


def test_scapy_reads_a_question_as_it_is_meant() -> None:
    name = (HOSTNAME, b"gate")
    asked = BOOTP(encode(DISCOVER, 7, MAC, seconds=9, options=(name,)))
    assert (asked.op, asked.htype, asked.hlen, asked.xid, asked.secs) == (1, 1, 6, 7, 9)
    assert asked.chaddr[:6] == MAC
    assert asked.flags == "B"
    assert asked.ciaddr == "0.0.0.0"
    told = {o[0]: o[1:] for o in asked[DHCP].options if isinstance(o, tuple)}
    assert told["message-type"] == (1,)
    assert told["hostname"] == (b"gate",)
    assert told["max_dhcp_size"] == (1472,)
    assert "end" in asked[DHCP].options


def test_who_has_an_address_asks_from_it_and_wants_the_answer_there() -> None:
    asked = BOOTP(encode(REQUEST, 7, MAC, client_address=bytes((192, 0, 2, 77))))
    assert asked.ciaddr == "192.0.2.77"
    assert not asked.flags


def test_no_question_is_shorter_than_bootp() -> None:
    assert len(QUESTION) == 300


def test_an_answer_of_scapys_is_read() -> None:
    message = decode(answer("offer", QUESTION))
    assert (message.kind, message.transaction_id, message.mac) == (OFFER, 0x01020304, MAC)
    assert message.address == bytes((192, 0, 2, 77))
    assert message.options[MASK] == bytes((255, 255, 255, 0))
    assert message.options[RESOLVERS] == bytes((192, 0, 2, 53, 192, 0, 2, 54))


def test_options_go_on_in_the_fields_of_names_where_the_message_says_so() -> None:
    more = bytes((LEASE_TIME, 4, 0, 0, 14, 16, 255))
    told = (("server_id", "192.0.2.1"), ("dhcp-option-overload", 3))
    message = decode(answer("offer", QUESTION, *told, file=more, sname=bytes((3, 2, 1, 2))))
    assert message.options[LEASE_TIME] == bytes((0, 0, 14, 16))
    assert message.options[ROUTERS] == bytes((1, 2))


@pytest.mark.parametrize(("overload", "field"), [(1, "file"), (2, "sname")])
def test_each_of_those_fields_has_a_number(overload: int, field: str) -> None:
    routers = bytes((ROUTERS, 2, 1, 2, 255))
    names: dict[str, Any] = {"file": b"", "sname": b"", field: routers}
    message = decode(answer("offer", QUESTION, ("dhcp-option-overload", overload), **names))
    assert message.options[ROUTERS] == bytes((1, 2))
    message = decode(answer("offer", QUESTION, ("dhcp-option-overload", 3 - overload), **names))
    assert ROUTERS not in message.options


def test_those_fields_say_nothing_otherwise() -> None:
    more = bytes((LEASE_TIME, 4, 0, 0, 14, 16, 255))
    assert LEASE_TIME not in decode(answer("nak", QUESTION, "pad", file=more)).options


def test_an_option_in_pieces_is_one() -> None:
    whole = answer("offer", QUESTION, ("router", "192.0.2.1"), ("router", "192.0.2.2"))
    assert decode(whole).options[ROUTERS] == bytes((192, 0, 2, 1, 192, 0, 2, 2))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too short"),
        (QUESTION, "not a reply to an Ethernet device"),
        (answer("offer", QUESTION)[:239], "too short"),
        (answer("offer", QUESTION, htype=6), "Ethernet"),
        (answer("offer", QUESTION, hlen=16), "Ethernet"),
        (answer("offer", QUESTION, options=b"abcd"), "Ethernet"),
        (answer("discover", QUESTION), "not an OFFER, ACK or NAK"),
        (answer("offer", QUESTION)[:240], "not an OFFER, ACK or NAK"),
        (answer("offer", QUESTION)[:240] + b"\x35\x02\x02", "not an OFFER, ACK or NAK"),
        (answer("offer", QUESTION)[:240] + b"\x35", "not an OFFER, ACK or NAK"),
        (answer("offer", QUESTION, ("message-type", "ack")), "not an OFFER, ACK or NAK"),
    ],
)
def test_what_is_no_answer_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(MessageError, match=why):
        decode(data)


HEAD = answer("offer", QUESTION)[:243]


@pytest.mark.parametrize(
    ("tail", "fault"),
    [
        (b"\x01\x04\xff\xff\xff\x00\x03\x08\xc0\x00\x02\x01", "its option 3 is truncated"),
        (b"\x01\x04\xff\xff\xff\x00\x03", "its option 3 is truncated"),
        (b"\x01\x04\xff\xff\xff\x00\x34\x01\x09", "its option 52 is malformed"),
        (b"\x01\x04\xff\xff\xff\x00\x34\x02\x01\x01", "its option 52 is malformed"),
    ],
)
def test_what_is_malformed_is_left_out_and_named(tail: bytes, fault: str) -> None:
    message = decode(HEAD + tail)
    assert message.faults == (fault,)
    assert message.options[MASK] == bytes((255, 255, 255, 0))
    assert ROUTERS not in message.options


def test_an_option_of_a_fixed_size_that_comes_twice_is_one() -> None:
    """RFC 3396 would join the two to one of twice the size."""
    one = (SERVER_ID, bytes((192, 0, 2, 1)))
    assert decode(answer("offer", QUESTION, one, one)).options[SERVER_ID] == one[1]
    other = (SERVER_ID, bytes((192, 0, 2, 2)))
    assert len(decode(answer("offer", QUESTION, one, other)).options[SERVER_ID]) == 8
    half = (LEASE_TIME, bytes((0, 1)))
    assert decode(answer("offer", QUESTION, half, half)).options[LEASE_TIME] == half[1] * 2


def test_a_reply_is_to_one_request() -> None:
    data = answer("offer", QUESTION)
    assert is_reply(data, 0x01020304, MAC)
    assert not is_reply(data, 0x01020305, MAC)
    assert not is_reply(data, 0x01020304, MAC[::-1])
    assert not is_reply(QUESTION, 0x01020304, MAC)
    assert not is_reply(data[:239], 0x01020304, MAC)


FIELDS = st.sampled_from(range(1, 255))
OPTIONS = st.lists(st.tuples(FIELDS, st.binary(max_size=40)), max_size=12)


@given(st.binary(max_size=1472))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except MessageError:
        return


@settings(max_examples=300)
@given(st.sampled_from((2, 5, 6)), OPTIONS, st.integers(0, 400), st.binary(max_size=1))
def test_whatever_options_come_a_lease_is_made_or_refused(
    kind: int, options: list[tuple[int, bytes]], cut: int, junk: bytes
) -> None:
    told = b"".join(bytes((code, len(value))) + value for code, value in options)
    data = answer("offer", QUESTION)[:240] + bytes((53, 1, kind)) + told + junk
    try:
        message = decode(data[: len(data) - cut])
        found = offer_from_message(message, bytes((192, 0, 2, 1)), ()).lease
    except (MessageError, LeaseError):
        return
    assert lease.unpack(found.pack(), ()) == found


@given(OPTIONS)
def test_options_that_scapy_writes_are_read_as_they_are(options: list[tuple[int, bytes]]) -> None:
    special = {OVERLOAD, MESSAGE_TYPE}
    told = {code: value for code, value in options if code not in special}
    read = decode(answer("ack", QUESTION, "pad", *told.items())).options
    assert read == {MESSAGE_TYPE: b"\x05", **told}
