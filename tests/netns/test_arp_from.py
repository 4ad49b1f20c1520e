"""ARP requests from outside the prefix of a link are answered where the policy says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.l2 import ARP, Ether

from pbrinit.cli.build import load, loaded
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab

POLICY = """
hostname = "line"
[interface.wan]
device = "eth0"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
{more}
[interface.lan]
device = "eth1"
address = "10.0.0.1/24"
"""
CHECKED = 'arp-from = ["100.64.0.0/10", "203.0.113.7"]'
SELF, LAN, PEER = "192.0.2.2", "10.0.0.1", "02:00:00:00:00:09"


@pytest.fixture(params=["", CHECKED], ids=["without", "with"])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Lab, bool]]:
    path = tmp_path / "line.toml"
    path.write_text(POLICY.format(more=request.param))
    with Lab(["192.0.2.1/24"], []) as lab:
        lab.connect("eth1", ["10.0.0.9/24"], [])
        assert lab.machine.do(in_namespace.enforce, encode(load(path), "line")) == []
        yield lab, bool(request.param)


def asked(lab: Lab, at: int, sender: str, target: str) -> bool:
    """Whether a request on the wire of a device is answered."""
    wire = lab.peers[at]
    wire.do(in_namespace.capture, True)
    request = ARP(op=1, hwsrc=PEER, psrc=sender, pdst=target)
    frame = Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / request
    wire.do(in_namespace.transmit, [bytes(frame)])
    answers = (Ether(data) for data in wire.do(in_namespace.captured_frames))
    return any(
        ARP in answer and answer[ARP].op == 2 and (answer[ARP].psrc, answer[ARP].pdst) == ends
        for answer in answers
        for ends in [(target, sender)]
    )


def test_those_who_are_named_get_an_answer_and_nobody_else(line: tuple[Lab, bool]) -> None:
    lab, named = line
    assert asked(lab, 0, "192.0.2.77", SELF)
    assert asked(lab, 0, "100.64.0.1", SELF) == named
    assert asked(lab, 0, "203.0.113.7", SELF) == named
    for sender, target in (
        ("203.0.113.8", SELF), ("10.0.0.9", SELF), ("100.64.0.1", LAN), ("100.64.0.1", "192.0.2.9"),
        ("192.0.2.77", LAN),
    ):  # fmt: skip
        assert not asked(lab, 0, sender, target), (sender, target)
    assert asked(lab, 1, "10.0.0.77", LAN)
    assert not asked(lab, 1, "100.64.0.1", LAN)
    assert not asked(lab, 1, "192.0.2.77", LAN)


def test_only_the_interface_that_has_it_answers_others(tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    path.write_text(POLICY.format(more=CHECKED))
    _, plan = loaded(path)
    values = {
        sysctl.key: sysctl.value
        for sysctl in (*plan.sysctls, *(s for link in plan.links for s in link.sysctls))
    }
    ignored = {
        d: values[f"net/ipv4/conf/{d}/arp_ignore"] for d in ("all", "default", "eth0", "eth1")
    }
    assert ignored == {"all": "1", "default": "2", "eth0": "1", "eth1": "2"}


def test_everybody_may_be_named(tmp_path: Path) -> None:
    """The kernel reads a rule back without a prefix of length 0."""
    path = tmp_path / "line.toml"
    path.write_text(POLICY.format(more='arp-from = "0.0.0.0/0"'))
    with Lab(["192.0.2.1/24"], []) as lab:
        lab.connect("eth1", ["10.0.0.9/24"], [])
        assert lab.machine.do(in_namespace.enforce, encode(load(path), "line")) == []
        assert asked(lab, 0, "100.64.0.1", SELF)
