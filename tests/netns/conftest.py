"""One machine under the example policy, and its peer, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab
from tests.support.namespaces.plan_switch import guarded, plans, serving

__all__ = ["guarded", "lab", "plan", "plans", "serving"]

ON_LINK = {
    4: {"router": "192.0.2.1", "resolver": "192.0.2.53", "neighbour": "192.0.2.66"},
    6: {"router": "2001:db8::1", "resolver": "2001:db8::53", "neighbour": "2001:db8::66"},
}
BEHIND = {
    4: {"mgmt": "198.51.100.9", "stranger": "203.0.113.7"},
    6: {"mgmt": "2001:db8:5::9", "stranger": "2001:db8:7::7"},
}
PEER = {version: {**ON_LINK[version], **BEHIND[version]} for version in (4, 6)}
LENGTH = {4: 24, 6: 64}
SELF = {4: "192.0.2.2", 6: "2001:db8::2"}
SERVED = (("tcp", 22), ("tcp", 80), ("udp", 22), ("udp", 53), ("tcp", 50000), ("udp", 50000))
PEER_SERVES = (("tcp", 443), ("tcp", 80), ("tcp", 53), ("udp", 53), ("udp", 443))
UPDATER, NOBODY, ROOT = 1001, 1002, 0


@pytest.fixture(scope="session")
def plan() -> BootPlan:
    """The example policy, as PID 1 gets it."""
    return encode(load(Path("examples/host.toml")), "host")


@pytest.fixture(scope="session")
def lab(plan: BootPlan) -> Iterator[Lab]:
    """The machine with the plan in force and programs that listen; the peer with services."""
    on_link = [f"{a}/{LENGTH[v]}" for v, named in ON_LINK.items() for a in named.values()]
    behind = [address for named in BEHIND.values() for address in named.values()]
    with Lab(on_link, behind) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        for protocol, port in SERVED:
            lab.machine.do(in_namespace.serve, protocol, port)
        there = tuple(address for named in PEER.values() for address in named.values())
        for protocol, port in PEER_SERVES:
            lab.peer.do(in_namespace.serve, protocol, port, there)
        yield lab
