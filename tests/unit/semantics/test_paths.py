"""What a policy means: docs/meaning.md, statement by statement."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from pbrinit.net.addresses import Family, family_of
from pbrinit.net.packet import Egress, Fragment, Ingress, Packet
from pbrinit.net.services import Protocol
from pbrinit.semantics.decision import DROPPED, LOCAL, PolicyDecider
from pbrinit.semantics.paths import PolicySemantics
from tests.support.policy_text import check, written

SSH_IN = '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\n'
DNS_OUT = '[[output]]\non = "wan"\nto = "mgmt"\nservice = "dns"\nuser = "updater"\n'
PING_BOTH = (
    '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ping"\n'
    '[[output]]\non = "lan"\nservice = "ping"\n'
)
WEB_THROUGH = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'


@pytest.mark.parametrize(
    ("address", "behind"),
    [
        ("192.0.2.9", "wan"), ("203.0.113.7", "wan"), ("10.0.9.9", "lan"), ("172.16.0.2", "dmz"),
        ("192.0.2.0", "wan"), ("0.0.0.1", "wan"), ("fd00:10::9", "lan"), ("2001:db8:7::1", "wan"),
        ("192.0.2.2", None), ("10.0.0.1", None), ("192.0.2.255", None), ("172.16.0.3", None),
        ("0.0.0.0", None), ("127.0.0.1", None), ("224.0.0.5", None), ("255.255.255.255", None),
        ("::", None), ("::1", None), ("::ffff:1.2.3.4", None), ("fe80::1", None), ("ff02::1", None),
        ("fd00:10::1", None),
    ],
)  # fmt: skip
def test_each_address_lives_behind_one_interface_or_none(address: str, behind: str | None) -> None:
    policy = written("")
    family = family_of(ip_address(address))
    meaning = PolicySemantics(policy)
    found = [
        i.name
        for i in policy.interfaces
        if ip_address(address) in meaning.topology.hosts_behind(i, family)
    ]
    assert found == ([behind] if behind else [])


def test_nobody_lives_behind_an_interface_in_a_family_that_it_does_not_speak() -> None:
    policy = written("")
    dmz = policy.interfaces[2]
    assert dmz.name == "dmz"
    assert not PolicySemantics(policy).topology.hosts_behind(dmz, Family.V6)


def test_an_input_entry_lets_its_networks_ask_from_any_port_by_its_interface() -> None:
    check(
        SSH_IN,
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", LOCAL),
        ("in wan tcp 198.51.100.9:1 > 192.0.2.2:22", LOCAL),
        ("in wan tcp [2001:db8:5::9]:0 > [2001:db8::2]:22", LOCAL),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:23", DROPPED),
        ("in wan udp 198.51.100.9:40000 > 192.0.2.2:22", DROPPED),
        ("in wan tcp 203.0.113.7:40000 > 192.0.2.2:22", DROPPED),
        ("in wan tcp 198.51.100.9:40000 > 10.0.0.1:22", DROPPED),
        ("in lan tcp 198.51.100.9:40000 > 10.0.0.1:22", DROPPED),
    )


def test_an_input_entry_lets_answers_leave_to_any_port_and_by_any_user() -> None:
    check(
        SSH_IN,
        ("out tcp 192.0.2.2:22 > 198.51.100.9:1 as 1001", "wan"),
        ("out tcp 192.0.2.2:22 > 198.51.100.9:40000 as 0", "wan"),
        ("out tcp [2001:db8::2]:22 > [2001:db8:5::9]:40000", "wan"),
        ("out tcp 192.0.2.2:23 > 198.51.100.9:40000", DROPPED),
        ("out tcp 10.0.0.1:22 > 198.51.100.9:40000", DROPPED),
        ("out tcp 192.0.2.2:22 > 203.0.113.7:40000", DROPPED),
    )


def test_the_answers_of_an_input_entry_with_a_user_are_that_users() -> None:
    check(
        SSH_IN + 'user = "updater"\n',
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", LOCAL),
        ("out tcp 192.0.2.2:22 > 198.51.100.9:40000 as updater", "wan"),
        ("out tcp 192.0.2.2:22 > 198.51.100.9:40000 as 0", DROPPED),
    )


def test_an_output_entry_lets_its_user_ask_from_a_clients_port() -> None:
    check(
        DNS_OUT,
        ("out udp 192.0.2.2:32768 > 198.51.100.53:53 as updater", "wan"),
        ("out udp 192.0.2.2:60999 > 198.51.100.53:53 as updater", "wan"),
        ("out udp > 198.51.100.53:53 as updater", "wan"),
        ("out udp 192.0.2.2:61000 > 198.51.100.53:53 as updater", DROPPED),
        ("out udp 192.0.2.2:32767 > 198.51.100.53:53 as updater", DROPPED),
        ("out udp 192.0.2.2:40000 > 198.51.100.53:53 as 0", DROPPED),
        ("out udp 10.0.0.1:40000 > 198.51.100.53:53 as updater", DROPPED),
        ("out udp 192.0.2.2:40000 > 203.0.113.7:53 as updater", DROPPED),
    )


@pytest.mark.parametrize(("protocol", "way"), [("tcp", "wan"), ("udp", DROPPED)])
@pytest.mark.parametrize("port", [0, 65535])
def test_tcp_asks_also_from_the_ports_that_no_rule_can_name(
    protocol: str, way: str, port: int
) -> None:
    check(DNS_OUT, (f"out {protocol} 192.0.2.2:{port} > 198.51.100.53:53 as updater", way))


def test_an_output_entry_lets_answers_come_to_a_clients_port_whoever_asked() -> None:
    check(
        DNS_OUT,
        ("in wan udp 198.51.100.53:53 > 192.0.2.2:40000", LOCAL),
        ("in wan tcp [2001:db8:5::9]:53 > [2001:db8::2]:60999", LOCAL),
        ("in wan udp 198.51.100.53:54 > 192.0.2.2:40000", DROPPED),
        ("in wan udp 198.51.100.53:53 > 192.0.2.2:1024", DROPPED),
        ("in wan tcp 198.51.100.53:53 > 192.0.2.2:65535", DROPPED),
        ("in wan tcp 198.51.100.53:53 > 192.0.2.2:0", DROPPED),
    )


def test_icmp_is_told_by_type_only_on_the_way_out() -> None:
    check(
        PING_BOTH,
        ("in wan icmp/8/0 198.51.100.9 > 192.0.2.2", LOCAL),
        ("in wan icmp/3/1 198.51.100.9 > 192.0.2.2", LOCAL),
        ("in lan icmp/0/0 10.0.9.9 > 10.0.0.1", LOCAL),
        ("in wan icmp/8/0 203.0.113.7 > 192.0.2.2", DROPPED),
        ("out icmp/0/0 192.0.2.2 > 198.51.100.9 as 0", "wan"),
        ("out icmp/129/0 2001:db8::2 > 2001:db8:5::9 as 0", "wan"),
        ("out icmp/0/0 192.0.2.2 > 198.51.100.9 as 1001", DROPPED),
        ("out icmp/8/0 192.0.2.2 > 198.51.100.9 as 0", DROPPED),
        ("out icmp/3/3 192.0.2.2 > 198.51.100.9 as 0", DROPPED),
        ("out icmp/8/0 10.0.0.1 > 10.0.9.9 as 1001", "lan"),
        ("out icmp/8/1 10.0.0.1 > 10.0.9.9 as 1001", DROPPED),
        ("out icmp/128/0 fd00:10::1 > fd00:10::9 as 1001", "lan"),
    )


def test_all_of_icmp_is_every_type_both_ways_and_the_kernel_answers() -> None:
    check(
        '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "icmp"\n',
        ("in wan icmp/13/0 198.51.100.9 > 192.0.2.2", LOCAL),
        ("out icmp/3/3 192.0.2.2 > 198.51.100.9 as 0", "wan"),
        ("out icmp/3/3 192.0.2.2 > 198.51.100.9 as 1001", DROPPED),
        ("out icmp/1/4 2001:db8::2 > 2001:db8:5::9 as 0", "wan"),
    )


def test_a_protocol_without_ports_is_every_packet_of_it() -> None:
    check(
        '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "gre"\n',
        ("in wan ip/47 198.51.100.9 > 192.0.2.2", LOCAL),
        ("in wan ip/47 198.51.100.9 > 192.0.2.2 later-fragment", LOCAL),
        ("out ip/47 192.0.2.2 > 198.51.100.9 as 7", "wan"),
        ("in wan ip/46 198.51.100.9 > 192.0.2.2", DROPPED),
    )


@pytest.mark.parametrize("fragment", [Fragment.FIRST, Fragment.LATER])
def test_a_fragment_is_in_no_entry_with_ports(fragment: Fragment) -> None:
    ends = (ip_address("198.51.100.9"), ip_address("192.0.2.2"))
    whole = Packet(Protocol.TCP, *ends, 40000, 22)
    rulings = PolicyDecider(written(SSH_IN))
    assert rulings.decide(whole, Ingress("eth0")).where == LOCAL
    assert rulings.decide(replace(whole, fragment=fragment), Ingress("eth0")).where == DROPPED


def test_a_forward_entry_lets_pass_what_is_asked_one_way_and_answered_the_other() -> None:
    check(
        WEB_THROUGH,
        ("in lan tcp 10.0.9.9:40000 > 203.0.113.7:443", "wan"),
        ("in lan tcp [fd00:10::9]:65534 > [2001:db8:7::1]:80", "wan"),
        ("in wan tcp 203.0.113.7:443 > 10.0.9.9:32768", "lan"),
        ("in wan tcp 203.0.113.7:443 > 10.0.9.9:1024", DROPPED),
        ("in lan tcp 10.0.9.9:1024 > 203.0.113.7:443", DROPPED),
        ("in wan tcp 203.0.113.7:40000 > 10.0.9.9:443", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 172.16.0.2:443", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 10.0.9.8:443", DROPPED),
        ("in lan tcp 203.0.113.9:40000 > 203.0.113.7:443", DROPPED),
        ("in lan tcp 10.0.0.1:40000 > 203.0.113.7:443", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 192.0.2.255:443", DROPPED),
        ("in wan tcp 10.0.9.9:40000 > 203.0.113.7:443", DROPPED),
    )


def test_a_forward_entry_has_the_clients_ports_that_it_names() -> None:
    check(
        WEB_THROUGH + 'clients = "1024-65534"\n',
        ("in lan tcp 10.0.9.9:1024 > 203.0.113.7:443", "wan"),
        ("in wan tcp 203.0.113.7:443 > 10.0.9.9:1024", "lan"),
    )


def test_a_look_up_without_a_source_is_one_that_any_own_address_may_make() -> None:
    rulings = PolicyDecider(written(DNS_OUT))
    packet = Packet(Protocol.TCP, None, ip_address("198.51.100.53"), 0, 53)
    assert rulings.decide(packet, Egress(1001)).where == "wan"
    assert rulings.decide(packet, Egress(0)).where == DROPPED
