"""What a lease is held to, whoever gave it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp import classless_routes, lease, message
from pbrinit.wire.dhcp.lease import Lease
from pbrinit.wire.dhcp.message import decode, encode
from pbrinit.wire.dhcp.offer import offer_from_message
from tests.support.dhcp_bytes import OFFERED, answer

QUESTION = encode(message.DISCOVER, 1, bytes.fromhex("52540012345a"))
TAKEN = ((10 << 24, 16),)
ROUTES = "classless_static_routes"


def offered(*changes: Any, address: str = "192.0.2.77") -> Lease:
    """The lease of an offer with some options changed; None takes one away."""
    options = {o[0]: o for o in OFFERED} | {o[0]: o for o in changes}
    told = [o for o in options.values() if o[1] is not None]
    message = decode(answer("offer", QUESTION, *told, address=address))
    return offer_from_message(message, bytes((192, 0, 2, 1)), TAKEN).lease


def test_an_ordinary_offer() -> None:
    assert offered() == Lease(
        address="192.0.2.77",
        length=24,
        gateway="192.0.2.1",
        server="192.0.2.1",
        by_broadcast=False,
        seconds=3600,
        renew=1800,
        rebind=3150,
        resolvers=("192.0.2.53", "192.0.2.54"),
        routes=(),
    )


def test_a_lease_without_gateway_and_resolvers() -> None:
    found = offered(("router", None), ("name_server", None))
    assert (found.gateway, found.resolvers) == (None, ())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "not a host's address"),
        ("0.0.0.9", "not a host's address"),
        ("127.0.0.5", "not a host's address"),
        ("169.254.7.7", "not a host's address"),
        ("224.0.0.7", "not a host's address"),
        ("240.0.0.7", "not a host's address"),
        ("255.255.255.255", "not a host's address"),
        ("192.0.2.0", "network's own"),
        ("192.0.2.255", "broadcast address"),
        ("10.0.7.7", "overlaps with 10.0.0.0/16"),
    ],
)
def test_an_address_that_nobody_may_have_is_refused(address: str, why: str) -> None:
    with pytest.raises(LeaseError, match=why):
        offered(("router", None), address=address)


def test_a_prefix_that_holds_another_interfaces_or_nobodys_is_refused() -> None:
    with pytest.raises(LeaseError, match=r"overlaps with 169\.254\.0\.0/16"):
        offered(("subnet_mask", "255.0.0.0"), ("router", None), address="169.1.2.3")
    with pytest.raises(LeaseError, match="overlaps"):
        offered(("subnet_mask", "255.0.0.0"), ("router", None), address="10.200.0.9")


def test_the_servers_times_hold_where_they_follow_one_another() -> None:
    found = offered(("renewal_time", 100), ("rebinding_time", 200))
    assert (found.renew, found.rebind) == (100, 200)


@pytest.mark.parametrize(("renew", "rebind"), [(0, 0), (200, 100), (4000, 4100), (0xFFFFFFFF, 7)])
def test_times_that_do_not_are_the_usual_ones(renew: int, rebind: int) -> None:
    found = offered(("renewal_time", renew), ("rebinding_time", rebind))
    assert 5 <= found.renew < found.rebind < found.seconds


def test_for_ever_is_a_long_time() -> None:
    assert offered(("lease_time", 0xFFFFFFFF)).seconds == 0x7FFFFFFF


def test_of_routes_the_default_is_the_gateway_and_the_router_is_not() -> None:
    """RFC 3442: where a client is told routes, it does not read the routers."""
    told = ["198.51.100.0/24:192.0.2.9", "0.0.0.0/0:192.0.2.3"]
    both, one = (offered((ROUTES, routes)) for routes in (told, told[:1]))
    assert (both.gateway, one.gateway) == ("192.0.2.3", None)
    assert both.routes == one.routes == (("198.51.100.0/24", "192.0.2.9"),)


@pytest.mark.parametrize(
    "route",
    [
        "198.51.100.0/24:198.51.100.1", "198.51.100.0/24:192.0.2.77", "198.51.100.0/24:192.0.2.255",
        "10.0.5.0/24:0.0.0.0", "192.0.2.128/25:192.0.2.9", "192.0.2.0/24:192.0.2.9",
        "10.0.5.0/24:192.0.2.9", "10.0.0.0/8:192.0.2.9", "127.0.0.0/8:192.0.2.9",
        "169.254.77.0/24:192.0.2.9", "224.0.0.0/8:192.0.2.9", "64.0.0.0/7:192.0.2.9",
        "203.0.113.0/24:192.0.2.8",
    ],
)  # fmt: skip
def test_a_route_that_leads_to_nobody_or_by_nobody_is_left_out(route: str) -> None:
    sound = "203.0.113.0/24:192.0.2.9"
    assert offered((ROUTES, [sound, route])).routes == (("203.0.113.0/24", "192.0.2.9"),)


def test_routes_may_lie_in_one_another_and_around_the_link() -> None:
    told = ["192.0.0.0/8:192.0.2.9", "203.0.113.0/24:192.0.2.9", "203.0.113.64/26:192.0.2.8"]
    assert len(offered((ROUTES, told)).routes) == 3


def test_a_route_without_a_router_is_on_the_link_and_routers_may_be_there() -> None:
    """RFC 3442: a router of 0.0.0.0 is none."""
    found = offered((ROUTES, ["203.0.113.0/24:198.51.100.1", "198.51.100.0/24:0.0.0.0"]))
    assert found.routes == (("198.51.100.0/24", "0.0.0.0"), ("203.0.113.0/24", "198.51.100.1"))
    assert "198.51.100.0/24 on the link" in found.describe(0)


def test_bits_beyond_a_routes_length_are_not_looked_at() -> None:
    option = bytes((25, 203, 0, 113, 132, 192, 0, 2, 9))
    assert offered((message.CLASSLESS_ROUTES, option)).routes == (
        ("203.0.113.128/25", "192.0.2.9"),
    )


def test_no_more_routes_are_used_than_have_a_place() -> None:
    found = offered((ROUTES, [f"172.16.{number}.0/24:192.0.2.9" for number in range(20)]))
    assert len(found.routes) == classless_routes.MAX_ROUTES
    assert lease.unpack(found.pack(), TAKEN) == found


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        ([("10.0.5.0/24", "192.0.2.9")], "overlaps with 10.0.0.0/16"),
        ([("198.51.100.0/24", "10.0.0.9")], "router is not another host of the address's prefix"),
        ([("198.51.100.1/24", "192.0.2.9")], "bits set beyond its length"),
        ([("192.0.2.0/25", "192.0.2.9")], "own prefix, which is on the link"),
        ([("198.51.100.0/200", "192.0.2.9")], "length is not from 8 to 32"),
        ([("198.51.100.0/24", "192.0.2.9")] * 2, "is listed twice"),
    ],
)
def test_bytes_with_a_route_that_cannot_be_used_are_no_lease(
    routes: list[tuple[str, str]], why: str
) -> None:
    found = offered()
    found.routes = tuple(routes)
    with pytest.raises(LeaseError, match=why):
        lease.unpack(found.pack(), TAKEN)


def test_a_lease_is_written_and_told_with_its_routes() -> None:
    found = offered((ROUTES, ["198.51.100.0/24:192.0.2.9", "0.0.0.0/0:192.0.2.3"]))
    assert found.as_assignment(0) == "192.0.2.77/24,192.0.2.3,192.0.2.1,198.51.100.0/24=192.0.2.9"
    assert found.describe(0) == (
        "192.0.2.77/24, gateway 192.0.2.3, 198.51.100.0/24 via 192.0.2.9 for 3600 s from 192.0.2.1"
    )


def test_resolvers_that_are_no_host_are_left_out() -> None:
    found = offered(("name_server", "0.0.0.0", "255.255.255.255", "192.0.2.53", "127.0.0.1"))
    assert found.resolvers == ("192.0.2.53",)


def test_a_lease_is_the_same_once_it_was_bytes() -> None:
    found = offered()
    assert lease.unpack(found.pack(), TAKEN) == found
    with pytest.raises(LeaseError, match="wrong size"):
        lease.unpack(found.pack()[:-1], TAKEN)


@settings(max_examples=500)
@given(st.binary(min_size=lease.RECORD.size, max_size=lease.RECORD.size))
def test_any_bytes_are_a_lease_that_can_be_used_or_none(data: bytes) -> None:
    try:
        found = lease.unpack(data, TAKEN)
    except LeaseError:
        return
    lease.check_lease(found, TAKEN)
