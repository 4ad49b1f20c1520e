"""Offers as real servers send them: what is taken of them, and what is said about the rest."""

from __future__ import annotations

from typing import Any

import pytest

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp import lease, message
from pbrinit.wire.dhcp.message import decode, encode
from pbrinit.wire.dhcp.offer import MAX_REMARKS, Offer, offer_from_message
from tests.support.dhcp_bytes import OFFERED, answer

QUESTION = encode(message.DISCOVER, 1, bytes.fromhex("52540012345a"))
TAKEN = ((10 << 24, 16),)
SENDER = bytes((192, 0, 2, 1))
NAMES = {1: "subnet_mask", 3: "router", 6: "name_server", 51: "lease_time", 54: "server_id"}
ROUTES = "classless_static_routes"
ORDINARY = "192.0.2.77/24,192.0.2.1,192.0.2.1"
BY_BROADCAST = "192.0.2.77/24,192.0.2.1,any"


def offered(*changes: Any, address: str = "192.0.2.77", **fields: Any) -> Offer:
    """What is read of an offer with some options changed; None takes one away."""
    options = {o[0]: o for o in OFFERED} | {NAMES.get(o[0], o[0]): o for o in changes}
    told = [o for o in options.values() if o[1] is not None]
    told += [o for number, o in enumerate(changes) if o in changes[:number]]
    data = answer("offer", QUESTION, *told, address=address, **fields)
    found = offer_from_message(decode(data), SENDER, TAKEN)
    assert lease.unpack(found.lease.pack(), TAKEN) == found.lease
    return found


def test_an_ordinary_offer_has_nothing_to_remark() -> None:
    found = offered()
    assert found.lease.as_assignment(0) == ORDINARY
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("changes", "taken", "remark"),
    [
        ([("server_id", None)], BY_BROADCAST, "it has no usable server identifier: 192.0.2.1 is"),
        ([("server_id", "255.255.255.255")], BY_BROADCAST,
         "its server identifier 255.255.255.255 is left out: it is not a server's address"),
        ([("server_id", "0.0.0.0")], BY_BROADCAST, "it is not a server's address"),
        ([("server_id", "192.0.2.77")], BY_BROADCAST, "left out: it is the assigned address"),
        ([("server_id", "10.0.3.4")], BY_BROADCAST, "left out: it is behind another interface"),
        ([(54, b"\xc0\x00\x02")], BY_BROADCAST, "server identifier is left out: it has 3 bytes"),
        ([(54, b"\xc0\x00\x02\x01\xc0\x00\x02\x02")], BY_BROADCAST, "it has 8 bytes, not 4"),
        ([("server_id", "192.0.2.1")] * 2, ORDINARY, None),
        ([("server_id", "169.254.169.254")], "192.0.2.77/24,192.0.2.1,169.254.169.254", None),
        ([("server_id", "169.254.169.254"), ("router", None)], "192.0.2.77/24,,any",
         "its server 169.254.169.254 is reached by no route"),
        ([("server_id", "203.0.113.1"), ("router", None)], "192.0.2.77/24,,any",
         "more time is asked for by broadcast"),
        ([("server_id", "203.0.113.1"), (ROUTES, ["203.0.113.0/24:192.0.2.9"])],
         "192.0.2.77/24,,203.0.113.1,203.0.113.0/24=192.0.2.9", None),
        ([("lease_time", None)], ORDINARY, "it has no lease time: it is used for 3600 s"),
        ([(51, b"\x0e\x10")], ORDINARY, "its lease time is left out: it has 2 bytes, not 4"),
        ([("lease_time", 3600)] * 2, ORDINARY, None),
        ([("subnet_mask", None)], ORDINARY, "no subnet mask: /24 is used, by the address's class"),
        ([("subnet_mask", "255.0.255.0")], ORDINARY, "it has no valid subnet mask (0xff00ff00)"),
        ([("subnet_mask", "0.0.0.0")], ORDINARY, "it has no valid subnet mask (0x00000000)"),
        ([(1, b"\xff\xff\xff")], ORDINARY, "its subnet mask is left out: it has 3 bytes, not 4"),
        ([("subnet_mask", "255.255.255.0")] * 2, ORDINARY, None),
        ([("router", "0.0.0.0")], "192.0.2.77/24,,192.0.2.1", "its router 0.0.0.0 is left out"),
        ([("router", "192.0.2.255")], "192.0.2.77/24,,192.0.2.1", "router 192.0.2.255 is left out"),
        ([("router", "192.0.2.77")], "192.0.2.77/24,,192.0.2.1", "router 192.0.2.77 is left out"),
        ([("router", "0.0.0.0", "192.0.2.3")], "192.0.2.77/24,192.0.2.3,192.0.2.1", "0.0.0.0 is"),
        ([("router", "192.0.2.1")] * 2, ORDINARY, None),
        ([(3, b"\xc0\x00\x02\x01\xc0")], ORDINARY, "its routers are not whole addresses"),
        ([(3, b"")], "192.0.2.77/24,,192.0.2.1", None),
        ([(6, b"\xc0\x00\x02\x35\xc0")], ORDINARY, "its resolvers are not whole addresses"),
        ([("name_server", "127.0.0.1", "192.0.2.5")], ORDINARY, "resolver 127.0.0.1 is left out"),
        ([("renewal_time", 4000)], ORDINARY, "its renewal time of 4000 s is left out"),
        ([("rebinding_time", 0)], ORDINARY, "its rebinding time of 0 s is left out"),
        ([(58, b"\x01")], ORDINARY, "its renewal time is left out: it has 1 bytes, not 4"),
        ([(121, b"")], ORDINARY, "its option 121 is malformed"),
        ([(121, bytes((33, 1, 2, 3, 4, 5, 6, 7, 8, 9)))], ORDINARY, "its option 121 is malformed"),
        ([(121, bytes((24, 198, 51, 100, 192, 0, 2)))], ORDINARY, "its option 121 is malformed"),
        ([(121, bytes((0, 192, 0, 2, 3, 24, 198)))], "192.0.2.77/24,192.0.2.3,192.0.2.1",
         "its option 121 is malformed: the rest of it is left out"),
        ([(ROUTES, ["198.51.100.0/24:192.0.2.77"])], "192.0.2.77/24,,192.0.2.1",
         "its route to 198.51.100.0/24 via 192.0.2.77 is left out: "),
        ([(ROUTES, ["198.51.100.0/24:192.0.2.9"] * 2)],
         "192.0.2.77/24,,192.0.2.1,198.51.100.0/24=192.0.2.9", None),
    ],
)  # fmt: skip
def test_what_real_servers_send_is_taken_and_what_is_left_out_is_said(
    changes: list[Any], taken: str, remark: str | None
) -> None:
    found = offered(*changes)
    assert found.lease.as_assignment(0) == taken
    if remark is None:
        assert found.remarks == ()
    else:
        assert remark in "; ".join(found.remarks)


