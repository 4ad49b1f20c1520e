"""Sets of addresses behave as sets of numbers do."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from pbrinit.net.addresses import AddressSet, Family

FIRST = int(ip_address("10.0.0.0"))
SMALL = range(FIRST, FIRST + 64)
PREFIXES = st.lists(
    st.integers(26, 32).flatmap(
        lambda length: st.integers(0, (1 << (length - 26)) - 1).map(
            lambda number: IPv4Network((FIRST + (number << (32 - length)), length))
        )
    )
)


def numbers(found: AddressSet) -> set[int]:
    return {value for value in SMALL if value in found}


@given(PREFIXES, PREFIXES)
def test_join_cut_and_difference_are_those_of_sets(
    one: list[IPv4Network], other: list[IPv4Network]
) -> None:
    a, b = AddressSet.from_prefixes(Family.V4, one), AddressSet.from_prefixes(Family.V4, other)
    assert numbers(a | b) == numbers(a) | numbers(b)
    assert numbers(a & b) == numbers(a) & numbers(b)
    assert numbers(a - b) == numbers(a) - numbers(b)
    assert (a <= b) == (numbers(a) <= numbers(b))
    assert a.overlaps(b) == bool(numbers(a) & numbers(b))
    assert AddressSet.from_ranges(Family.V4, [*b.ranges, *a.ranges]) == a | b


@given(PREFIXES)
def test_the_prefixes_of_a_set_hold_just_its_addresses(prefixes: list[IPv4Network]) -> None:
    found = AddressSet.from_prefixes(Family.V4, prefixes)
    assert AddressSet.from_prefixes(Family.V4, found.prefixes) == found
    assert AddressSet.from_prefixes(Family.V4, (~found).prefixes) == ~found
    assert ~~found == found
    assert found.prefix_count == len(found.prefixes)
    assert (~found).prefix_count == len((~found).prefixes)


def test_the_complement_of_one_prefix_is_as_many_as_it_is_long() -> None:
    for text, family in (("198.51.100.0/24", Family.V4), ("2001:db8::/48", Family.V6)):
        prefix = ip_network(text)
        assert len((~AddressSet.from_prefixes(family, [prefix])).prefixes) == prefix.prefixlen


def test_everything_is_one_prefix_and_nothing_is_none() -> None:
    for family in Family:
        everything = AddressSet.everything(family)
        assert [p.prefixlen for p in everything.prefixes] == [0]
        assert everything.is_everything
        assert not (~everything).prefixes
