"""An image whose address comes by DHCP: without one, with one, with another, and without again.
A page is served in a room.

The tests are one story: a dnsmasq comes, gives, changes its mind, and goes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP
from scapy.packet import Packet as Layer

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from tests.support.mac_addresses import GUEST_MAC
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.vm import load
from tests.support.vm.appliance import (
    MGMT,
    PAGE_ALLOWED,
    SERVER,
    SSH_ALLOWED,
    STRANGER,
    UNREACHED,
    Appliance,
    assert_in_order,
    boot_appliance,
)

POLICY = Path("examples/dhcp.toml")
FIRST, SECOND = "192.0.2.77", "192.0.2.90"
BRANCH, BRANCHES_ROUTER = "203.0.113.128/25", "192.0.2.9"
ROUTES = f"option:classless-static-route,{BRANCH},{BRANCHES_ROUTER},0.0.0.0/0,{SERVER[4]}"
"""What comes with the second address: not all the world is the gateway's any more."""

RENEWAL = "--dhcp-option=option:T1,40"
"""Seconds: later than a slow guest has the plan for its lease in force."""

LEASE_SECONDS = 120


@pytest.fixture(scope="module")
def appliance(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Appliance]:
    folder = tmp_path_factory.mktemp("dhcp")
    with boot_appliance(POLICY, artefacts, accelerated, folder, [f"{SERVER[4]}/24"]) as found:
        yield found


@pytest.fixture(scope="module")
def servers(appliance: Appliance) -> Iterator[ExitStack]:
    """The dnsmasq that runs on the appliance's network."""
    assert appliance.folder.exists()
    with ExitStack() as running:
        yield running


def serve(appliance: Appliance, servers: ExitStack, address: str, *options: str) -> None:
    """Let a dnsmasq give this address alone."""
    pool = f"--dhcp-range={address},{address},2m"
    network = appliance.network.namespace
    servers.enter_context(dhcp_server.dnsmasq(network, appliance.folder, pool, RENEWAL, *options))


def four(appliance: Appliance, since: float = 0.0) -> list[Layer]:
    """What of IPv4 and ARP the guest sent."""
    return appliance.sent_packets(since, lambda packet: IP in packet or ARP in packet)


def is_discover(packet: Layer) -> bool:
    return (
        UDP in packet
        and (packet[UDP].sport, packet[UDP].dport) == (68, 67)
        and (packet[IP].src, packet[IP].dst) == ("0.0.0.0", "255.255.255.255")
    )


def test_without_a_server_nothing_of_ipv4_leaves_but_dhcp(appliance: Appliance) -> None:
    assert appliance.probe_results(FIRST) == UNREACHED
    assert not appliance.is_page_served(FIRST)
    assert "refused" in appliance.guest.run(f"probe tcp {SERVER[4]} 443 as updater")
    time.sleep(4)
    sent = four(appliance)
    assert sent
    assert all(is_discover(packet) for packet in sent)


def test_with_a_lease_the_machine_is_as_the_policy_says(
    appliance: Appliance, servers: ExitStack
) -> None:
    serve(appliance, servers, FIRST)
    appliance.guest.expect(rf"wan: {FIRST}/24, gateway {SERVER[4]} for 120 s from {SERVER[4]}", 70)
    appliance.guest.expect(r'policy "dhcp" [0-9a-f]{16}: \d+ rules in force', 30)
    assert appliance.probe_results(FIRST) == SSH_ALLOWED
    assert appliance.page_results(FIRST) == PAGE_ALLOWED
    assert appliance.network.namespace.do(in_namespace.ping, FIRST, MGMT[4])
    appliance.network.namespace.do(in_namespace.serve, "tcp", 443, (SERVER[4],))
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    assert "connected" in appliance.guest.run(f"probe tcp {SERVER[4]} 443 as updater")
    assert "refused" in appliance.guest.run(f"probe tcp {SERVER[4]} 443")


