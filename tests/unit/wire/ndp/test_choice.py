"""Which of all that routers offer is used: which prefix, and which router."""

from __future__ import annotations

import pytest

from pbrinit.wire.ndp.candidates import MAX_ENTRIES
from tests.support.ra_bytes import RESOLVERS, prefix, resolvers, says
from tests.unit.wire.ndp.test_client import (
    FIRST,
    IDENTIFIED,
    OTHER,
    ROUTER,
    SECOND,
    Played,
    holding,
)

LOCAL = "fd12:3456:789a::"
OF_LOCAL = f"fd12:3456:789a:0:{IDENTIFIED}/64"
HIGH, MEDIUM, RESERVED, LOW = 1, 0, 2, 3
"""Router preferences as they are written (RFC 4191, section 2.1)."""


def test_a_global_prefix_comes_before_a_unique_local_one() -> None:
    for options in ((prefix(LOCAL), prefix()), (prefix(), prefix(LOCAL))):
        played = holding(*options)
        assert played.written == f"{FIRST},{ROUTER}"
        local = OF_LOCAL.removesuffix("/64")
        assert played.client.remarks == (
            f"{local} is not used: a policy has one address by advertisement",
        )


def test_a_global_prefix_that_comes_later_takes_the_place_of_a_unique_local_one() -> None:
    """The second case: a router that is none yet says the local one, thirty seconds before."""
    played = Played()
    played.until(1002)
    played.hears(says(prefix(LOCAL), seconds=0))
    assert played.written == f"{OF_LOCAL},"
    played.until(1032)
    played.hears(says(prefix(LOCAL), prefix()))
    assert played.written == f"{FIRST},{ROUTER}"
    played.hears(says(prefix(LOCAL), prefix()))
    assert played.written == f"{FIRST},{ROUTER}"


def test_when_the_global_prefix_is_deprecated_the_unique_local_one_is_used() -> None:
    played = holding(prefix(LOCAL), prefix())
    played.hears(says(prefix(LOCAL), prefix(preferredlifetime=0)))
    assert played.written == f"{OF_LOCAL},{ROUTER}"
    played.hears(says(prefix(LOCAL), prefix()))
    assert played.written == f"{FIRST},{ROUTER}"


def test_a_prefix_is_deprecated_when_its_time_is_over_although_nobody_says_so() -> None:
    played = holding(prefix(LOCAL), prefix(preferredlifetime=100))
    played.until(1101)
    assert played.written == f"{OF_LOCAL},{ROUTER}"


def test_a_prefix_that_is_not_on_the_link_makes_an_address_alone() -> None:
    """Its hosts are reached by the router (RFC 4861, section 6.3.4)."""
    alone = FIRST.replace("/64", "/128")
    assert holding(prefix(L=0)).written == f"{alone},{ROUTER}"
    assert holding(prefix(L=0), prefix()).written == f"{FIRST},{ROUTER}"
    assert holding(prefix(), prefix(L=0)).written == f"{FIRST},{ROUTER}"
    played = holding()
    played.until(1010)
    played.hears(says(prefix(L=0)))
    assert played.written == f"{alone},{ROUTER}"


def test_one_router_gives_the_prefix_and_another_is_the_default() -> None:
    for said in (((prefix(),), 0, ROUTER), ((), 1800, OTHER)), (
        ((), 1800, OTHER), ((prefix(),), 0, ROUTER),
    ):  # fmt: skip
        played = Played()
        for options, seconds, source in said:
            played.hears(says(*options, seconds=seconds), source)
        assert played.written == f"{FIRST},{OTHER}"


def test_the_default_router_that_gives_no_prefix_may_give_up() -> None:
    played = holding(prefix(), seconds=0)
    played.hears(says(seconds=1800), OTHER)
    played.until(1010)
    played.hears(says(seconds=0), OTHER)
    assert played.written == f"{FIRST},"


@pytest.mark.parametrize(
    ("first", "second", "used"),
    [
        (MEDIUM, HIGH, OTHER),
        (LOW, MEDIUM, OTHER),
        (LOW, RESERVED, OTHER),
        (MEDIUM, MEDIUM, ROUTER),
        (MEDIUM, RESERVED, ROUTER),
        (HIGH, MEDIUM, ROUTER),
        (MEDIUM, LOW, ROUTER),
    ],
)
def test_the_router_that_is_preferred_is_the_default(first: int, second: int, used: str) -> None:
    played = holding(prefix(), prf=first)
    played.hears(says(prefix(), prf=second), OTHER)
    assert played.written == f"{FIRST},{used}"


