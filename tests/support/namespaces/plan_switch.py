"""Two plans, a machine that switches from the first to the second, and its peer.

In: pytest's folders.  Out: fixtures, and whether the peer gets an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace, run_guard
from tests.support.namespaces.lab import Lab, wait_until

SELF = ("192.0.2.2", "2001:db8::2")
PEER = ("192.0.2.1", "2001:db8::1")
ENDS = tuple(zip(PEER, SELF, strict=True))
X, Y, Z, W = 1001, 1002, 1003, 1004
OUT_OFFSET = 1000
"""Added to a port in the other direction: the machine sends to X + OUT_OFFSET and so on."""

HEAD = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[network]
anywhere = ["0.0.0.0/0", "::/0"]
"""
ALLOWED = """
[service]
incoming = ["udp/{one}", "udp/{both}"]
outgoing = ["udp/{out}", "udp/{both_out}"]
[[input]]
on = "wan"
from = "anywhere"
service = "incoming"
[[output]]
on = "wan"
to = "anywhere"
service = "outgoing"
"""


def policy(port: int, head: str = HEAD) -> str:
    return head + ALLOWED.format(one=port, both=Z, out=port + OUT_OFFSET, both_out=Z + OUT_OFFSET)


def boot_plan(folder: Path, name: str, text: str) -> BootPlan:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return encode(load(path), name)


@pytest.fixture
def plans(tmp_path: Path) -> tuple[BootPlan, BootPlan]:
    """Plan A allows ports X and Z, plan B allows Y and Z."""
    return boot_plan(tmp_path, "a", policy(X)), boot_plan(tmp_path, "b", policy(Y))


@pytest.fixture
def guarded(plans: tuple[BootPlan, BootPlan]) -> Iterator[Lab]:
    """A machine with plan A in force and its guard, and a peer."""
    with Lab([f"{PEER[0]}/24", f"{PEER[1]}/64"], ()) as lab:
        assert lab.machine.do(in_namespace.enforce, plans[0]) == []
        lab.machine.do(run_guard.start, plans[0])
        assert wait_until(lambda: lab.machine.do(run_guard.record).verified > 0, 10)
        yield lab
        lab.machine.do(run_guard.stop)


def reaches_plan(lab: Lab, plan: BootPlan) -> bool:
    """Whether the kernel has the state of the plan within some seconds."""
    return wait_until(lambda: lab.machine.do(run_guard.differences, plan) == [], 4)


def is_answered(lab: Lab, port: int, name: str = "192.0.2.2") -> bool:
    """Whether the machine answers the peer on a port."""
    return lab.peer.do(in_namespace.send_probe, in_namespace.Probe("udp", name, port)) == "answered"


@pytest.fixture
def serving(guarded: Lab) -> Lab:
    """The same machine, with programs that answer on all ports."""
    for port in (X, Y, Z, W):
        guarded.machine.do(in_namespace.serve, "udp", port)
    return guarded
