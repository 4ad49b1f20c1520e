"""All ports of TCP and UDP, from who may reach one of them and from who may reach none."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet, Raw

from tests.support.attack.range import AttackRange
from tests.support.attack.shot import MAGIC, ether, ip
from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS

CHUNK = 500
PORTS = range(1, 65536)
WHO = {"mgmt": MGMT, "stranger": STRANGER}

# Where the port is a second time, as the tag, and where what keeps the checksum right is, from
# the start of the header: in TCP the sequence number and the urgent pointer, in UDP the payload.
PLACES = {"tcp": (6, 18), "udp": (10, 12)}


def _frames(version: int, protocol: str, who: str) -> dict[int, bytes]:
    """A frame for each port; the port stands in it twice, and its double is taken away again."""
    header: Packet = TCP(sport=40000, dport=0, flags="S", seq=int.from_bytes(MAGIC, "big") << 16)
    if protocol == "udp":
        header = UDP(sport=40000, dport=0) / Raw(MAGIC + bytes(4))
    packet = ip(WHO[who][version], SELF[version]) / header
    whole = bytes(ether(PEER_MACS[0], GUEST_MACS[0]) / packet)
    start = 14 + (20 if version == 4 else 40)
    again, rest = (start + at for at in PLACES[protocol])
    found = {}
    for port in PORTS:
        frame = bytearray(whole)
        frame[start + 2 : start + 4] = frame[again : again + 2] = port.to_bytes(2, "big")
        frame[rest : rest + 2] = (-2 * port % 0xFFFF).to_bytes(2, "big")
        found[port] = bytes(frame)
    return found


@pytest.mark.soak
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
def test_no_port_but_the_allowed_one_is_reached(
    gate: AttackRange, version: int, protocol: str, who: str
) -> None:
    gate.agent.do("tapped_tags")
    gate.wait_for_marker()
    arrived: set[int] = set()
    for port, frame in _frames(version, protocol, who).items():
        assert gate.wires[0].send(frame), port
        if port % CHUNK == 0 or port == PORTS[-1]:
            gate.wait_for_marker()
            arrived |= {number for number, _, _ in gate.agent.do("tapped_tags")}
    assert arrived == ({22} if (who, protocol) == ("mgmt", "tcp") else set())
