"""Addresses reduced to classes: what no set and no table tells apart is one class."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from pbrinit.analysis.address_classes import AddressClasses
from pbrinit.model.tables import FibEntry
from pbrinit.net.addresses import AddressSet, Family, Prefix
from pbrinit.plan.plan import RouteType

MANY = 100_000
T = 4000


def four(*prefixes: str) -> AddressSet:
    return AddressSet.from_prefixes(Family.V4, map(ip_network, prefixes))


def route(
    destination: str | Prefix,
    kind: RouteType = RouteType.THROW,
    table: int = T,
    source: IPv6Network | None = None,
) -> FibEntry:
    return FibEntry(table, kind, ip_network(destination), "lo", source=source)


def test_addresses_of_the_same_sets_are_of_one_class() -> None:
    ten, part = four("10.0.0.0/8"), four("10.1.0.0/16", "11.0.0.0/8")
    classes = AddressClasses(Family.V4, [ten, part])
    assert len(classes) == 4
    same = (IPv4Address("10.0.0.1"), IPv4Address("10.255.255.255"))
    assert len({classes.number(address) for address in same}) == 1
    assert classes.addresses(classes.mask(ten)) == ten
    assert classes.addresses(classes.mask(part)) == part


prefixes = st.builds(
    lambda value, length: IPv4Network((value >> 32 - length << 32 - length, length)),
    st.integers(0, 2**32 - 1).map(lambda n: n & 0x0303_0303),
    st.integers(1, 32),
)


@given(st.lists(st.lists(prefixes, max_size=4), max_size=4), st.data())
def test_a_set_is_the_classes_of_its_addresses(
    sets: list[list[Prefix]], data: st.DataObject
) -> None:
    known = [AddressSet.from_prefixes(Family.V4, found) for found in sets]
    classes = AddressClasses(Family.V4, known)
    value = IPv4Address(data.draw(st.integers(0, 2**32 - 1).map(lambda n: n & 0x0303_0303)))
    for found in known:
        assert (value in found) == bool(classes.mask(found) >> classes.number(value) & 1)
        assert classes.addresses(classes.mask(found)) == found
    for number in range(len(classes)):
        assert classes.number(classes.example(number)) == number
        assert classes.number(classes.representative(number)) == number


@given(st.lists(prefixes, max_size=8, unique=True), st.lists(st.booleans(), min_size=8), st.data())
def test_addresses_of_one_class_have_the_same_kind_of_route(
    found: list[Prefix], kinds: list[bool], data: st.DataObject
) -> None:
    """The longest prefix decides, as in a table."""
    does = {
        prefix: RouteType.THROW if throws else RouteType.BLACKHOLE
        for prefix, throws in zip(found, kinds, strict=False)
    }
    classes = AddressClasses(Family.V4, [], (route(p, kind) for p, kind in does.items()))
    value = IPv4Address(data.draw(st.integers(0, 2**32 - 1).map(lambda n: n & 0x0303_0303)))

    def longest(address: IPv4Address | IPv6Address) -> RouteType | None:
        holding = [prefix for prefix in does if address in prefix]
        return does[max(holding, key=lambda p: p.prefixlen)] if holding else None

    assert longest(value) == longest(classes.example(classes.number(value)))


def test_an_ordinary_address_is_one_for_examples_else_one_inside_a_wide_range() -> None:
    inner = AddressSet.from_prefixes(
        Family.V4, [IPv4Network("10.0.0.0/16"), IPv4Address("1.2.3.4")]
    )
    classes = AddressClasses(Family.V4, [inner])
    told = {str(classes.representative(number)) for number in range(len(classes))}
    assert told == {"10.0.0.9", "203.0.113.9"}


def test_the_same_route_in_two_tables_is_not_the_same() -> None:
    routes = [route("10.0.0.0/8"), route("11.0.0.0/8", table=T + 1)]
    classes = AddressClasses(Family.V4, [], routes)
    told = {classes.number(IPv4Address(text)) for text in ("10.0.0.1", "11.0.0.1", "12.0.0.1")}
    assert len(told) == 3


def test_sources_of_a_route_tell_sources_apart() -> None:
    routes = [
        route("::/0", RouteType.BLACKHOLE),
        route("::/0", source=IPv6Network("2001:db8::/32")),
    ]
    classes = AddressClasses(Family.V6, [], routes)
    assert len(classes) == 2
    assert classes.number(IPv6Address("2001:db8::1")) != classes.number(IPv6Address("2001:db9::1"))


def test_a_hundred_thousand_prefixes_are_a_matter_of_seconds_and_few_classes() -> None:
    """Every other /24, in a table and as a set; and a few that a longer one takes out again."""
    many = [IPv4Network((n << 9, 24)) for n in range(MANY)]
    odd = [IPv4Network((n << 9, 32)) for n in range(0, MANY, 1000)]
    known = AddressSet.from_prefixes(Family.V4, many)
    routes = [route(prefix, RouteType.BLACKHOLE) for prefix in many]
    routes += [route(prefix) for prefix in odd]
    start = time.process_time()
    classes = AddressClasses(Family.V4, [known, four("10.0.0.0/8")], routes)
    classes.mask(known)
    assert time.process_time() - start < 5
    assert len(classes) == 4  # neither, listed, taken out, 10.0.0.0/8
