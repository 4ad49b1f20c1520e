"""Answers that pass through must not reach what somebody else is to be asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy

THREE_NETS = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
[interface.lan]
device = "eth1"
address = "10.0.0.1/16"
[interface.dmz]
device = "eth2"
address = "172.16.0.1/24"
[network]
game = "10.0.7.7"
friend = "198.51.100.0/24"
[service]
web = "tcp/443"
play = "tcp/40000"
talk = "udp/40000"
tunnel = "udp/51820"
"""
OUT = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
HOME = (
    '[[forward]]\nin = "wan"\nout = "lan"\nfrom = "friend"\nto = "game"\nclients = "41000-65534"\n'
)


def found(folder: Path, text: str) -> list[str]:
    path = folder / "policy.toml"
    path.write_text(THREE_NETS + text)
    try:
        read_policy(path)
    except PolicyError as refused:
        return [str(problem).removeprefix(f"{path}: ") for problem in refused.problems]
    return []


def test_answers_must_not_reach_a_service_of_another_entry(tmp_path: Path) -> None:
    assert found(tmp_path, OUT + HOME + 'service = "play"\n') == [
        "forward[1].clients: answers to ports 32768-65534 reach tcp/40000 of forward[2],"
        " which decides who may send requests there"
        " (narrow clients so that this port is not in it, or move the service)"
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OUT + 'clients = "41000-65534"\n' + HOME + 'service = "play"\n',
                     id="clients narrowed"),
        pytest.param(OUT + HOME + 'service = "talk"\n', id="another protocol"),
        pytest.param(OUT.replace('"lan"', '"dmz"') + HOME + 'service = "play"\n',
                     id="clients live elsewhere"),
        pytest.param(OUT + 'from = "not game"\n' + HOME + 'service = "play"\n',
                     id="the server asks nobody"),
        pytest.param(OUT + HOME.replace('from = "friend"\n', "").replace("41000", "1")
                     .replace("65534", "32767") + 'service = "play"\n',
                     id="whoever answers may ask from that port anyway"),
    ],
)  # fmt: skip
def test_answers_that_reach_no_service_are_fine(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_a_service_must_not_be_among_the_ports_of_its_own_clients(tmp_path: Path) -> None:
    entry = '[[forward]]\nin = "wan"\nout = "lan"\nservice = ["web", "play"]\n'
    (problem,) = found(tmp_path, entry)
    assert problem.startswith(
        "forward[1].service: tcp/40000 is among the ports of its clients (32768-65534)"
        " (answers to clients would reach the service: narrow clients"
    )
    assert found(tmp_path, entry + 'clients = "40001-65534"\n') == []


def test_both_ends_may_have_the_same_port(tmp_path: Path) -> None:
    """As WireGuard's and IKE's have: the answers are then just what may be asked."""
    there = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "tunnel"\nclients = "51820"\n'
    back = '[[forward]]\nin = "wan"\nout = "lan"\nservice = "tunnel"\nclients = "51820"\n'
    assert found(tmp_path, there) == []
    assert found(tmp_path, there + back) == []


def test_both_ends_having_the_same_port_must_not_turn_who_may_ask(tmp_path: Path) -> None:
    there = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "tunnel"\nclients = "51820"\n'
    back = there.replace("lan", "x").replace("wan", "lan").replace("x", "wan")
    back += 'from = "friend"\n'
    (problem,) = found(tmp_path, there + back)
    assert problem.startswith("forward[1].clients: answers to ports 51820 reach udp/51820 of")


IKE = """
[[forward]]
in = "lan"
out = "wan"
service = "low"
{low}
[[forward]]
in = "wan"
out = "lan"
service = "ike"
clients = "500"
"""


@pytest.mark.parametrize(
    ("low", "sound"),
    [
        pytest.param("", True, id="from another port"),
        pytest.param('clients = "1-65534"\n', False, id="a range of its own clients"),
        pytest.param('clients = "1000-1023"\n', False, id="only root may"),
        pytest.param('from = "game"\n', False, id="only one of them may"),
    ],
)
def test_who_answers_and_may_ask_the_same_from_another_port_turns_nothing(
    tmp_path: Path, low: str, *, sound: bool
) -> None:
    services = 'low = "udp/1-999"\nike = "udp/500"\n'
    text = THREE_NETS.replace("[service]\n", f"[service]\n{services}") + IKE.format(low=low)
    path = tmp_path / "policy.toml"
    path.write_text(text)
    if sound:
        read_policy(path)
        return
    with pytest.raises(PolicyError, match=r"answers to|among the ports"):
        read_policy(path)
