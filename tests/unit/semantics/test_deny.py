"""What deny entries take away, and what they cannot: docs/meaning.md, statement by statement."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from pbrinit.net.packet import Ingress, Packet
from pbrinit.semantics.decision import DROPPED, LOCAL, PolicyDecider
from tests.support.policy_text import check, ruling, where, written

WEB_THROUGH = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
ALL_OPEN = (
    '[[input]]\nservice = ["ssh", "icmp"]\n[[output]]\nservice = ["web", "icmp"]\n'
    '[[forward]]\nservice = ["web", "icmp"]\n'
)


def test_a_deny_entry_from_is_about_what_those_open_and_our_answers_to_it() -> None:
    check(
        ALL_OPEN + '[[deny]]\nfrom = "bad"\n',
        ("in wan tcp 198.51.100.65:40000 > 192.0.2.2:22", DROPPED),
        ("out tcp 192.0.2.2:22 > 198.51.100.65:40000", DROPPED),
        ("in lan tcp 10.0.66.1:40000 > 203.0.113.7:443", DROPPED),
        ("in wan tcp 203.0.113.7:443 > 10.0.66.1:40000", DROPPED),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", LOCAL),
        ("in lan tcp 10.0.9.9:40000 > 203.0.113.7:443", "wan"),
        # what is opened to those is not what they open, and has its answers
        ("out tcp 192.0.2.2:40000 > 198.51.100.65:443", "wan"),
        ("in wan tcp 198.51.100.65:443 > 192.0.2.2:40000", LOCAL),
        ("in lan tcp 10.0.9.9:40000 > 198.51.100.65:443", "wan"),
        ("in wan icmp 198.51.100.65 > 192.0.2.2", LOCAL),
    )


def test_who_may_not_be_asked_may_ask() -> None:
    """Whoever asks is, to the other side, somebody who might answer: that is not what is denied."""
    check(
        '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n[[deny]]\nto = "bad"\n',
        ("in lan tcp 10.0.66.1:40000 > 203.0.113.7:443", "wan"),
        ("in wan tcp 203.0.113.7:443 > 10.0.66.1:40000", "lan"),
        ("in wan tcp 203.0.113.7:40000 > 10.0.66.1:443", DROPPED),
    )


def test_a_deny_entry_with_a_service_is_about_those_exchanges_whatever_the_clients_port() -> None:
    check(
        ALL_OPEN + '[[deny]]\nfrom = "bad"\nservice = ["ssh", "web"]\n',
        ("in wan tcp 198.51.100.65:1 > 192.0.2.2:22", DROPPED),
        ("out tcp 192.0.2.2:22 > 198.51.100.65:1", DROPPED),
        ("in wan icmp 198.51.100.65 > 192.0.2.2", LOCAL),
        ("in lan tcp 10.0.66.1:40000 > 203.0.113.7:443", DROPPED),
        ("out tcp 192.0.2.2:40000 > 198.51.100.65:443", "wan"),
        ("in wan tcp 198.51.100.65:443 > 192.0.2.2:40000", LOCAL),
    )


def test_a_deny_entry_to_is_about_what_is_opened_to_those() -> None:
    check(
        ALL_OPEN + '[[deny]]\nto = "bad"\nservice = "web"\n',
        ("out tcp 192.0.2.2:40000 > 198.51.100.65:443", DROPPED),
        ("in wan tcp 198.51.100.65:443 > 192.0.2.2:40000", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 198.51.100.65:443", DROPPED),
        ("in wan tcp 198.51.100.65:443 > 10.0.9.9:40000", DROPPED),
        ("in wan tcp 198.51.100.65:40000 > 192.0.2.2:22", LOCAL),
        ("in wan tcp 198.51.100.65:40000 > 10.0.9.9:443", "lan"),
    )


def test_a_deny_entry_from_and_to_is_about_forwarding_alone() -> None:
    check(
        ALL_OPEN + '[[deny]]\nfrom = "mgmt"\nto = "servers"\n',
        ("in wan tcp 198.51.100.9:40000 > 10.0.1.1:443", DROPPED),
        ("in lan tcp 10.0.1.1:443 > 198.51.100.9:40000", DROPPED),
        ("in wan tcp 198.51.100.9:40000 > 10.0.2.1:443", "lan"),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", LOCAL),
        ("out tcp 10.0.0.1:40000 > 10.0.1.1:443", "lan"),
    )


def test_a_deny_entry_with_neither_takes_its_service_from_everything() -> None:
    check(
        ALL_OPEN + '[[deny]]\nservice = "web"\n',
        ("out tcp 192.0.2.2:40000 > 203.0.113.7:443", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 203.0.113.7:443", DROPPED),
        ("in wan tcp 203.0.113.7:40000 > 192.0.2.2:22", LOCAL),
    )


def test_a_deny_entry_on_an_interface_is_about_what_comes_or_goes_by_it() -> None:
    check(
        ALL_OPEN + '[[deny]]\non = "lan"\n',
        ("in lan tcp 10.0.9.9:40000 > 10.0.0.1:22", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 203.0.113.7:443", DROPPED),
        ("in wan tcp 203.0.113.7:40000 > 10.0.9.9:443", DROPPED),
        ("in wan tcp 203.0.113.7:40000 > 172.16.0.2:443", "dmz"),
        ("in wan tcp 203.0.113.7:40000 > 192.0.2.2:22", LOCAL),
    )


def test_a_deny_entry_with_a_user_is_about_what_that_user_sends() -> None:
    check(
        ALL_OPEN + '[[deny]]\nto = "mgmt"\nuser = "updater"\n',
        ("out tcp 192.0.2.2:40000 > 198.51.100.9:443 as updater", DROPPED),
        ("out tcp 192.0.2.2:40000 > 198.51.100.9:443 as 1000", "wan"),
        ("in wan tcp 198.51.100.9:443 > 192.0.2.2:40000", LOCAL),
        ("in lan tcp 10.0.9.9:40000 > 198.51.100.9:443", "wan"),
    )


def test_no_deny_entry_takes_what_no_policy_can_do_without() -> None:
    arp = Packet(0, ip_address("192.0.2.9"), ip_address("192.0.2.2"))
    policy = written(ALL_OPEN + "[[deny]]\n")
    rulings = PolicyDecider(policy)
    assert rulings.decide(arp, Ingress("eth0")).where == LOCAL
    assert (
        rulings.decide(replace(arp, source=ip_address("192.0.3.9")), Ingress("eth0")).where
        == DROPPED
    )
    for question, answer in (
        ("in wan icmp/135/0 2001:db8::9 > ff02::1:ff00:2", LOCAL),
        ("in wan icmp/135/0 fe80::9 > 2001:db8::2", LOCAL),
        ("in wan icmp/2/0 2001:db8:7::9 > 2001:db8::2", LOCAL),
        ("in wan icmp/135/0 :: > ff02::1:ff00:2", LOCAL),
        ("in wan icmp/134/0 fe80::9 > ff02::1", DROPPED),
        ("in wan icmp/135/0 fd00:10::9 > 2001:db8::2", DROPPED),
        ("in dmz icmp/135/0 fe80::9 > fe80::1", DROPPED),
        ("in wan icmp 203.0.113.7 > 192.0.2.2", DROPPED),
        ("out tcp > 127.0.0.1:22", LOCAL),
        ("out tcp > 192.0.2.2:22 as 7", LOCAL),
        ("out udp > [::1]:53", LOCAL),
    ):
        assert where(policy, question) == answer, question


def test_the_kernel_tells_those_whose_packets_it_passes_on_that_they_are_too_big() -> None:
    check(
        WEB_THROUGH,
        ("out icmp/3/4 10.0.0.1 > 10.0.9.9 as 0", "lan"),
        ("out icmp/3/4 192.0.2.2 > 203.0.113.7 as 0", "wan"),
        ("out icmp/2/0 fd00:10::1 > fd00:10::9 as 0", "lan"),
        ("out icmp/3/4 10.0.0.1 > 10.0.9.9 as 1001", DROPPED),
        ("out icmp/3/1 10.0.0.1 > 10.0.9.9 as 0", DROPPED),
        ("out icmp/3/4 172.16.0.1 > 172.16.0.2 as 0", DROPPED),
    )


def test_who_is_rejected_is_told_so_and_nobody_else() -> None:
    check(
        WEB_THROUGH + '[[deny]]\nfrom = "bad"\nto = "mgmt"\nreject = true\n',
        ("out icmp/3/13 10.0.0.1 > 10.0.66.1 as 0", "lan"),
        ("out icmp/1/1 fd00:10::1 > fd00:10::66 as 0", "lan"),
        ("out icmp/3/13 10.0.0.1 > 10.0.9.9 as 0", DROPPED),
        ("out icmp/3/13 10.0.0.1 > 10.0.66.1 as 7", DROPPED),
    )


def test_a_ruling_names_the_entries_that_speak_of_a_packet() -> None:
    policy = written(ALL_OPEN + '[[deny]]\nfrom = "bad"\n')
    question = "in wan tcp 198.51.100.65:40000 > 192.0.2.2:22"
    assert ruling(policy, question).keys == ("input[1]", "deny[1]")
