"""One machine under the example policy, and its peer, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.host_example import BEHIND, LENGTH, ON_LINK, PEER
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab
from tests.support.namespaces.plan_switch import guarded, plans, serving

__all__ = ["guarded", "lab", "plan", "plans", "serving"]

SERVED = (("tcp", 22), ("tcp", 80), ("udp", 22), ("udp", 53), ("tcp", 50000), ("udp", 50000))
PEER_SERVES = (("tcp", 443), ("tcp", 80), ("tcp", 53), ("udp", 53), ("udp", 443))


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
