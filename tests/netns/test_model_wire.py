"""What RTM_GETROUTE cannot ask, asked with frames: other protocols, and fragments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Frame
from scapy.packet import Raw

from pbrinit.cli.build import load
from pbrinit.model.kernel import decide
from pbrinit.net.packet import Fragment, Ingress, Packet
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from tests.support.namespaces import in_namespace, route_get
from tests.support.namespaces.lab import Lab

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[network]
known = ["198.51.100.0/24", "2001:db8:5::/48"]
[service]
some = ["udp/53", "ip/47", "ip/132"]
[[input]]
from = "known"
service = "some"
"""
SELF = {4: "192.0.2.2", 6: "2001:db8::2"}
KNOWN = {4: "198.51.100.9", 6: "2001:db8:5::9"}
STRANGER = {4: "203.0.113.7", 6: "2001:db8:7::7"}
WHOLE = (2, 4, 46, 47, 50, 88, 103, 132, 200, 255)
EXTENSIONS_6 = (4, 50)  # IPv6 hands these to what unpacks them before they are counted
IN_PIECES = (17, 47, 132)
DATA = bytes.fromhex("9c40003500280000") + bytes(32)
"""The header of a datagram from port 40000 to port 53, and what follows."""


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Plan]]:
    """A machine with a policy about protocols in force, and its plan."""
    path = tmp_path_factory.mktemp("policy") / "gate.toml"
    Path(path).write_text(POLICY)
    plan = load(path)
    with Lab(["192.0.2.1/24"], []) as lab:
        assert lab.machine.do(in_namespace.enforce, encode(plan, "gate")) == []
        yield lab, plan


def cases(version: int, source: str) -> Iterator[tuple[Frame, Packet]]:
    """Packets as they go on the wire and as the model has them."""
    here, there = ip_address(SELF[version]), ip_address(source)
    for protocol in WHOLE:
        whole: Frame
        if version == 4:
            whole = IP(src=source, dst=SELF[4], proto=protocol)
        elif protocol in EXTENSIONS_6:
            continue
        else:
            whole = IPv6(src=source, dst=SELF[6], nh=protocol)
        yield whole / Raw(DATA), Packet(protocol, there, here)
    for protocol in IN_PIECES:
        for fragment, offset, more in ((Fragment.FIRST, 0, 1), (Fragment.LATER, 5, 0)):
            piece: Frame
            number = 7 * protocol + offset
            if version == 4:
                piece = IP(src=source, dst=SELF[4], proto=protocol, id=number, frag=offset,
                           flags="MF" if more else 0)  # fmt: skip
            else:
                piece = IPv6(src=source, dst=SELF[6]) / IPv6ExtHdrFragment(
                    nh=protocol, offset=offset, m=more, id=number
                )
            yield piece / Raw(DATA), Packet(protocol, there, here, 40000, 53, fragment=fragment)


@pytest.mark.parametrize("who", [KNOWN, STRANGER], ids=["known", "stranger"])
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_takes_in_what_the_model_says(
    wire: tuple[Lab, Plan], version: int, who: dict[int, str]
) -> None:
    lab, plan = wire
    ethernet = Ether(dst=lab.machine.do(in_namespace.mac), src="02:00:00:00:00:09")
    taken = []
    for packet, modelled in cases(version, who[version]):
        before = lab.machine.do(route_get.accepted_count, version)
        lab.peer.do(in_namespace.transmit, [bytes(ethernet / packet)])
        time.sleep(0.02)
        passed = lab.machine.do(route_get.accepted_count, version) > before
        assert passed == decide(plan, modelled, Ingress("eth0")).allowed, modelled
        taken.append(passed)
    assert any(taken) == (who is KNOWN)
