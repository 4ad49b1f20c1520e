"""The other examples, each booted: what a person would try first on such a machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF, STRANGER
from tests.support.mac_addresses import GUEST_LAN_MAC, GUEST_MAC
from tests.support.vm.booted import IN_FORCE, MEMORY, BootedGuest, boot
from tests.support.vm.built_image import direct, with_example
from tests.support.vm.guest import LOGS
from tests.support.vm.peer import Peer
from tests.support.vm.probe import Ping, Probe, Tcp, Udp
from tests.support.vm.wire import Wire

versions = pytest.mark.parametrize("version", [4, 6])
LAN_MAC = "52:54:00:00:01:fe"
INSIDE = {4: "203.0.113.5", 6: "2001:db8:1::5"}
MAILER = {4: "203.0.113.25", 6: "2001:db8:1::25"}
SERVER = {4: "203.0.113.80", 6: "2001:db8:1::80"}
LAN_SELF = {4: "203.0.113.1", 6: "2001:db8:1::1"}
OUTSIDE = {4: "198.51.100.9", 6: "2001:db8:7::9"}
PROHIBITED = {4: "icmp 3/13", 6: "icmp 1/1"}
LISTED = {4: "1.0.0.144", 6: "2001:db8:bad:5a::1"}
BLOCKLIST_MEMORY = 256
"""The routes are 35 MiB in the kernel; to read 200,000 of them back takes PID 1 the rest."""


@dataclass(frozen=True)
class Router:
    """A router at its prompt, with those outside and those inside."""

    booted: BootedGuest
    outside: Peer
    inside: Peer


@pytest.fixture(scope="module")
def router(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Router]:
    """The router between two wires."""
    image = direct(artefacts, with_example(artefacts, "router", tmp_path_factory.mktemp("router")))
    with Wire(LOGS / "boot-router-wan.pcap") as wan, Wire(LOGS / "boot-router-lan.pcap") as lan:
        nics = (Nic(wan.netdev, GUEST_MAC), Nic(lan.netdev, GUEST_LAN_MAC))
        inside = Peer(lan, LAN_MAC, GUEST_LAN_MAC, [])
        for booted in boot("router", Machine(image, nics, MEMORY), accelerated, wan):
            for named in (INSIDE, MAILER, SERVER):
                inside.addresses.update(named.values())
            for version in (4, 6):
                for port in (25, 53, 443, 8080):
                    booted.peer.serve_tcp(OUTSIDE[version], port)
                    for host in (SERVER, INSIDE):
                        inside.serve_tcp(host[version], port)
                booted.peer.serve_ping(OUTSIDE[version])
            yield Router(booted, booted.peer, inside)


def test_a_router_passes_nothing_on_before_its_rules_are_in_force(router: Router) -> None:
    in_force = router.booted.guest.printed_at(IN_FORCE)
    assert router.booted.wire.frames(until=in_force) == []
    assert router.inside.wire.frames(until=in_force) == []


@versions
def test_inside_they_browse_ask_names_and_ping(router: Router, version: int) -> None:
    who, where = INSIDE[version], OUTSIDE[version]
    marker = Ping(who, where)
    told = router.inside.probes([Tcp(who, where, port) for port in (443, 53)], marker=marker)
    assert [result.verdict for result in told] == ["syn-ack", "syn-ack"]
    assert router.inside.tcp_talk(who, where, 443) == b"hello\n"


@versions
def test_what_is_not_allowed_out_is_silence(router: Router, version: int) -> None:
    who, where = INSIDE[version], OUTSIDE[version]
    asked: list[Probe] = [Tcp(who, where, 8080), Udp(who, where, 443)]
    told = router.inside.probes(asked, marker=Ping(who, where))
    assert [result.verdict for result in told] == ["silence"] * len(asked)


@versions
def test_who_may_not_send_mail_is_told_and_the_mail_host_may(router: Router, version: int) -> None:
    where = OUTSIDE[version]
    assert router.inside.tcp(INSIDE[version], where, 25).verdict == PROHIBITED[version]
    assert router.inside.tcp(MAILER[version], where, 25).verdict == "syn-ack"


@versions
def test_from_outside_only_the_web_server_is_reached(router: Router, version: int) -> None:
    who = OUTSIDE[version]
    marker = Tcp(who, SERVER[version], 443)
    asked = [Tcp(who, SERVER[version], port) for port in (25, 53, 80, 8080)]
    asked += [Tcp(who, INSIDE[version], port) for port in (25, 53, 443)]
    asked += [Tcp(who, own[version], 22) for own in (SELF, LAN_SELF)]
    told = router.outside.probes(asked, marker=marker)
    assert [result.verdict for result in told] == ["silence"] * len(asked)


@versions
def test_nobody_outside_speaks_for_somebody_inside(router: Router, version: int) -> None:
    forged = [Tcp(INSIDE[version], SERVER[version], 443), Tcp(SELF[version], SERVER[version], 443)]
    marker = Tcp(OUTSIDE[version], SERVER[version], 443)
    told = router.outside.probes(forged, marker=marker)
    assert [result.verdict for result in told] == ["silence", "silence"]


def test_a_router_is_as_planned_after_all_that(router: Router) -> None:
    assert "in force, as planned" in router.booted.guest.run("status")


@pytest.fixture(scope="module")
def blocklist(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedGuest]:
    """The server with 100,000 prefixes that are not to reach it, while it listens."""
    folder = tmp_path_factory.mktemp("blocklist")
    image = direct(artefacts, with_example(artefacts, "blocklist", folder))
    with Wire() as wire:
        machine = Machine(image, (Nic(wire.netdev, GUEST_MAC),), BLOCKLIST_MEMORY)
        for booted in boot("blocklist", machine, accelerated, wire):
            booted.guest.send_line("listen tcp 443 80 as www")
            booted.guest.expect(r"listening on")
            yield booted


@versions
def test_whoever_is_not_listed_reaches_the_server(blocklist: BootedGuest, version: int) -> None:
    for who in (STRANGER, NEIGHBOUR, MGMT):
        assert blocklist.peer.tcp(who[version], SELF[version], 443).verdict == "syn-ack"


@versions
def test_who_is_listed_hears_nothing(blocklist: BootedGuest, version: int) -> None:
    asked = [Tcp(LISTED[version], SELF[version], port) for port in (443, 80)]
    told = blocklist.peer.probes(asked, marker=Tcp(STRANGER[version], SELF[version], 443))
    assert [result.verdict for result in told] == ["silence", "silence"]


@pytest.fixture(scope="module")
def kiosk(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedGuest]:
    """The kiosk on the household's wire."""
    image = direct(artefacts, with_example(artefacts, "kiosk", tmp_path_factory.mktemp("kiosk")))
    with Wire() as wire:
        machine = Machine(image, (Nic(wire.netdev, GUEST_MAC),), MEMORY)
        for booted in boot("kiosk", machine, accelerated, wire):
            for version in (4, 6):
                for where in (STRANGER, ROUTER, RESOLVER):
                    booted.peer.serve_tcp(where[version], 443)
                booted.peer.serve_tcp(RESOLVER[version], 53)
            yield booted


@versions
def test_a_kiosks_user_browses_the_world_but_not_the_house(
    kiosk: BootedGuest, version: int
) -> None:
    run = kiosk.guest.run
    assert run(f"probe tcp {STRANGER[version]} 443 as kiosk").startswith("connected")
    assert run(f"probe tcp {RESOLVER[version]} 53 as kiosk").startswith("connected")
    for where, port in ((ROUTER, 443), (RESOLVER, 443), (STRANGER, 53)):
        told = run(f"probe tcp {where[version]} {port} as kiosk")
        assert told.startswith("refused by the policy (EACCES)"), told


@versions
def test_nobody_else_on_a_kiosk_gets_out(kiosk: BootedGuest, version: int) -> None:
    told = kiosk.guest.run(f"probe tcp {STRANGER[version]} 443")
    assert told.startswith("refused by the policy (EACCES)")
