"""What a router's word is held to, and what crosses the pipe."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.net.addresses import Family
from pbrinit.policy import room_addresses
from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.ndp import address
from pbrinit.wire.ndp.address import AdvertisedAddress, check_address, eui64_address

ONE = AdvertisedAddress(
    address="2001:db8:1::7",
    length=64,
    router="fe80::1",
    seconds=3600,
    gateway_seconds=1800,
    resolvers=("2001:db8::53",),
)
TAKEN = ((0x20010DB8_00100000 << 64, 48),)


def test_an_address_is_made_of_the_prefix_and_the_card() -> None:
    """RFC 4291, appendix A."""
    made = eui64_address(IPv6Address("2001:db8::").packed, bytes.fromhex("525400123456"))
    assert str(IPv6Address(made)) == "2001:db8::5054:ff:fe12:3456"


def test_the_inside_of_rooms_is_the_policys() -> None:
    network = room_addresses.ROOM_PREFIX[Family.V6]
    assert (int(network.network_address), network.prefixlen) == address.ROOM_PREFIX


@pytest.mark.parametrize(
    ("address", "length", "gateway", "why"),
    [
        ("2001:db8::7", 48, None, "length of 48"),
        ("2001:db8::7", 65, None, "length of 65"),
        ("fe80::7", 64, None, "not a host's address"),
        ("ff02::7", 64, None, "not a host's address"),
        ("::1", 64, None, "not a host's address"),
        ("::7", 64, None, "not a host's address"),
        ("64:ff9b::7", 64, None, "not a host's address"),
        ("fec0::7", 64, None, "not a host's address"),
        ("4000::7", 64, None, "not a host's address"),
        ("fd70:6272:696e:6974::7", 64, None, "overlaps with fd70:6272:696e:6974::/112"),
        ("2001:db8:10:5::7", 64, None, "overlaps with 2001:db8:10::/48"),
        ("2001:db8::7", 64, "2001:db8::1", "not another host of the link"),
        ("2001:db8::7", 64, "::", "not another host of the link"),
        ("2001:db8::7", 64, "fe80::", "not another host of the link"),
        ("2001:db8::7", 64, "fe80::7", "not another host of the link"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(
    address: str, length: int, gateway: str | None, why: str
) -> None:
    with pytest.raises(LeaseError, match=why):
        check_address(address, length, gateway, TAKEN)


@pytest.mark.parametrize("address", ["2001:db8::7", "fd00::7", "3fff::7"])
def test_a_hosts_address_is_used(address: str) -> None:
    check_address(address, 64, "fe80::1", TAKEN)
    check_address(address, 64, None, TAKEN)


def test_what_is_packed_is_unpacked() -> None:
    assert address.unpack(ONE.pack(), TAKEN) == ONE
    bare = AdvertisedAddress(**{**vars(ONE), "gateway_seconds": 0, "resolvers": ()})
    assert address.unpack(bare.pack(), TAKEN) == bare


@pytest.mark.parametrize(
    "change",
    [{"seconds": 0}, {"seconds": 1 << 31}, {"gateway_seconds": 1 << 31}, {"router": "2001:db8::1"},
     {"address": "fe80::9"}, {"address": "2001:db8:10::9"}],
)  # fmt: skip
def test_what_crosses_the_pipe_is_checked_again(change: dict[str, object]) -> None:
    with pytest.raises(LeaseError):
        address.unpack(AdvertisedAddress(**{**vars(ONE), **change}).pack(), TAKEN)


@given(st.binary(min_size=88, max_size=88) | st.binary(max_size=100))
def test_whatever_crosses_the_pipe_is_read_or_refused(data: bytes) -> None:
    try:
        found = address.unpack(data, TAKEN)
    except LeaseError:
        return
    check_address(found.address, 64, found.router, TAKEN)


def test_resolvers_on_the_link_are_not_used_nor_more_than_three() -> None:
    texts = ["fe80::53", "ff02::fb", "::1", *(f"2001:db8::{n}" for n in (1, 1, 2, 3, 4))]
    packed = (IPv6Address(text).packed for text in texts)
    assert address.usable_resolvers(packed) == ("2001:db8::1", "2001:db8::2", "2001:db8::3")


def test_the_way_to_everybody_else_may_be_over_before_the_address_is() -> None:
    assert ONE.as_assignment(0) == "2001:db8:1::7/64,fe80::1"
    assert ONE.as_assignment(1800) == "2001:db8:1::7/64,"
    assert ONE.as_assignment(3600) is None
    assert ONE.change_times() == (1800, 3600)
    assert ONE.describe(0) == "2001:db8:1::7/64, gateway fe80::1 for 3600 s from fe80::1"
    assert ONE.describe(1800.5) == "2001:db8:1::7/64 for 1800 s from fe80::1"
