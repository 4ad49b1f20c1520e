"""A set of addresses as longest prefixes tells just what it is made of, in few words."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from pbrinit.compiler import prefix_cover
from pbrinit.net.addresses import AddressSet, Family

V4 = Family.V4
EVERYBODY = AddressSet.everything(V4)


def a_set(*prefixes: str) -> AddressSet:
    return AddressSet.from_prefixes(V4, map(ip_network, prefixes))


def said(found: tuple[prefix_cover.PrefixRule, ...], address: int) -> bool:
    holds = (p for p in found if p.prefix is None or int(p.prefix.network_address) <= address
             <= int(p.prefix.broadcast_address))  # fmt: skip
    return next((piece.include for piece in holds), False)


ranges = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=6)


def drawn(found: list[tuple[int, int]]) -> AddressSet:
    sets = (AddressSet(V4, ((min(r), max(r)),)) for r in found)
    joined = AddressSet(V4)
    for one in sets:
        joined = joined | one
    return joined


@given(ranges, ranges)
def test_what_matters_is_told_apart(
    meant: list[tuple[int, int]], rest: list[tuple[int, int]]
) -> None:
    yes, matter = drawn(meant), drawn(meant) | drawn(rest)
    found = prefix_cover.cover(yes, matter)
    for address in range(256):
        if address in matter:
            assert said(found, address) == (address in yes)


@given(ranges)
def test_no_plain_form_is_shorter(meant: list[tuple[int, int]]) -> None:
    yes = drawn(meant)
    whole = AddressSet(V4, ((0, 255),))
    found = prefix_cover.cover(yes, whole)
    assert len(found) <= min(len(yes.prefixes), len((whole - yes).prefixes) + 1)


def test_everybody_but_a_few_is_those_few() -> None:
    found = prefix_cover.cover(EVERYBODY - a_set("10.0.0.0/8", "192.0.2.1/32"), EVERYBODY)
    assert [(str(p.prefix), p.include) for p in found] == [
        ("192.0.2.1/32", False), ("10.0.0.0/8", False), ("None", True),
    ]  # fmt: skip


def test_a_network_without_some_hosts_is_that_network_and_those_hosts() -> None:
    found = prefix_cover.cover(a_set("10.0.0.0/8") - a_set("10.1.2.3/32"), EVERYBODY)
    assert [(str(p.prefix), p.include) for p in found] == [
        ("10.1.2.3/32", False),
        ("10.0.0.0/8", True),
    ]


def test_nobody_is_nothing() -> None:
    assert prefix_cover.cover(AddressSet(V4), EVERYBODY) == ()
    assert prefix_cover.cover(a_set("10.0.0.0/8"), a_set("11.0.0.0/8")) == ()


def test_a_hundred_thousand_are_taken_in_the_shorter_plain_form() -> None:
    many = AddressSet(V4, tuple((n << 12, n << 12) for n in range(1, 100_001)))
    allow, deny = (
        prefix_cover.cover(many, EVERYBODY),
        prefix_cover.cover(EVERYBODY - many, EVERYBODY),
    )
    assert len(allow) == 100_000
    assert len(deny) == 100_001
    assert deny[-1] == prefix_cover.PrefixRule(None, include=True)
