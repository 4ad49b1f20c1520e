"""A machine with two interfaces: what is allowed by the one is not allowed by the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Namespace
from tests.support.namespaces.two_sided import (
    ADMIN,
    CLOCK,
    ELSEWHERE,
    SELF_INNER,
    SELF_OUTER,
    SERVER,
    TwoSided,
    two_sided,
)

versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def bastion() -> Iterator[TwoSided]:
    with two_sided(Path("examples/bastion.toml")) as bastion:
        yield bastion


def ask_out(bastion: TwoSided, protocol: str, address: str, port: int) -> str:
    return bastion.machine.do(in_namespace.send_probe, in_namespace.Probe(protocol, address, port))


def ask_in(side: Namespace, address: str, source: str) -> str:
    return side.do(
        in_namespace.send_probe, in_namespace.Probe("tcp", address, 22, source=(source, 0))
    )


@versions
def test_an_administrator_comes_in_from_outside(bastion: TwoSided, version: int) -> None:
    assert ask_in(bastion.outside, SELF_OUTER[version], ADMIN[version]) == "answered"


@versions
def test_nobody_comes_in_from_inside(bastion: TwoSided, version: int) -> None:
    for address in (SELF_INNER[version], SELF_OUTER[version]):
        assert ask_in(bastion.inside, address, SERVER[version]) == "silence"


@versions
def test_it_reaches_ssh_inside_and_the_clock_outside(bastion: TwoSided, version: int) -> None:
    assert ask_out(bastion, "tcp", SERVER[version], 22) == "answered"
    assert ask_out(bastion, "udp", CLOCK[version], 123) == "answered"


@versions
def test_it_reaches_nothing_else(bastion: TwoSided, version: int) -> None:
    for protocol, address, port in (
        ("tcp", CLOCK[version], 22),
        ("tcp", ELSEWHERE[version], 22),
        ("udp", SERVER[version], 123),
        ("udp", ELSEWHERE[version], 123),
    ):
        assert ask_out(bastion, protocol, address, port) == "EACCES"


@versions
def test_nothing_passes_through(bastion: TwoSided, version: int) -> None:
    bastion.outside.do(in_namespace.capture)
    probe = in_namespace.Probe("tcp", ELSEWHERE[version], 22, source=(SERVER[version], 0))
    assert bastion.inside.do(in_namespace.send_probe, probe) == "silence"
    assert bastion.outside.do(in_namespace.count_captured, SERVER[version], ELSEWHERE[version]) == 0


@pytest.mark.parametrize("destination", ["224.0.0.1", "255.255.255.255", "192.0.2.255"])
def test_whom_anybody_may_ask_shouts_to_no_program(bastion: TwoSided, destination: str) -> None:
    """The clock may be asked by any user, so its port is on the return path for everybody."""
    before = bastion.machine.do(in_namespace.snmp_counter, "Udp InDatagrams")
    bastion.outside.do(in_namespace.send_to_all, (CLOCK[4], 123), (destination, 123))
    bastion.outside.do(in_namespace.captured_frames)
    assert bastion.machine.do(in_namespace.snmp_counter, "Udp InDatagrams") == before
