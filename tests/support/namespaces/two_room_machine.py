"""A machine with two programs, `one` and `two`, each in a room, supervised and guarded.

In: Python code for each program.  Out: a plan, and a machine that has it in force.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace, run_guard, run_supervisor
from tests.support.namespaces.lab import Lab

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[network]
mgmt = ["198.51.100.0/24", "2001:db8:5::/48"]
[service]
ssh = "tcp/22"
web = "tcp/80"
dns = "udp/53"
[user]
one = 1001
root = 0
two = 1002
[run.one]
command = ["/usr/bin/python3", "-ISBuc", {one}]
user = "{user}"
{more}
[run.two]
command = ["/usr/bin/python3", "-ISBuc", {two}]
user = "two"
restart = "never"
[[input]]
from = "mgmt"
service = "ssh"
run = "one"
[[output]]
service = "web"
run = "two"
[[between]]
from = "two"
to = "one"
service = "dns"
"""
IDLE = "import time; print('idle'); time.sleep(60)"
SERVER = """
import select, socket
ready = {}
for family in (socket.AF_INET, socket.AF_INET6):
    for kind, port in ((socket.SOCK_STREAM, 22), (socket.SOCK_DGRAM, 53)):
        one = socket.socket(family, kind)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(("", port))
        if kind == socket.SOCK_STREAM:
            one.listen()
        ready[one] = kind
print("serving")
while True:
    for one in select.select(list(ready), [], [])[0]:
        if ready[one] == socket.SOCK_STREAM:
            one.accept()[0].send(b"hello")
        else:
            _, source = one.recvfrom(99)
            one.sendto(b"hello", source)
"""
"""It answers TCP on port 22 and UDP on port 53."""


def policy(
    one: str = IDLE, two: str = IDLE, more: str = 'restart = "never"', user: str = "one"
) -> Policy:
    """The policy with these programs."""
    text = POLICY.format(one=json.dumps(one), two=json.dumps(two), more=more, user=user)
    if "isolate" in more:
        text = text.partition("[[between]]")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return read_policy(Path(file.name))


def compiled(one: str = IDLE, **others: str) -> Plan:
    """The plan with these programs."""
    return compile_policy(policy(one, **others))


def plan_of(one: str = IDLE, more: str = 'restart = "never"', **others: str) -> BootPlan:
    """The same plan as PID 1 gets it."""
    return encode(compiled(one=one, more=more, **others), "programs")


@contextmanager
def running(plan: BootPlan, first_seconds: float = 0.0) -> Iterator[Lab]:
    """A machine that runs the programs, guarded, with its peer."""
    behind = ("198.51.100.9", "203.0.113.7", "2001:db8:5::9", "2001:db8:7::7")
    with Lab(("192.0.2.1/24", "2001:db8::1/64"), behind) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(run_guard.start, plan)
        lab.machine.do(run_supervisor.start, plan, first_seconds)
        try:
            yield lab
            assert lab.machine.do(run_guard.is_alive)
            assert lab.machine.do(run_guard.differences, plan) == []
            assert lab.machine.do(run_guard.record).repairs == 0
        finally:
            lab.machine.do(run_supervisor.stop)
            lab.machine.do(run_guard.stop)