ALONE = ("subnet_mask", "255.255.255.255")
CLOUD = ("router", "192.0.3.1")


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ([ALONE], "192.0.2.77/32,192.0.2.1,192.0.2.1,192.0.2.1/32="),
        ([ALONE, CLOUD], "192.0.2.77/32,192.0.3.1,192.0.2.1,192.0.3.1/32="),
        ([ALONE, (ROUTES, ["192.0.3.1/32:0.0.0.0", "0.0.0.0/0:192.0.3.1"])],
         "192.0.2.77/32,192.0.3.1,192.0.2.1,192.0.3.1/32="),
        ([ALONE, (ROUTES, ["0.0.0.0/0:192.0.3.1", "192.0.3.0/24:0.0.0.0"])],
         "192.0.2.77/32,192.0.3.1,192.0.2.1,192.0.3.0/24="),
        ([ALONE, (ROUTES, ["0.0.0.0/0:192.0.3.1"])],
         "192.0.2.77/32,192.0.3.1,192.0.2.1,192.0.3.1/32="),
        ([ALONE, (ROUTES, ["198.51.100.0/24:192.0.3.9", "0.0.0.0/0:192.0.3.1"])],
         "192.0.2.77/32,192.0.3.1,192.0.2.1,192.0.3.1/32=,192.0.3.9/32=,198.51.100.0/24=192.0.3.9"),
        ([(ROUTES, ["192.0.3.1/32:0.0.0.0", "0.0.0.0/0:192.0.3.1"])],
         "192.0.2.77/24,192.0.3.1,192.0.2.1,192.0.3.1/32="),
        ([ALONE, ("router", "169.254.1.1")],
         "192.0.2.77/32,169.254.1.1,192.0.2.1,169.254.1.1/32="),
        ([("subnet_mask", "255.255.255.254"), ("router", "192.0.2.76")],
         "192.0.2.77/31,192.0.2.76,192.0.2.1"),
        ([(ROUTES, ["169.254.169.254/32:192.0.2.1", "0.0.0.0/0:192.0.2.1"])],
         "192.0.2.77/24,192.0.2.1,192.0.2.1,169.254.169.254/32=192.0.2.1"),
    ],
)  # fmt: skip
def test_a_router_beyond_the_prefix_is_on_the_link(changes: list[Any], taken: str) -> None:
    found = offered(*changes)
    assert found.lease.as_assignment(0) == taken
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ([CLOUD], "its router 192.0.3.1 is left out"),
        ([ALONE, ("router", "10.0.0.9")], "its router 10.0.0.9 is left out"),
        ([ALONE, ("router", "127.0.0.1")], "its router 127.0.0.1 is left out"),
        ([ALONE, ("router", "169.254.77.1")], "its router 169.254.77.1 is left out"),
        ([ALONE, ("router", "192.0.2.77")], "its router 192.0.2.77 is left out"),
        ([(ROUTES, ["10.0.0.9/32:0.0.0.0", "0.0.0.0/0:10.0.0.9"])], "overlaps with 10.0.0.0/16"),
        ([(ROUTES, ["0.0.0.0/0:0.0.0.0"])], "its router 0.0.0.0 is left out"),
    ],
)
def test_a_router_that_cannot_be_beyond_is_left_out(changes: list[Any], remark: str) -> None:
    found = offered(*changes)
    assert found.lease.gateway is None
    assert remark in "; ".join(found.remarks)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([("subnet_mask", "254.0.0.0")], "length of 7"),
        ([("lease_time", 59)], "minimum is 60 s"),
        ([("lease_time", 0)], "minimum is 60 s"),
    ],
)
def test_what_is_needed_and_cannot_be_used_is_refused_with_a_reason(
    changes: list[Any], why: str
) -> None:
    with pytest.raises(LeaseError, match=why):
        offered(*changes)


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("100.64.3.4", "100.64.3.4/8,100.64.0.1,100.64.0.1"),
        ("172.16.3.4", "172.16.3.4/16,172.16.0.1,172.16.0.1"),
        ("203.0.113.4", "203.0.113.4/24,203.0.113.1,203.0.113.1"),
    ],
)
def test_without_a_mask_the_class_decides(address: str, taken: str) -> None:
    _, router, server = taken.split(",")
    changes = (("subnet_mask", None), ("router", router), ("server_id", server))
    assert offered(*changes, address=address).lease.as_assignment(0) == taken


