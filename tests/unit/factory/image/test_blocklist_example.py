"""The long list of an example is made up, the same every time, and harms no other example."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from factory.image import blocklist_example
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.policy.reader.reader import read_policy

COMMITTED = Path("examples/blocklist.txt")


def test_the_committed_list_is_the_one_that_is_drawn() -> None:
    assert COMMITTED.read_text() == blocklist_example.text()


def test_it_has_as_many_prefixes_as_it_says_and_none_touches_another() -> None:
    deny = read_policy(Path("examples/blocklist.toml")).denies[0]
    assert deny.sources is not None
    assert len(deny.sources.in_family(Family.V4).prefixes) == blocklist_example.FOUR == 100_000
    assert len(deny.sources.in_family(Family.V6).prefixes) == blocklist_example.SIX


def test_it_leaves_out_what_the_examples_are_written_with() -> None:
    lines = COMMITTED.read_text().splitlines()
    prefixes = [ip_network(line) for line in lines if not line.startswith("#")]
    four = [prefix for prefix in prefixes if isinstance(prefix, IPv4Network)]
    six = [prefix for prefix in prefixes if isinstance(prefix, IPv6Network)]
    kept = [IPv4Network(text) for text in
            ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8")]  # fmt: skip
    ours = AddressSet.from_prefixes(Family.V4, kept)
    assert not ours & AddressSet.from_prefixes(Family.V4, four)
    assert {prefix.prefixlen for prefix in four} == set(range(24, 33))
    assert all(prefix.subnet_of(IPv6Network("2001:db8:bad::/48")) for prefix in six)
