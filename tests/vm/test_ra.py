"""An image whose addresses come by router advertisement and by DHCP: without any, with one, with
both, with another policy, with another prefix, and without again.  A page is served in a room.

The tests are one story: a dnsmasq comes as a router, gives IPv4 as well, changes its prefix, and
goes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    IPv6,
)
from scapy.packet import Packet as Layer

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from tests.support.mac_addresses import GUEST_MAC
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.vm import load
from tests.support.vm.appliance import (
    MGMT,
    OTHER_PORT,
    PAGE_ALLOWED,
    SERVER,
    SSH_ALLOWED,
    STRANGER,
    UNREACHED,
    Appliance,
    assert_in_order,
    boot_appliance,
)

POLICY = Path("examples/autoconf.toml")
CARD = "5054:ff:fe12:3456"
FIRST, SECOND = f"2001:db8::{CARD}", f"2001:db8:1:0:{CARD}"
FOUR = "192.0.2.77"
TIMES = "--ra-param=eth0,10,120"
"""Seconds: between two advertisements, and for how long it is a router."""

PAUSE = 0.01
"""Seconds between two frames of those who ask: a guest that is asked faster than it can hear loses
some, and an advertisement is sent once.
"""

GIVES_FOUR = (f"--dhcp-range={FOUR},{FOUR},1h",)
PREFIX_SECONDS = 120
RULES = r'policy "\w+" [0-9a-f]{16}: \d+ rules in force'


def prefix(value: str, seconds: str) -> str:
    return f"--dhcp-range={value},ra-only,64,{seconds}"


@pytest.fixture(scope="module")
def appliance(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Appliance]:
    assert POLICY.exists()
    folder = tmp_path_factory.mktemp("ra")
    on_link = [f"{SERVER[4]}/24", f"{SERVER[6]}/64", "2001:db8:1::1/64"]
    with boot_appliance(POLICY, artefacts, accelerated, folder, on_link) as found:
        found.network.namespace.run("sysctl", "-qw", "net/ipv6/conf/eth0/accept_ra=0")
        yield found


@pytest.fixture(scope="module")
def servers(appliance: Appliance) -> Iterator[ExitStack]:
    """The dnsmasq that runs on the appliance's network."""
    assert appliance.folder.exists()
    with ExitStack() as running:
        yield running


def serve(appliance: Appliance, servers: ExitStack, *options: str) -> None:
    """Let a dnsmasq be the router, in the place of what was there."""
    servers.close()
    inside = appliance.network.namespace
    served = dhcp_server.dnsmasq(inside, appliance.folder, "--enable-ra", TIMES, *options)
    servers.enter_context(served)


def six(appliance: Appliance, since: float = 0.0) -> list[Layer]:
    """What of IPv6 the guest sent."""
    return appliance.sent_packets(since, lambda packet: IPv6 in packet)


def is_near(packet: Layer) -> bool:
    """What leaves with an address and without: the kernel's own, and what asks routers."""
    kinds = (ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6MLReport2)
    return any(kind in packet for kind in kinds) or is_question(packet)


def is_question(packet: Layer) -> bool:
    if ICMPv6ND_RS not in packet:
        return False
    near = IPv6Address(packet[IPv6].src)
    ends = packet[IPv6].dst, packet[IPv6].hlim
    return (near.is_link_local or near.is_unspecified) and ends == ("ff02::2", 255)


def is_allowed(packet: Layer, own: str) -> bool:
    """Whether the machine may send it as the one that has this address."""
    if is_near(packet):
        return True
    if IPv6Address(packet[IPv6].src) != IPv6Address(own):
        return False
    to_mgmt = packet[IPv6].dst == MGMT[6]
    answer = ICMPv6EchoReply in packet or (TCP in packet and packet[TCP].sport in (22, 80))
    return (answer and to_mgmt) or (TCP in packet and packet[TCP].dport == 443)


def at_prompt(appliance: Appliance, command: str) -> str:
    appliance.guest.send_line("")
    appliance.guest.wait_for_prompt()
    return appliance.guest.run(command, 90)


def test_without_a_router_nothing_of_ipv6_leaves_but_what_asks_for_one(
    appliance: Appliance,
) -> None:
    assert appliance.probe_results(FIRST) == UNREACHED
    assert not appliance.is_page_served(FIRST)
    assert "refused" in appliance.guest.run(f"probe tcp {SERVER[6]} 443 as updater")
    time.sleep(4)
    sent = six(appliance)
    assert [packet for packet in sent if is_question(packet)]
    assert all(is_near(packet) for packet in sent)


