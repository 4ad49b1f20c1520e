"""Who lives behind which interface, as docs/meaning.md has it."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from pbrinit.net.addresses import family_of
from pbrinit.policy.reader.reachability import Reachability
from pbrinit.policy.reader.reader import read_policy

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = "192.0.2.1"
[interface.lan]
device = "eth1"
address = ["10.0.0.1/16", "172.16.0.0/31", "fd00::1/64"]
gateway = "fd00::fe"
"""


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("192.0.2.7", ["wan"]),
        ("8.8.8.8", ["wan"]),
        ("10.0.3.4", ["lan"]),
        ("172.16.0.1", ["lan"]),
        ("2001:db8::7", ["wan"]),
        ("fd00::7", ["lan"]),
        ("2001:db8:1::7", ["lan"]),
        ("192.0.2.2", []),
        ("192.0.2.255", []),
        ("192.0.2.0", ["wan"]),
        ("10.0.255.255", []),
        ("172.16.0.0", []),
        ("127.0.0.1", []),
        ("0.0.0.0", []),
        ("0.0.0.1", ["wan"]),
        ("224.0.0.9", []),
        ("239.255.255.255", []),
        ("240.0.0.1", ["wan"]),
        ("255.255.255.255", []),
        ("::1", []),
        ("::", []),
        ("::ffff:9.9.9.9", []),
        ("fe80::7", []),
        ("fec0::7", ["lan"]),
        ("ff02::1", []),
        ("2001:db8::2", []),
    ],
)
def test_an_address_lives_behind_one_interface_at_most(
    tmp_path: Path, address: str, names: list[str]
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    interfaces = read_policy(tmp_path / "policy.toml").interfaces
    reach, one = Reachability(interfaces), ip_address(address)
    family = family_of(one)
    assert [i.name for i in interfaces if one in reach.hosts_behind([i], family)] == names
    assert (one in reach.hosts_behind(interfaces, family)) == bool(names)
