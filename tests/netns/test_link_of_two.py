"""Both addresses of an IPv6 link of two are hosts (RFC 6164), also where the machine forwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.generate.packets import Packets, seeded
from tests.support.model_vs_kernel import Host
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab
from tests.tools import fuzz

OWN, OTHER, BEYOND = "2001:db8::", "2001:db8::1", "2001:db8:5::9"
PACKETS = 3000
POLICY = f"""
hostname = "two"
[interface.wan]
device  = "eth0"
address = "{OWN}/127"
gateway = "{OTHER}"
[interface.lan]
device  = "eth1"
address = "2001:db8:1::1/126"
[network]
other = "{OTHER}"
[service]
ssh = "tcp/22"
web = "tcp/80"
[[input]]
on = "wan"
service = "ssh"
[[output]]
to = "other"
service = "web"
[[forward]]
in = "lan"
out = "wan"
service = "web"
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("two") / "two.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def lab(policy: Path) -> Iterator[Lab]:
    with Lab([f"{OTHER}/127"], [f"{BEYOND}/128"]) as lab:
        lab.connect("eth1", ["2001:db8:1::2/126"], [])
        assert lab.machine.do(in_namespace.enforce, encode(load(policy), "two")) == []
        lab.machine.do(in_namespace.serve, "tcp", 22)
        lab.peer.do(in_namespace.serve, "tcp", 80)
        lab.peer.run("ip", "route", "add", f"{OWN}/128", "dev", "eth0", "src", OTHER)
        yield lab


@pytest.mark.parametrize("source", [OTHER, BEYOND])
def test_the_lower_address_of_the_two_is_reached(lab: Lab, source: str) -> None:
    asked = in_namespace.Probe("tcp", OWN, 22, source=(source, 0))
    assert lab.peer.do(in_namespace.send_probe, asked) == "answered"


def test_the_lower_address_of_the_two_reaches_the_other(lab: Lab) -> None:
    assert (
        lab.machine.do(in_namespace.send_probe, in_namespace.Probe("tcp", OTHER, 80)) == "answered"
    )
    assert lab.machine.do(in_namespace.send_probe, in_namespace.Probe("tcp", OTHER, 22)) == "EACCES"


def test_it_is_no_address_of_all_routers_as_that_of_a_longer_link_is(lab: Lab) -> None:
    told = lab.machine.run("ip", "-6", "route", "show", "table", "local")
    kinds = {line.split()[1]: line.split()[0] for line in told.splitlines()}
    assert kinds[OWN] == "local"
    assert kinds["2001:db8:1::"] == "anycast"


def test_the_kernel_decides_as_the_model_does_on_it(policy: Path) -> None:
    host = Host(load(policy))
    try:
        packets = itertools.islice(Packets(host.plan, seeded("two")), PACKETS)
        compared, passed, found = host.differences(host.plan, packets)
    finally:
        host.close()
    assert not found, fuzz.told(found[0])
    assert compared > PACKETS // 2
    assert passed > compared // 20
