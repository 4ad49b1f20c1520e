"""What is sent into the sink leaves by no device; it comes back to who listens everywhere."""

from __future__ import annotations

from pbrinit.net.addresses import Family
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, Action, Rule
from tests.support import router_plan
from tests.support.generate.plan_mutants import with_rules
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab

SERVER = "203.0.113.7"
RULES = (
    Rule(Family.V4, 1, Action.LOOKUP, TABLE_LOCAL),
    Rule(Family.V4, 2, Action.LOOKUP, router_plan.SINK, iif=LOOPBACK),
)


def test_a_datagram_comes_back_and_none_leaves() -> None:
    with Lab(["192.0.2.1/24"], [SERVER]) as lab:
        lab.connect("eth1", [], [])
        plan = encode(with_rules(router_plan.PLAN, *RULES), "sink")
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.peer.do(in_namespace.capture)
        for address, heard in (("0.0.0.0", ["192.0.2.2"]), ("192.0.2.2", [])):
            port = 9000 + len(heard)
            lab.machine.do(in_namespace.serve, "udp", port, (address,))
            probe = in_namespace.Probe("udp", SERVER, port, source=("192.0.2.2", 40000))
            assert lab.machine.do(in_namespace.send_probe, probe) != "answered"
            assert lab.machine.do(in_namespace.clients_of, "udp", port) == heard
        assert lab.peer.do(in_namespace.count_captured, "192.0.2.2", SERVER) == 0