def test_the_next_server_is_the_server_where_no_identifier_says_who_is() -> None:
    found = offered(("server_id", None), siaddr="192.0.2.4")
    assert (found.lease.server, found.identifier) == ("192.0.2.4", None)
    found = offered(("server_id", None), siaddr="0.0.0.0")
    assert found.lease.server == "192.0.2.1"


def test_an_identifier_that_cannot_be_used_is_still_repeated_to_the_server() -> None:
    assert offered(("server_id", "10.0.3.4")).identifier == bytes((10, 0, 3, 4))


def test_a_resolver_of_a_cloud_is_link_local() -> None:
    found = offered(("name_server", "169.254.169.254"))
    assert (found.lease.resolvers, found.remarks) == (("169.254.169.254",), ())


def test_an_infinite_lease_is_renewed_never_and_nothing_is_said() -> None:
    ever = 0xFFFFFFFF
    found = offered(("lease_time", ever), ("renewal_time", ever), ("rebinding_time", ever))
    assert found.remarks == ()


def test_an_option_in_pieces_is_taken_whole() -> None:
    routes = bytes((24, 198, 51, 100, 192, 0, 2, 9, 0, 192, 0, 2, 3))
    data = answer("offer", QUESTION, *OFFERED, (121, routes[:5]), (121, routes[5:]))
    found = offer_from_message(decode(data), SENDER, TAKEN)
    expected = "192.0.2.77/24,192.0.2.3,192.0.2.1,198.51.100.0/24=192.0.2.9"
    assert found.lease.as_assignment(0) == expected


def test_remarks_are_not_without_end() -> None:
    found = offered(("router", *(f"192.0.3.{number}" for number in range(1, 60))))
    assert len(found.remarks) == MAX_REMARKS + 1
    assert found.remarks[-1] == f"{59 - MAX_REMARKS} more things of it are left out"
