"""Those beyond a router of a link: real packets by examples/office.toml, and who carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab, Namespace
from tests.support.office_addresses import (  # fmt: skip
    CLERK,
    NAMES,
    ROUTERS,
    SECOND,
    SELF_LAN,
    SELF_WAN,
    TECHNICIAN,
    WORLD,
)

versions = pytest.mark.parametrize("version", [4, 6])
LENGTHS = {4: 26, 6: 64}


@dataclass(frozen=True)
class Office:
    """The machine, the world behind its gateway, and the office with the branches' routers."""

    machine: Namespace
    world: Namespace
    office: Namespace


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    near = [f"{a}/{LENGTHS[v]}" for v in (4, 6) for a in (CLERK[v], *ROUTERS[v])]
    beyond = [a[v] for a in (TECHNICIAN, NAMES, SECOND) for v in (4, 6)]
    with Lab(["192.0.2.1/24", "2001:db8::1/64"], WORLD.values()) as lab:
        inside = lab.connect("eth1", near, beyond)
        for side, own in ((inside, SELF_LAN), (lab.peer, SELF_WAN)):
            for version, machine in own.items():
                side.run("ip", f"-{version}", "route", "add", "default", "via", machine)
        plan = encode(load(Path("examples/office.toml")), "office")
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(in_namespace.serve, "tcp", 22)
        lab.machine.do(in_namespace.serve, "udp", 123)
        lab.peer.do(in_namespace.serve, "tcp", 80, (*WORLD.values(),))
        inside.do(in_namespace.serve, "udp", 53, (*NAMES.values(), *SECOND.values()))
        yield Office(lab.machine, lab.peer, inside)


def ask(who: Namespace, protocol: str, address: str, port: int, source: str) -> str:
    return who.do(
        in_namespace.send_probe, in_namespace.Probe(protocol, address, port, source=(source, 0))
    )


@versions
def test_who_lives_beyond_a_router_is_let_in_as_the_policy_says(
    office: Office, version: int
) -> None:
    own = SELF_LAN[version]
    assert ask(office.office, "tcp", own, 22, TECHNICIAN[version]) == "answered"
    assert ask(office.office, "udp", own, 123, SECOND[version]) == "answered"
    assert ask(office.office, "tcp", own, 22, SECOND[version]) == "silence"
    assert ask(office.office, "tcp", own, 22, CLERK[version]) == "silence"


@versions
def test_a_branch_browses_through_the_machine(office: Office, version: int) -> None:
    for who in (TECHNICIAN, SECOND, CLERK):
        assert ask(office.office, "tcp", WORLD[version], 80, who[version]) == "answered"
    assert ask(office.office, "udp", WORLD[version], 80, SECOND[version]) == "silence"


@versions
def test_the_machine_asks_who_stands_in_a_branch(office: Office, version: int) -> None:
    def asked(address: str) -> str:
        return office.machine.do(in_namespace.send_probe, in_namespace.Probe("udp", address, 53))

    assert asked(NAMES[version]) == "answered"
    assert asked(SECOND[version]) == "EACCES"


@versions
def test_nobody_by_the_other_interface_is_one_of_a_branch(office: Office, version: int) -> None:
    """He would be let in by the inner one."""
    office.machine.do(in_namespace.tap_tcp)
    hardware = office.machine.do(in_namespace.mac, "eth0")
    for own in (SELF_LAN, SELF_WAN):
        office.world.do(
            in_namespace.send_forged, hardware, (TECHNICIAN[version], 9), (own[version], 22)
        )
    inner = office.machine.do(in_namespace.mac, "eth1")
    office.office.do(
        in_namespace.send_forged, inner, (TECHNICIAN[version], 10), (SELF_LAN[version], 22)
    )
    assert set(office.machine.do(in_namespace.tapped_segments)) == {(TECHNICIAN[version], 10, 22)}


@versions
def test_each_branch_is_spoken_to_by_its_own_router(office: Office, version: int) -> None:
    """Nobody else is asked for on the link, those in the branches least of all."""

    def known() -> set[str]:
        lines = office.machine.run("ip", f"-{version}", "neigh", "show", "dev", "eth1")
        return {line.split()[0] for line in lines.splitlines()} - {CLERK[version]}

    first, second = ROUTERS[version]
    for who, router in ((TECHNICIAN, first), (SECOND, second)):
        office.machine.run("ip", f"-{version}", "neigh", "flush", "dev", "eth1")
        assert ask(office.office, "tcp", WORLD[version], 80, who[version]) == "answered"
        assert {address for address in known() if not address.startswith("fe80")} == {router}
