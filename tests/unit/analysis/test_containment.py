"""Which entry holds another one: the index finds what comparing each with each finds."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pbrinit.analysis import containment
from pbrinit.analysis.containment import Containment
from pbrinit.cli.build import check_policy
from pbrinit.policy.policy import Allow
from tests.support.generate import policies
from tests.support.generate.packets import seeded

HEAD = """
hostname = "large"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device = "eth1"
address = ["203.0.113.1/24", "2001:db8:1::1/64"]
[network]
"""
ENTRIES = (
    '[[input]]\non = "wan"\nfrom = "n{}"\nservice = "s{}"\n',
    '[[output]]\non = "wan"\nto = "n{}"\nservice = "s{}"\n',
    '[[forward]]\nin = "lan"\nout = "wan"\nto = "n{}"\nservice = "s{}"\n',
)


def compared(entries: tuple[Allow, ...], number: int) -> Allow | None:
    """Each with each."""
    entry = entries[number]
    for other_number, other in enumerate(entries):
        same = containment._within(other, entry)
        holds = other_number != number and containment._within(entry, other)
        if holds and (other_number < number or not same):
            return other
    return None


@pytest.mark.parametrize("seed", range(12))
def test_the_index_finds_what_comparing_each_with_each_finds(seed: int) -> None:
    source = seeded(f"containment.{seed}")
    entries: list[Allow] = []
    while len(entries) < 60:
        entries += _alike(policies.compiled(source)[1].allows, source)
    found = Containment(entries)
    holders = [found.holder(number) for number in range(len(entries))]
    assert holders == [compared(tuple(entries), number) for number in range(len(entries))]


def _alike(allows: tuple[Allow, ...], source: Random) -> list[Allow]:
    """Entries of several policies; some of them twice."""
    return [replace(allow) for allow in allows for _ in range(source.choice((1, 1, 2)))]


def test_some_hold_others() -> None:
    source = seeded("containment.0")
    entries = [e for _ in range(20) for e in policies.compiled(source)[1].allows]
    found = Containment(entries)
    holders = [found.holder(number) for number in range(len(entries))]
    assert None in holders
    assert any(holder is not None for holder in holders)


@pytest.mark.parametrize("deny", ["", '[[deny]]\nfrom = "n0"\n[[deny]]\nto = "n1"\n'])
@pytest.mark.parametrize("services", [1, 1000])
def test_a_policy_of_a_thousand_entries_is_checked_in_two_seconds(
    tmp_path: Path, services: int, deny: str
) -> None:
    count = 1000
    lines = [f'n{i} = "198.18.{i // 256}.{i % 256}"\n' for i in range(count)]
    lines += ["[service]\n", *(f's{i} = "tcp/{i + 1}"\n' for i in range(services))]
    lines += [ENTRIES[i % 3].format(i, i % services) for i in range(count)]
    path = tmp_path / "large.toml"
    path.write_text(HEAD + "".join(lines) + deny)
    before = time.process_time()
    check_policy(path)
    assert time.process_time() - before < 2
