"""A connection that is there when the rules change: its next packet is under the new ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pbrinit.wire.bootplan import BootPlan
from tests.support.attack import agent
from tests.support.host_example import BEHIND, LENGTH, ON_LINK, SELF, UPDATER
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab

FIRST = "0"
"""The preference before all rules of the plan."""

WHERE = {4: 0, 6: 1}
"""The numbers of listeners, at either side: of ssh at the machine, of https at the peer."""

FAMILY = {4: int(socket.AF_INET), 6: int(socket.AF_INET6)}
both = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def quiet_lab(plan: BootPlan) -> Iterator[Lab]:
    """The example policy in force, and programs that wait for callers on both sides."""
    on_link = [f"{a}/{LENGTH[v]}" for v, named in ON_LINK.items() for a in named.values()]
    behind = [address for named in BEHIND.values() for address in named.values()]
    with Lab(on_link, behind) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        for version, family in FAMILY.items():
            lab.machine.do(agent.listen, "tcp", 22, family, SELF[version])
            lab.peer.do(agent.listen, "tcp", 443, family, BEHIND[version]["stranger"])
        for version, family in FAMILY.items():
            lab.peer.do(agent.listen, "udp", 53, family, ON_LINK[version]["resolver"])
        yield lab


@contextmanager
def denied(lab: Lab, version: int, *selector: str) -> Iterator[None]:
    """A rule before all others that refuses, for a while."""
    rule = ("pref", FIRST, *selector, "blackhole")
    lab.machine.run("ip", f"-{version}", "rule", "add", *rule)
    try:
        yield
    finally:
        lab.machine.run("ip", f"-{version}", "rule", "del", *rule)


@both
def test_who_was_let_in_is_not_heard_any_more(quiet_lab: Lab, version: int) -> None:
    """Early demultiplexing keeps a connection's way in (tcp_v4_early_demux): it must not last."""
    mgmt, own = BEHIND[version]["mgmt"], SELF[version]
    theirs = quiet_lab.peer.do(agent.connect, 0, "tcp", mgmt, own, 22)
    ours = quiet_lab.machine.do(agent.accept, WHERE[version])
    for words in (b"one", b"two"):
        assert quiet_lab.peer.do(agent.send, theirs, words) == "sent"
        assert quiet_lab.machine.do(agent.receive, ours) == words
    with denied(quiet_lab, version, "from", mgmt, "iif", "eth0"):
        quiet_lab.peer.do(agent.send, theirs, b"three")
        assert quiet_lab.machine.do(agent.receive, ours) == b""
    # The rule gone, it is sent again and heard: the packet was held back, the call is there still.
    assert quiet_lab.machine.do(agent.receive, ours) == b"three"


@both
def test_who_called_out_is_not_heard_any_more(quiet_lab: Lab, version: int) -> None:
    """A connected socket keeps its route (sk_dst_check): it must not last either."""
    stranger = BEHIND[version]["stranger"]
    ours = quiet_lab.machine.do(agent.connect, UPDATER, "tcp", "", stranger, 443)
    theirs = quiet_lab.peer.do(agent.accept, WHERE[version])
    for words in (b"one", b"two"):
        assert quiet_lab.machine.do(agent.send, ours, words) == "sent"
        assert quiet_lab.peer.do(agent.receive, theirs) == words
    with denied(quiet_lab, version, "to", stranger, "iif", "lo"):
        quiet_lab.machine.do(agent.send, ours, b"three")
        assert quiet_lab.peer.do(agent.receive, theirs) == b""
    assert quiet_lab.peer.do(agent.receive, theirs) == b"three"


@both
def test_a_connected_datagram_socket_is_refused_at_its_next_word(
    quiet_lab: Lab, version: int
) -> None:
    resolver = ON_LINK[version]["resolver"]
    ours = quiet_lab.machine.do(agent.connect, UPDATER, "udp", "", resolver, 53)
    assert quiet_lab.machine.do(agent.send, ours, b"one") == "sent"
    with denied(quiet_lab, version, "to", resolver, "iif", "lo"):
        assert quiet_lab.machine.do(agent.send, ours, b"two") == "EINVAL"
    assert quiet_lab.machine.do(agent.send, ours, b"three") == "sent"
    time.sleep(0.1)
    heard = quiet_lab.peer.do(agent.received, 2 + WHERE[version])
    assert [words for words, _ in heard] == [b"one", b"three"]
