"""IPv4 multicast and broadcast come in without an input look-up: the return path stops them."""

from __future__ import annotations

import pytest

from tests.support.host_example import PEER
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab


@pytest.mark.parametrize("destination", ["224.0.0.1", "255.255.255.255", "192.0.2.255"])
@pytest.mark.parametrize(
    ("who", "own_port", "port"),
    [("neighbour", 9, 53), ("neighbour", 53, 50000), ("resolver", 53, 50000), ("stranger", 9, 53)],
)
def test_a_shout_reaches_no_program(
    lab: Lab, destination: str, who: str, own_port: int, port: int
) -> None:
    before = lab.machine.do(in_namespace.snmp_counter, "Udp InDatagrams")
    lab.peer.do(in_namespace.send_to_all, (PEER[4][who], own_port), (destination, port))
    lab.peer.do(in_namespace.captured_frames)
    assert lab.machine.do(in_namespace.snmp_counter, "Udp InDatagrams") == before


def test_a_shout_from_nobody_is_heard(lab: Lab) -> None:
    """What is left open, and DHCP lives by it: no look-up is made for source 0.0.0.0."""
    before = lab.machine.do(in_namespace.snmp_counter, "Udp InDatagrams")
    lab.peer.do(in_namespace.send_to_all, ("0.0.0.0", 68), ("255.255.255.255", 53))
    lab.peer.do(in_namespace.captured_frames)
    assert lab.machine.do(in_namespace.snmp_counter, "Udp InDatagrams") == before + 1
