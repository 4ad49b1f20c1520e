"""Two plans of which one takes the other's place, a machine under the first, and its peer.

In: pytest's folders.  Out: fixtures, and what the peer sees of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace, run_guard
from tests.support.namespaces.lab import Lab, until

SELF = ("192.0.2.2", "2001:db8::2")
PEER = ("192.0.2.1", "2001:db8::1")
ENDS = tuple(zip(PEER, SELF, strict=True))
X, Y, Z, W = 1001, 1002, 1003, 1004
OUT = 1000
"""So much more is the port that the machine asks: x, y, z and w in the other direction."""

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
heard = ["udp/{one}", "udp/{both}"]
asked = ["udp/{out}", "udp/{both_out}"]
[[input]]
on = "wan"
from = "anywhere"
service = "heard"
[[output]]
on = "wan"
to = "anywhere"
service = "asked"
"""


def policy(one: int, head: str = HEAD) -> str:
    return head + ALLOWED.format(one=one, both=Z, out=one + OUT, both_out=Z + OUT)


def boot_plan(folder: Path, name: str, text: str) -> BootPlan:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return encode(load(path), name)


@pytest.fixture
def plans(tmp_path: Path) -> tuple[BootPlan, BootPlan]:
    """A allows x and z, B allows y and z."""
    return boot_plan(tmp_path, "a", policy(X)), boot_plan(tmp_path, "b", policy(Y))


@pytest.fixture
def guarded(plans: tuple[BootPlan, BootPlan]) -> Iterator[Lab]:
    """A machine under A with its guard, and a peer."""
    with Lab([f"{PEER[0]}/24", f"{PEER[1]}/64"], ()) as lab:
        assert lab.machine.do(in_namespace.enforce, plans[0]) == []
        lab.machine.do(run_guard.start, plans[0])
        assert until(lambda: lab.machine.do(run_guard.seen).verified > 0, 10)
        yield lab
        lab.machine.do(run_guard.stop)


def settles(lab: Lab, plan: BootPlan) -> bool:
    """Whether nothing differs from the plan, in some seconds."""
    return until(lambda: lab.machine.do(run_guard.differences, plan) == [], 4)


def hears(lab: Lab, port: int, name: str = "192.0.2.2") -> bool:
    """Whether the machine answers the peer on a port."""
    return lab.peer.do(in_namespace.ask, in_namespace.Question("udp", name, port)) == "answered"


@pytest.fixture
def serving(guarded: Lab) -> Lab:
    """The same machine, with programs that answer."""
    for port in (X, Y, Z, W):
        guarded.machine.do(in_namespace.serve, "udp", port)
    return guarded