def is_more_time(packet: Layer, own: str) -> bool:
    return (
        UDP in packet
        and (packet[UDP].sport, packet[UDP].dport) == (68, 67)
        and (packet[IP].src, packet[IP].dst) in ((own, SERVER[4]), (own, "255.255.255.255"))
    )


def is_allowed(packet: Layer, own: str) -> bool:
    """Whether the machine may send it as the one that has this address."""
    if ARP in packet:
        return bool(packet[ARP].psrc == own)
    if packet[IP].src != own:
        return False
    if ICMP in packet:
        # The timestamp is the kernel's to tell whom it may answer (docs/ways-out.md).
        return packet[ICMP].type in (0, 14) and bool(packet[IP].dst == MGMT[4])
    if TCP in packet and packet[TCP].sport in (22, 80):
        return bool(packet[IP].dst == MGMT[4])
    to_web = TCP in packet and packet[TCP].dport == 443
    return to_web or is_more_time(packet, own)


def test_another_address_takes_the_place_of_the_first_without_a_gap(
    appliance: Appliance, servers: ExitStack
) -> None:
    """Everybody asks all the time, for both addresses; each frame of the machine is one that the
    first address, none, or the second allows, in this order.
    """
    servers.close()
    serve(appliance, servers, SECOND, f"--dhcp-option={ROUTES}")
    start = time.monotonic()
    inside, hardware = appliance.network.namespace, GUEST_MAC
    inside.do(load.start, hardware, (FIRST, SECOND), (MGMT[4], STRANGER[4], SERVER[4]))
    appliance.guest.expect(r"wan: no lease", LEASE_SECONDS)
    given = f"{SECOND}/24, gateway {SERVER[4]}, {BRANCH} via {BRANCHES_ROUTER}"
    appliance.guest.expect(rf"wan: {given} for 120 s from {SERVER[4]}", 60)
    appliance.guest.expect(r'policy "dhcp" [0-9a-f]{16}: \d+ rules in force', 30)
    time.sleep(5)
    assert inside.do(load.stop) > 2000
    sent = four(appliance, start)
    first, second = (partial(is_allowed, own=own) for own in (FIRST, SECOND))
    assert_in_order(sent, first, is_discover, second)
    assert appliance.probe_results(SECOND) == SSH_ALLOWED
    assert appliance.page_results(SECOND) == PAGE_ALLOWED
    assert appliance.probe_results(FIRST) == UNREACHED
    assert not appliance.is_page_served(FIRST)


def test_who_is_beyond_a_router_of_the_lease_is_asked_by_that_router(appliance: Appliance) -> None:
    """The router is not there: so it is looked for, and neither he nor the gateway is."""
    asked = time.monotonic()
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    assert "no answer" in appliance.guest.run("probe tcp 203.0.113.200 443 as updater")
    sent = four(appliance, asked)
    assert {packet[ARP].pdst for packet in sent if ARP in packet} == {BRANCHES_ROUTER}
    assert not [packet for packet in sent if IP in packet and packet[IP].dst == "203.0.113.200"]


def test_a_lease_that_nobody_renews_ends_and_nothing_but_dhcp_is_left(
    appliance: Appliance, servers: ExitStack
) -> None:
    servers.close()
    gone = time.monotonic()
    appliance.guest.expect(r"wan: no lease", LEASE_SECONDS + 10)
    taken_away = time.monotonic()
    assert taken_away - gone <= LEASE_SECONDS + 5
    appliance.guest.expect(r'policy "dhcp" [0-9a-f]{16}: \d+ rules in force', 30)
    time.sleep(2)
    closed = time.monotonic()
    assert appliance.probe_results(SECOND) == UNREACHED
    assert not appliance.is_page_served(SECOND)
    assert not appliance.network.namespace.do(in_namespace.ping, SECOND, MGMT[4])
    time.sleep(5)
    sent = four(appliance, closed)
    assert sent
    assert all(is_discover(packet) for packet in sent)
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    assert SECOND not in appliance.guest.run("status")
    assert appliance.guest.run("audit").endswith("as planned")
