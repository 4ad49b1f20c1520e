"""What is sent into the sink leaves by no device; it comes back to who listens everywhere."""

from __future__ import annotations

from pbrinit.addresses import Family
from pbrinit.layout import LOOPBACK
from pbrinit.netlink import encode
from pbrinit.plan import TABLE_LOCAL, Action, Rule
from tests import router
from tests.kernel import acts
from tests.kernel.lab import Lab
from tests.kernel.mutants import with_rules

SERVER = "203.0.113.7"
RULES = (
    Rule(Family.V4, 1, Action.LOOKUP, TABLE_LOCAL),
    Rule(Family.V4, 2, Action.LOOKUP, router.SINK, iif=LOOPBACK),
)


def test_a_datagram_comes_back_and_none_leaves() -> None:
    with Lab(["192.0.2.1/24"], [SERVER]) as lab:
        lab.connect("eth1", [], [])
        plan = encode(with_rules(router.PLAN, *RULES), "sink")
        assert lab.machine.do(acts.enforce, plan) == []
        lab.peer.do(acts.watch)
        for address, heard in (("0.0.0.0", ["192.0.2.2"]), ("192.0.2.2", [])):
            port = 9000 + len(heard)
            lab.machine.do(acts.serve, "udp", port, (address,))
            question = acts.Question("udp", SERVER, port, source=("192.0.2.2", 40000))
            assert lab.machine.do(acts.ask, question) != "answered"
            assert lab.machine.do(acts.heard_by, "udp", port) == heard
        assert lab.peer.do(acts.seen_from, "192.0.2.2", SERVER) == 0
