"""Those beyond routers of a link, in a booted machine: each branch has a router of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic
from tests.support.mac_addresses import GUEST_LAN_MAC, GUEST_MAC
from tests.support.office_addresses import (
    NAMES,
    ROUTERS,
    SECOND,
    SELF_LAN,
    SELF_WAN,
    TECHNICIAN,
    WORLD,
)
from tests.support.vm.booted import MEMORY, BootedGuest, boot
from tests.support.vm.built_image import direct, with_example
from tests.support.vm.guest import LOGS
from tests.support.vm.peer import Peer
from tests.support.vm.probe import Ping, Probe, Tcp, Udp
from tests.support.vm.wire import Wire

versions = pytest.mark.parametrize("version", [4, 6])
MACS = ("52:54:00:00:01:fe", "52:54:00:00:01:fd")


@dataclass(frozen=True)
class Office:
    """The gateway at its prompt, the world, and the routers of both branches."""

    booted: BootedGuest
    world: Peer
    first: Peer
    second: Peer


@pytest.fixture(scope="module")
def office(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    image = direct(artefacts, with_example(artefacts, "office", tmp_path_factory.mktemp("office")))
    with Wire() as wan, Wire(LOGS / "boot-office-lan.pcap") as lan:
        nics = (Nic(wan.netdev, GUEST_MAC), Nic(lan.netdev, GUEST_LAN_MAC))
        first, second = (
            Peer(lan, mac, GUEST_LAN_MAC, [routers[at] for routers in ROUTERS.values()])
            for at, mac in enumerate(MACS)
        )
        for version in (4, 6):
            first.serve_tcp(NAMES[version], 53)
            second.serve_tcp(SECOND[version], 53)
        for booted in boot("office", Machine(image, nics, MEMORY), accelerated, wan):
            for version in (4, 6):
                booted.peer.serve_tcp(WORLD[version], 80)
            yield Office(booted, booted.peer, first, second)


@versions
def test_a_branch_is_answered_by_its_own_router(office: Office, version: int) -> None:
    for router, who in ((office.first, TECHNICIAN), (office.second, SECOND)):
        assert router.tcp(who[version], WORLD[version], 80).verdict == "syn-ack"
        assert router.tcp_talk(who[version], WORLD[version], 80) == b"hello\n"
    assert office.first.tcp(SECOND[version], WORLD[version], 80).verdict == "silence"


@versions
def test_the_technician_of_one_branch_gets_in_and_nobody_else(office: Office, version: int) -> None:
    """Where nothing listens who may get in is told so."""
    own = SELF_LAN[version]
    assert office.first.tcp(TECHNICIAN[version], own, 22).verdict == "rst"
    marker = Tcp(TECHNICIAN[version], own, 22)
    asked = [Tcp(NAMES[version], own, 22), Tcp(TECHNICIAN[version], own, 80)]
    told = office.first.probes(asked, marker=marker)
    assert [result.verdict for result in told] == ["silence", "silence"]


@versions
def test_nobody_in_the_world_is_one_of_a_branch_or_reaches_one(
    office: Office, version: int
) -> None:
    start = time.monotonic()
    who, world = TECHNICIAN[version], WORLD[version]
    asked: list[Probe] = [
        Tcp(who, SELF_WAN[version], 22),
        Tcp(who, world, 80),
        Tcp(world, NAMES[version], 53),
        Udp(world, SECOND[version], 53),
        Ping(world, NAMES[version]),
    ]
    told = office.world.probes(asked)
    assert {result.verdict for result in told} <= {"silence", "unresolved"}
    about = {*NAMES.values(), *SECOND.values()}
    inner = [frame.packet for frame in office.first.wire.frames(since=start)]
    assert not [p for p in inner for layer in (IP, IPv6) if layer in p and p[layer].dst in about]


@versions
def test_the_machine_asks_the_name_server_of_a_branch(office: Office, version: int) -> None:
    run = office.booted.guest.run
    assert run(f"probe tcp {NAMES[version]} 53").startswith("connected")
    assert run(f"probe tcp {SECOND[version]} 53").startswith("refused by the policy (EACCES)")


def test_the_routes_are_as_planned_after_all_that(office: Office) -> None:
    assert office.booted.guest.run("audit").endswith("as planned")