def test_a_router_that_is_no_default_has_no_preference() -> None:
    played = holding(prefix())
    played.hears(says(prefix(), prf=HIGH, seconds=0), OTHER)
    assert played.written == f"{FIRST},{ROUTER}"


def test_when_the_preferred_router_is_gone_the_other_one_is_used() -> None:
    played = holding(prefix(), prf=HIGH)
    played.hears(says(prefix("2001:db8:2::"), prf=LOW, seconds=9000), OTHER)
    assert played.written == f"{FIRST},{ROUTER}"
    played.until(1000 + 1801)
    assert played.written == f"{SECOND},{OTHER}"


def test_nothing_is_begun_with_a_deprecated_address() -> None:
    """One that was deprecated while another was in use, whose time is over then."""
    played = holding(prefix(validlifetime=90000))
    played.hears(says(prefix("2001:db8:2::", validlifetime=600, preferredlifetime=600)), OTHER)
    played.hears(says(prefix(validlifetime=90000, preferredlifetime=0), seconds=0))
    assert played.written == f"{SECOND},{OTHER}"
    played.until(1000 + 9000)
    assert played.written is None


def test_a_router_with_a_global_prefix_comes_before_one_with_a_unique_local_one() -> None:
    played = holding(prefix(LOCAL))
    played.hears(says(prefix("2001:db8:2::")), OTHER)
    assert played.written == f"{SECOND},{OTHER}"


def test_nobody_but_its_owner_takes_anything_from_a_prefix() -> None:
    played = holding(prefix(), seconds=65535)
    left = played.left
    for _ in range(9):
        played.hears(says(prefix(preferredlifetime=0), prefix(LOCAL)), OTHER)
        played.hears(says(prefix(validlifetime=0, preferredlifetime=0)), OTHER)
        played.hears(says(prefix(LOCAL)), OTHER)
    assert played.written == f"{FIRST},{ROUTER}"
    assert played.left == left


def test_another_router_keeps_a_prefix_alive_whose_owner_is_silent() -> None:
    played = holding(prefix(), prf=HIGH)
    for at in range(1000, 9000, 600):
        played.until(at)
        played.hears(says(prefix(), prf=LOW), OTHER)
    assert played.written == f"{FIRST},{OTHER}"
    played.hears(says(prefix(preferredlifetime=0), prefix("2001:db8:2::")), OTHER)
    assert played.written == f"{SECOND},{OTHER}"


def test_resolvers_are_those_of_the_router_that_is_used() -> None:
    played = holding(prefix(), resolvers(RESOLVERS[0]))
    played.hears(says(prefix(), resolvers(RESOLVERS[1]), prf=LOW), OTHER)
    assert played.resolvers == [RESOLVERS[0]]
    played.until(1010)
    played.hears(says(prefix(), seconds=0))
    assert played.resolvers == [RESOLVERS[1], RESOLVERS[0]]


@pytest.mark.parametrize("router", ["fe80::", f"fe80::{IDENTIFIED}"])
def test_nobody_is_a_router_who_cannot_be_another_host(router: str) -> None:
    played = Played()
    played.hears(says(prefix()), router)
    assert played.client.held is None
    assert played.client.rejection == f"the router {router} is not another host of the link"
    played.hears(says(prefix()))
    played.hears(says(prefix(), prf=HIGH), router)
    assert played.written == f"{FIRST},{ROUTER}"


def test_a_flood_of_prefixes_and_routers_costs_no_more_than_some() -> None:
    played = holding()
    for number in range(2000):
        said = says(prefix(f"2001:db8:{0x1000 + number:x}::"), prf=LOW, seconds=65535)
        played.hears(said, f"fe80::{0x1000 + number:x}")
    offered = played.client._offered
    assert len(offered.prefixes) == len(offered.routers) == MAX_ENTRIES
    assert len(offered.resolvers) <= 2 * MAX_ENTRIES
    assert len(played.client.remarks) < MAX_ENTRIES
    assert played.written == f"{FIRST},{ROUTER}"
