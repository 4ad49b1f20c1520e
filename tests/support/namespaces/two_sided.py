"""A machine with two interfaces, and the networks on its two sides.

In: a policy whose interfaces have the addresses below.  Out: the three namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab, Namespace

SELF_OUTER = {4: "192.0.2.2", 6: "2001:db8::2"}
SELF_INNER = {4: "10.0.0.1", 6: "fd00:10::1"}
ADMIN = {4: "198.51.100.9", 6: "2001:db8:5::9"}
CLOCK = {4: "192.0.2.123", 6: "2001:db8::123"}
SERVER = {4: "10.0.1.7", 6: "fd00:10::7"}
ELSEWHERE = {4: "203.0.113.7", 6: "2001:db8:7::7"}


@dataclass(frozen=True)
class TwoSided:
    """The machine and the networks on its two sides."""

    machine: Namespace
    outside: Namespace
    inside: Namespace


@contextmanager
def two_sided(policy: Path) -> Iterator[TwoSided]:
    """The policy in force; all three namespaces answer ssh and NTP."""
    outer = ["192.0.2.1/24", "192.0.2.123/24", "2001:db8::1/64", "2001:db8::123/64"]
    with Lab(outer, [*ADMIN.values(), *ELSEWHERE.values()]) as lab:
        inside = lab.connect("eth1", ["10.0.1.7/16", "fd00:10::7/64"], ADMIN.values())
        for version, gateway in SELF_INNER.items():
            inside.run("ip", f"-{version}", "route", "add", "default", "via", gateway)
        plan = encode(load(policy), policy.stem)
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(in_namespace.serve, "tcp", 22)
        lab.machine.do(in_namespace.serve, "udp", 123)
        for peer, named in ((lab.peer, (CLOCK, ELSEWHERE)), (inside, (SERVER,))):
            addresses = tuple(address for each in named for address in each.values())
            for protocol, port in (("tcp", 22), ("udp", 123)):
                peer.do(in_namespace.serve, protocol, port, addresses)
        yield TwoSided(lab.machine, lab.peer, inside)
