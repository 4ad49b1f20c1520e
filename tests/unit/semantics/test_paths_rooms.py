"""What a policy means where it has rooms: docs/meaning.md, "Rooms", statement by statement."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pbrinit.net.packet import Ingress, Packet
from pbrinit.semantics.decision import DROPPED, LOCAL, PolicyDecider
from tests.support.policy_text import ROOMS, ruling, written

SSH_IN = '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\nrun = "sshd"\n'
WEB_OUT = '[[output]]\non = "wan"\nservice = "web"\nrun = "updater"\n'
DNS_BETWEEN = '[[between]]\nfrom = "updater"\nto = "resolver"\nservice = "dns"\n'
SSHD, UPDATER, RESOLVER = "room sshd", "room updater", "room resolver"


def check(text: str, *questions: tuple[str, str]) -> None:
    """Each question has its answer under the policy of `text`."""
    policy = written(text, ROOMS)
    told = {question: ruling(policy, question).where for question, _ in questions}
    assert told == dict(questions)


def test_what_an_input_entry_with_a_run_lets_in_gets_to_that_room() -> None:
    check(
        SSH_IN,
        ("in wan tcp 198.51.100.9:1 > 192.0.2.2:22", SSHD),
        ("in wan tcp [2001:db8:5::9]:65535 > [2001:db8::2]:22", SSHD),
        ("in wan tcp 203.0.113.7:40000 > 192.0.2.2:22", DROPPED),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:23", DROPPED),
        ("in wan tcp 198.51.100.9:40000 > 10.0.0.1:22", DROPPED),
        ("in lan tcp 198.51.100.9:40000 > 10.0.0.1:22", DROPPED),
        ("in wan udp 198.51.100.9:40000 > 192.0.2.2:22", DROPPED),
    )


def test_its_answers_come_from_that_room_alone_and_never_from_the_machine() -> None:
    answer = "tcp 192.0.2.2:22 > 198.51.100.9:1"
    check(
        SSH_IN,
        (f"out run=sshd {answer}", "wan"),
        (f"out run=updater {answer}", DROPPED),
        (f"out {answer} as 0", DROPPED),
        (f"out {answer} as sshd", DROPPED),
        ("out run=sshd tcp 10.0.0.1:22 > 198.51.100.9:1", DROPPED),
        ("out run=sshd tcp 198.51.100.9:22 > 198.51.100.9:1", DROPPED),
        ("out run=sshd tcp 192.0.2.2:22 > 203.0.113.7:1", DROPPED),
    )


def test_a_room_asks_from_its_slice_and_has_the_answers() -> None:
    check(
        WEB_OUT,
        ("out run=updater tcp 192.0.2.2:40960 > 203.0.113.7:443", "wan"),
        ("out run=updater tcp [2001:db8::2]:45055 > [2001:db8:7::1]:80", "wan"),
        ("out run=updater tcp 192.0.2.2:40959 > 203.0.113.7:443", DROPPED),
        ("out run=updater tcp 192.0.2.2:45056 > 203.0.113.7:443", DROPPED),
        ("out run=updater tcp 192.0.2.2:0 > 203.0.113.7:443", DROPPED),
        ("out run=updater tcp 192.0.2.2:40960 > 10.0.9.9:443", DROPPED),
        ("out run=resolver tcp 192.0.2.2:45056 > 203.0.113.7:443", DROPPED),
        ("in wan tcp 203.0.113.7:443 > 192.0.2.2:40960", UPDATER),
        ("in wan tcp 203.0.113.7:443 > 192.0.2.2:40959", DROPPED),
        ("in wan tcp 203.0.113.7:443 > 192.0.2.2:45056", DROPPED),
        ("in wan tcp 203.0.113.7:443 > 192.0.2.2:32768", DROPPED),
    )


def test_an_entry_without_a_run_is_about_the_machine_itself_which_has_a_slice_too() -> None:
    check(
        '[[output]]\non = "wan"\nservice = "web"\n',
        ("out tcp 192.0.2.2:32768 > 203.0.113.7:443 as 7", "wan"),
        ("out tcp 192.0.2.2:36863 > 203.0.113.7:443 as 7", "wan"),
        ("out tcp 192.0.2.2:36864 > 203.0.113.7:443 as 7", DROPPED),
        ("out run=updater tcp 192.0.2.2:40960 > 203.0.113.7:443", DROPPED),
        ("in wan tcp 203.0.113.7:443 > 192.0.2.2:36863", LOCAL),
        ("in wan tcp 203.0.113.7:443 > 192.0.2.2:36864", DROPPED),
    )


def test_rooms_reach_each_other_by_what_a_between_entry_says_and_by_inside_addresses() -> None:
    check(
        DNS_BETWEEN,
        ("out run=updater udp 169.254.77.2:40960 > 169.254.77.3:53", RESOLVER),
        ("out run=updater tcp > [fd70:6272:696e:6974::3]:53", RESOLVER),
        ("out run=resolver udp 169.254.77.3:53 > 169.254.77.2:45055", UPDATER),
        ("out run=updater udp 169.254.77.2:36864 > 169.254.77.3:53", DROPPED),
        ("out run=updater udp 192.0.2.2:40960 > 169.254.77.3:53", DROPPED),
        ("out run=updater udp 169.254.77.1:40960 > 169.254.77.3:53", DROPPED),
        ("out run=updater udp 169.254.77.2:40960 > 169.254.77.1:53", DROPPED),
        ("out run=updater udp 169.254.77.2:40960 > 192.0.2.2:53", DROPPED),
        ("out run=resolver udp 169.254.77.3:45056 > 169.254.77.2:53", DROPPED),
        ("out run=sshd udp 169.254.77.1:36864 > 169.254.77.3:53", DROPPED),
        ("out udp > 169.254.77.3:53 as 0", DROPPED),
        ("in wan udp 169.254.77.2:40960 > 192.0.2.2:53", DROPPED),
        ("in wan udp 203.0.113.7:40960 > 169.254.77.3:53", DROPPED),
    )


def test_an_inside_address_is_anybody_where_no_between_is_written() -> None:
    check(WEB_OUT, ("out run=updater tcp 192.0.2.2:40960 > 169.254.77.3:443", "wan"))


@pytest.mark.parametrize(
    "question",
    [
        "out run=updater icmp 192.0.2.2 > 203.0.113.7",
        "out run=updater icmp/135/0 2001:db8::2 > ff02::1:ff00:1",
        "out run=updater tcp 192.0.2.2:40960 > 192.0.2.2:22",
        "out run=updater udp 192.0.2.2:40960 > 192.0.2.255:53",
        "out run=updater udp 192.0.2.2:40960 > 224.0.0.1:53",
        "in wan icmp/3/4 203.0.113.7 > 192.0.2.2",
        "out tcp > 10.0.9.9:443",
    ],
)  # fmt: skip
def test_nothing_else_gets_out_of_a_room_or_into_one(question: str) -> None:
    check(SSH_IN + WEB_OUT + DNS_BETWEEN, (question, DROPPED))


def test_no_arp_is_heard_from_a_room_or_from_an_inside_address() -> None:
    rulings = PolicyDecider(written(DNS_BETWEEN, ROOMS.replace("192.0.2.2/24", "169.254.1.1/16")
                              .replace("192.0.2.1", "169.254.1.2")))  # fmt: skip
    own = ip_address("169.254.1.1")
    assert rulings.decide(Packet(0, ip_address("169.254.9.9"), own), Ingress("eth0")).where == LOCAL
    assert (
        rulings.decide(Packet(0, ip_address("169.254.77.9"), own), Ingress("eth0")).where == DROPPED
    )
    assert (
        rulings.decide(Packet(0, ip_address("169.254.9.9"), own), Ingress("r-sshd")).where
        == DROPPED
    )


def test_deny_entries_take_exchanges_of_rooms_as_of_the_machine() -> None:
    check(
        SSH_IN + WEB_OUT + '[[deny]]\nfrom = "bad"\n',
        ("in wan tcp 198.51.100.65:40000 > 192.0.2.2:22", DROPPED),
        ("out run=sshd tcp 192.0.2.2:22 > 198.51.100.65:40000", DROPPED),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", SSHD),
        ("out run=updater tcp 192.0.2.2:40960 > 198.51.100.65:443", "wan"),
    )
    check(
        WEB_OUT + DNS_BETWEEN + '[[deny]]\nto = "bad"\n',
        ("out run=updater tcp 192.0.2.2:40960 > 198.51.100.65:443", DROPPED),
        ("in wan tcp 198.51.100.65:443 > 192.0.2.2:40960", DROPPED),
        ("out run=updater udp 169.254.77.2:40960 > 169.254.77.3:53", RESOLVER),
    )


def test_a_deny_entry_with_a_user_is_not_about_programs_in_rooms() -> None:
    check(
        WEB_OUT + '[[deny]]\nto = "bad"\nuser = "updater"\n',
        ("out run=updater tcp 192.0.2.2:40960 > 198.51.100.65:443", "wan"),
    )


def test_a_program_that_is_not_isolated_is_known_by_its_user() -> None:
    names = ROOMS.replace('user = "updater"\n', 'user = "updater"\nisolate = false\n')
    policy = written(WEB_OUT, names)
    question = "out tcp 192.0.2.2:{} > 203.0.113.7:443 as {}"
    assert ruling(policy, question.format(32768, "updater")).where == "wan"
    assert ruling(policy, question.format(32768, "0")).where == DROPPED
    assert ruling(policy, question.format(40960, "updater")).where == DROPPED
