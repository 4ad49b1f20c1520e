"""`pbrctl explain --holes` lists what is reached because nothing keeps state."""

from __future__ import annotations

import json

import pytest

from pbrinit.analysis import holes
from pbrinit.analysis.holes import ANYWHERE, EVERY_TYPE, THROUGH, TO_ALL, UNASKED
from pbrinit.cli.main import main
from tests.support.policy_text import written

DNS_OUT = '[[output]]\non = "wan"\nto = "mgmt"\nservice = "dns"\nuser = "updater"\n'
SSH_IN = '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\n'


def told(text: str) -> list[str]:
    """What is said of the first entry, without the rest."""
    lines = list(holes.lines(written(text)))
    return [line.strip() for line in lines[1 : lines.index("whatever the entries say:")]]


def test_who_is_asked_reaches_clients_ports_unasked() -> None:
    answers = "tcp/32768-60999, udp/32768-60999 from port 53"
    assert told(DNS_OUT) == [
        f"IPv4 in by wan: {answers} from 198.51.100.0/24: {UNASKED}",
        f"IPv4 in by wan: udp/32768-60999 from port 53 from 198.51.100.0/24: {TO_ALL}",
        f"IPv6 in by wan: {answers} from 2001:db8:5::/48: {UNASKED}",
    ]


def test_who_holds_a_services_port_may_send_to_those_who_may_ask() -> None:
    assert told(SSH_IN) == [
        f"IPv4 out by wan: tcp from port 22 to 198.51.100.0/24: {ANYWHERE}",
        f"IPv6 out by wan: tcp from port 22 to 2001:db8:5::/48: {ANYWHERE}",
    ]


def test_answers_pass_through_unasked_to_the_clients_ports_of_those_inside() -> None:
    answers = "tcp/32768-65534 from ports 80,443 from anybody"
    found = told('[[forward]]\nin = "lan"\nout = "wan"\nfrom = "servers"\nservice = "web"\n')
    assert found == [
        f"IPv4 from wan to lan: {answers} to 10.0.1.0/24: {THROUGH}",
        f"IPv6 from wan to lan: {answers} to fd00:10::1:0/112: {THROUGH}",
    ]


def test_ping_lets_all_of_icmp_in() -> None:
    found = told('[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ping"\n')
    assert f"IPv6 in by wan: icmp from 2001:db8:5::/48: {EVERY_TYPE}" in found
    assert not any(ANYWHERE in line for line in found)


def test_what_is_denied_is_no_hole() -> None:
    found = told(DNS_OUT + '[[deny]]\nto = "mgmt"\nservice = "dns"\n')
    assert found == ["nothing besides"]


def test_what_may_be_asked_anyhow_is_no_hole() -> None:
    """Who may reach every port by one entry needs no answer of another."""
    both = '[[forward]]\nin = "wan"\nout = "lan"\nservice = "gre"\n'
    back = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "gre"\n'
    assert told(both + back)[0] == "nothing besides"
    assert THROUGH in told(both)[0]


def test_what_always_passes_is_said_at_the_end() -> None:
    said = "\n".join(holes.lines(written("")))
    assert "IPv4 in by lan: arp from" in said
    assert "neighbour discovery, path MTU" in said
    assert "no look-up is made" in said


def test_the_command_needs_no_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "examples/host.toml", "--holes"]) == 0
    assert capsys.readouterr().out.startswith("input[1]: input by wan from mgmt")
    assert main(["explain", "examples/host.toml", "--holes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["holes"]
    assert {hole["entry"] for hole in found} == {"input[1]", "output[1]", "output[2]", "always"}
    assert main(["explain", "examples/host.toml"]) == 2
    assert "--holes" in capsys.readouterr().err
