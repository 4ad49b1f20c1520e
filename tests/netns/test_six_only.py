"""An interface without an IPv4 address lets no IPv4 out either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.host_example import NOBODY, ROOT
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab

SIX_ONLY = """
hostname = "six"

[interface.wan]
device  = "eth0"
address = "2001:db8::2/64"
"""
AND_FOUR = """
[interface.lan]
device  = "eth1"
address = "192.0.2.2/24"
"""
ARP, IPV4 = b"\x08\x06", b"\x08\x00"


@pytest.fixture(params=[SIX_ONLY, SIX_ONLY + AND_FOUR], ids=["alone", "beside"], scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    policy: Path = tmp_path_factory.mktemp("six") / "six.toml"
    policy.write_text(request.param)
    with Lab(["2001:db8::1/64"], []) as lab:
        if "eth1" in request.param:
            lab.connect("eth1", ["192.0.2.1/24"], [])
        assert lab.machine.do(in_namespace.enforce, encode(load(policy), "six")) == []
        yield lab


@pytest.mark.parametrize("uid", [ROOT, NOBODY])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_bound_socket_sends_no_ipv4(lab: Lab, protocol: str, uid: int) -> None:
    lab.peer.do(in_namespace.capture)
    lab.machine.do(
        in_namespace.send_probe, in_namespace.Probe(protocol, "203.0.113.7", 80, uid, device="eth0")
    )
    kinds = [frame[12:14] for frame in lab.peer.do(in_namespace.captured_frames)]
    assert ARP not in kinds
    assert IPV4 not in kinds
