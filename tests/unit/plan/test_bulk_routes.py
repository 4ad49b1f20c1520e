"""Messages made in bulk are those that are made one by one."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import pytest

from pbrinit.boot.network.links import _with_index
from pbrinit.net.addresses import Family
from pbrinit.plan import bulk_routes, messages
from pbrinit.plan.plan import Route, RouteType

NUMBERS = range(1, 5001)
FOUR = [ip_network((n << 12, 20 + n % 13), strict=False) for n in NUMBERS]
SIX = [ip_network((0x20010DB8 << 96 | n << 64, 64 + n % 65), strict=False) for n in NUMBERS]
FORMS = {
    "IPv4 by a gateway": [
        Route(Family.V4, 3000, RouteType.UNICAST, p, ip_address("192.0.2.1")) for p in FOUR
    ],
    "IPv4 on the link": [Route(Family.V4, 3001, RouteType.UNICAST, p) for p in FOUR],
    "IPv4 left out": [Route(Family.V4, 3002, RouteType.THROW, p) for p in FOUR],
    "IPv6 refused": [Route(Family.V6, 3003, RouteType.PROHIBIT, p) for p in SIX],
    "IPv6 by source": [Route(Family.V6, 3004, RouteType.LOCAL, source=p) for p in SIX],
}


@pytest.mark.parametrize("form", FORMS)
def test_each_message_is_the_one_of_its_route(form: str) -> None:
    routes = FORMS[form]
    single = [messages.route(route) for route in routes]
    size = len(single[0])
    made = b"".join(bulk_routes.pieces(single[0], routes))
    assert len(made) == size * len(routes)
    for number, message in enumerate(single):
        found = made[number * size : (number + 1) * size]
        assert found[:6] + found[12:] == message[:6] + message[12:]


@pytest.mark.parametrize("form", FORMS)
def test_the_last_of_each_piece_asks_for_an_answer_and_no_other(form: str) -> None:
    routes = FORMS[form]
    first = messages.route(routes[0])
    for piece in bulk_routes.pieces(first, routes):
        assert len(piece) <= bulk_routes.PIECE_SIZE
        heads = [
            struct.unpack_from("=HI", piece, at + 6) for at in range(0, len(piece), len(first))
        ]
        assert [bool(flags & 4) for flags, _ in heads] == [False] * (len(heads) - 1) + [True]
        assert [number for _, number in heads] == list(range(len(heads)))


def test_only_what_comes_in_numbers_is_made_in_bulk() -> None:
    lone = Route(Family.V4, 254, RouteType.UNICAST, gateway=ip_address("192.0.2.1"))
    many, few = bulk_routes.split([*FORMS["IPv4 left out"], lone, *FORMS["IPv6 by source"]])
    assert many == [FORMS["IPv4 left out"], FORMS["IPv6 by source"]]
    assert few == {lone}


def test_the_index_of_the_interface_is_set_in_every_message() -> None:
    routes = FORMS["IPv4 by a gateway"]
    first = messages.route(routes[0])
    message, (offset,) = messages.marked(first)
    piece = next(bulk_routes.pieces(message, routes))
    pointed = _with_index(piece, len(message), offset, 0x01020304)
    mark, index = struct.pack("=I", messages.INDEX), struct.pack("=I", 0x01020304)
    for at in range(0, len(piece), len(message)):
        assert piece[at + offset : at + offset + 4] == mark
        assert pointed[at + offset : at + offset + 4] == index
        assert pointed[at : at + offset] == piece[at : at + offset]
