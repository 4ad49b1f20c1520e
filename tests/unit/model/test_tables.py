"""One table is searched as the kernel does: by prefix, device, source and metric."""

from __future__ import annotations

import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.model.tables import NO_WAY, OF_ADDRESS, FibEntry, Tables, entries
from pbrinit.net.addresses import Prefix
from pbrinit.plan.plan import TABLE_LOCAL, TABLE_MAIN, RouteType

TABLE = 7
DESTINATION = int(ip_address("2001:db8:5::9"))
INSIDE, OUTSIDE = int(ip_address("fd00::1")), int(ip_address("2001:db8:7::7"))


def six(
    destination: str,
    device: str = "eth0",
    kind: RouteType = RouteType.UNICAST,
    source: str | None = None,
    metric: int = 1024,
) -> FibEntry:
    found: Prefix | None = IPv6Network(source) if source else None
    where = "lo" if kind in NO_WAY else device
    return FibEntry(TABLE, kind, IPv6Network(destination), where, None, found, metric)


def found(
    *entries: FibEntry, source: int = INSIDE, device: str | None = None, strict: bool = False
) -> FibEntry | None:
    return Tables(entries).search_6(TABLE, DESTINATION, source, device, strict=strict)


def test_the_longest_prefix_is_found_in_either_order() -> None:
    short, long = six("2001:db8::/32"), six("2001:db8:5::/48", "eth1")
    assert found(short, long) == found(long, short) == long


def test_a_route_from_a_source_is_better_than_one_from_anywhere_to_the_same_prefix() -> None:
    anywhere, sourced = six("::/0"), six("::/0", "eth1", source="fd00::/8")
    longer = six("::/0", "eth2", source="fd00::/16")
    assert found(anywhere, sourced) == sourced
    assert found(anywhere, sourced, longer) == longer
    assert found(anywhere, sourced, longer, source=OUTSIDE) == anywhere


def test_where_only_sources_are_known_another_source_finds_nothing() -> None:
    assert found(six("::/0", source="fd00::/8"), source=OUTSIDE) is None


def test_a_prefix_with_sources_is_passed_over_whole_by_other_sources() -> None:
    default = six("::/0")
    own, sourced = six("2001:db8:5::/48", "eth1"), six("2001:db8:5::/48", source="fd00::/8")
    assert found(default, own, sourced, source=OUTSIDE) == default
    assert found(default, own, sourced, source=INSIDE) == sourced


def test_once_a_node_is_found_the_shorter_ones_are_asked_for_their_own_routes_too() -> None:
    sourced = six("2001:db8:5::/48", "eth1", source="fd00::/8")
    own = six("2001:db8:5::/48", "eth2")
    assert found(sourced, own, device="eth2", strict=True) == own
    above = six("::/0", "eth3")
    assert found(sourced, own, above, device="eth3", strict=True) == above


@pytest.mark.parametrize("kind", NO_WAY)
def test_a_strict_search_passes_over_what_is_no_way(kind: RouteType) -> None:
    refused, default = six("2001:db8:5::/48", kind=kind), six("::/0")
    assert found(refused, default, device="eth0") == refused
    assert found(refused, default, device="eth0", strict=True) == default


def test_the_device_is_a_preference_among_routes_of_the_lowest_metric() -> None:
    one = six("2001:db8:5::/48", "eth0", metric=OF_ADDRESS)
    two = six("2001:db8:5::/48", "eth1", metric=OF_ADDRESS)
    other = six("2001:db8:5::/48", "eth2")
    assert found(other, one, two) == one
    assert found(other, one, two, device="eth1") == two
    assert found(other, one, two, device="eth2") == one
    assert found(other, one, two, device="eth2", strict=True) == other


@pytest.mark.parametrize("kind", NO_WAY)
def test_in_ipv4_what_is_no_way_ends_the_search_whatever_the_device(kind: RouteType) -> None:
    refused = FibEntry(TABLE, kind, IPv4Network("203.0.113.0/24"), "lo")
    default = FibEntry(TABLE, RouteType.UNICAST, IPv4Network("0.0.0.0/0"), "eth1")
    near = FibEntry(TABLE, RouteType.UNICAST, IPv4Network("203.0.113.0/25"), "eth0")
    tables = Tables((default, near, refused))
    address = int(ip_address("203.0.113.7"))
    assert tables.search_4(TABLE, address, None) == near
    assert tables.search_4(TABLE, address, "eth0") == near
    assert tables.search_4(TABLE, address, "eth1") == refused


def test_the_door_of_a_room_has_ipv6_but_no_address_of_its_link() -> None:
    plan = load(Path("examples/rooms.toml"))
    known = [e for e in entries(plan, {}) if isinstance(e.destination, IPv6Network)]
    of_door = {(e.table, e.type, str(e.destination)) for e in known if e.device == "r-sshd"}
    assert (TABLE_LOCAL, RouteType.MULTICAST, "ff00::/8") in of_door
    assert {destination for table, _, destination in of_door if table == TABLE_MAIN} == set()
    of_wan = {(e.table, str(e.destination)) for e in known if e.device == "eth0"}
    assert (TABLE_MAIN, "fe80::/64") in of_wan


def test_a_hundred_thousand_prefixes_are_searched_in_less_than_a_tenth_of_a_millisecond() -> None:
    networks = [ip_network((number << 8, 24)) for number in range(100_000)]
    tables = Tables(FibEntry(TABLE, RouteType.THROW, network, "lo") for network in networks)
    assert tables.search_4(TABLE, 100_000 << 8, None) is None
    start = time.process_time()
    for number in range(10_000):
        assert tables.search_4(TABLE, (number << 8) + 1, None) is not None
    assert time.process_time() - start < 1
