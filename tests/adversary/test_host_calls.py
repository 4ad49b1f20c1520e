"""Connections that are there while somebody lies about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pbrinit.cli.build import load
from pbrinit.policy.reader.reader import read_policy
from tests.support.attack.act import UPDATER
from tests.support.attack.held_connection import HeldConnection, errors
from tests.support.attack.images import HOST
from tests.support.attack.range import AttackRange
from tests.support.attack.report import report
from tests.support.host_example import MGMT, STRANGER

SSH, HTTPS = 22, 443
LISTENERS = {4: 0, 6: 1}
"""The numbers of those who listen on port 22, see `images.make_ready`."""


def called_out(attack_range: AttackRange, version: int) -> tuple[HeldConnection, int]:
    """The updater fetches something from a stranger."""
    call = HeldConnection(attack_range, STRANGER[version], HTTPS)
    number = attack_range.agent.do("connect", UPDATER, "tcp", "", STRANGER[version], HTTPS)
    assert call.wait(lambda stream: stream.established)
    return call, number


def called_in(attack_range: AttackRange, version: int) -> tuple[HeldConnection, int]:
    """Management calls ssh."""
    call = HeldConnection(attack_range, MGMT[version], 50022, SSH)
    return call, attack_range.agent.do("accept", LISTENERS[version])


@pytest.mark.parametrize("begin", [called_out, called_in])
@pytest.mark.parametrize("version", [4, 6])
def test_forged_errors_do_not_end_it(
    gate: AttackRange, version: int, begin: Callable[[AttackRange, int], tuple[HeldConnection, int]]
) -> None:
    # The callers of earlier shots, who all hung up.
    gate.agent.do("received", LISTENERS[version])
    call, number = begin(gate, version)
    try:
        assert gate.agent.do("send", number, b"before") == "sent"
        assert call.wait(lambda stream: stream.received == b"before")
        strange = _out_of_window(gate)
        seen = gate.fire(list(errors((call.flow,))))
        wrong = [each for each in seen if not each.as_expected]
        assert not wrong, report(wrong, load(HOST), read_policy(HOST), ["eth0"])
        # What came so far quoted the connection rightly (tcp_v4_err, tcp_v6_err).
        assert _out_of_window(gate) == strange
        assert gate.agent.do("send", number, b", after") == "sent"
        assert call.wait(lambda stream: stream.received == b"before, after")
    finally:
        call.close()


def _out_of_window(attack_range: AttackRange) -> int:
    """How many errors the guest's TCP passed over for their sequence number."""
    rows = [row.split() for row in attack_range.agent.do("read", "/proc/net/netstat").splitlines()]
    names, values = (row[1:] for row in rows if row[0] == "TcpExt:")
    return int(dict(zip(names, values, strict=True))["OutOfWindowIcmps"])