def test_with_a_prefix_the_machine_is_as_the_policy_says(
    appliance: Appliance, servers: ExitStack
) -> None:
    serve(appliance, servers, prefix("2001:db8::", "2m"))
    appliance.guest.expect(rf"wan: {FIRST}/64, gateway fe80::\S+ for 1\d\d s from fe80::", 80)
    appliance.guest.expect(RULES, 30)
    assert appliance.ssh_results(FIRST) == SSH_ALLOWED
    assert appliance.page_results(FIRST) == PAGE_ALLOWED
    assert appliance.network.namespace.do(in_namespace.ping, FIRST, MGMT[6])
    appliance.network.namespace.do(in_namespace.serve, "tcp", 443, (STRANGER[6],))
    assert "connected" in at_prompt(appliance, f"probe tcp {STRANGER[6]} 443 as updater")
    assert "refused" in appliance.guest.run(f"probe tcp {STRANGER[6]} 443")
    assert f"{FIRST}/64" in appliance.guest.run("status")
    assert all(is_allowed(packet, FIRST) for packet in six(appliance))


def test_a_lease_comes_beside_it_and_both_are_used(
    appliance: Appliance, servers: ExitStack
) -> None:
    serve(appliance, servers, prefix("2001:db8::", "2m"), *GIVES_FOUR)
    appliance.guest.expect(rf"wan: {FOUR}/24, gateway {SERVER[4]} for 3600 s", 80)
    appliance.guest.expect(RULES, 30)
    for own in (FOUR, FIRST):
        assert appliance.ssh_results(own) == SSH_ALLOWED
        assert appliance.page_results(own) == PAGE_ALLOWED
    assert at_prompt(appliance, "audit").endswith("as planned")


def test_a_policy_is_tried_with_what_is_given_and_kept(appliance: Appliance) -> None:
    """What follows is of the one that is confirmed here, which says the same as the image's."""
    told = at_prompt(appliance, "try /policies/other.toml 40")
    assert 'policy "other" is in force for 40 s' in told
    for own in (FOUR, FIRST):
        assert appliance.probe_results(own, OTHER_PORT) == SSH_ALLOWED
        assert appliance.probe_results(own) == UNREACHED
        assert appliance.probe_results(own, 80) == PAGE_ALLOWED
    appliance.guest.expect('policy "other" was not confirmed', 45)
    appliance.guest.expect(RULES, 30)
    assert appliance.probe_results(FOUR) == SSH_ALLOWED
    told = at_prompt(appliance, "try /etc/pbrinit/policy.toml 60")
    assert 'policy "policy" is in force for 60 s' in told
    assert 'policy "policy" is kept' in appliance.guest.run("confirm")
    assert appliance.guest.run("audit").endswith("as planned")


def test_another_prefix_takes_the_place_of_the_first_without_a_gap(
    appliance: Appliance, servers: ExitStack
) -> None:
    """Everybody asks all the time, for both addresses; each frame of the machine is one that the
    first address or the second allows, in this order. IPv4 stays as it is.
    """
    start = time.monotonic()
    inside = appliance.network.namespace
    sources = (MGMT[6], STRANGER[6], SERVER[6])
    inside.do(load.start, GUEST_MAC, (FIRST, SECOND), sources, PAUSE)
    serve(appliance, servers, prefix("2001:db8::", "deprecated"), prefix("2001:db8:1::", "2m"),
          *GIVES_FOUR)  # fmt: skip
    # Where the one that dnsmasq sends as it starts is lost, the guest asks late in its time.
    appliance.guest.expect(rf"wan: {SECOND}/64, gateway fe80::\S+ for 1\d\d s", PREFIX_SECONDS)
    appliance.guest.expect(RULES, 30)
    time.sleep(5)
    assert inside.do(load.stop) > 200
    sent = [packet for packet in six(appliance, start) if not is_near(packet)]
    assert_in_order(sent, *(partial(is_allowed, own=own) for own in (FIRST, SECOND)))
    assert appliance.ssh_results(SECOND) == SSH_ALLOWED
    assert appliance.page_results(SECOND) == PAGE_ALLOWED
    assert appliance.probe_results(FIRST) == UNREACHED
    assert not appliance.is_page_served(FIRST)
    assert appliance.page_results(FOUR) == PAGE_ALLOWED


def test_a_prefix_that_nobody_says_anew_is_over_and_the_lease_is_not(
    appliance: Appliance, servers: ExitStack
) -> None:
    servers.close()
    gone = time.monotonic()
    appliance.guest.expect(r"wan: no advertisement", PREFIX_SECONDS + 10)
    assert time.monotonic() - gone <= PREFIX_SECONDS + 5
    appliance.guest.expect(RULES, 30)
    time.sleep(2)
    closed = time.monotonic()
    assert appliance.probe_results(SECOND) == UNREACHED
    assert not appliance.is_page_served(SECOND)
    assert not appliance.network.namespace.do(in_namespace.ping, SECOND, MGMT[6])
    assert appliance.probe_results(FOUR) == SSH_ALLOWED
    assert appliance.page_results(FOUR) == PAGE_ALLOWED
    time.sleep(5)
    assert all(is_near(packet) for packet in six(appliance, closed))
    assert appliance.sent_packets(closed, lambda packet: IP in packet)
    status = at_prompt(appliance, "status")
    assert not re.search(r"2001:db8:", status)
    assert f"{FOUR}/24" in status
    assert appliance.guest.run("audit").endswith("as planned")
