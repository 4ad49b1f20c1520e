"""The example policy on this machine's kernel: what passes is what it allows."""

from __future__ import annotations

import pytest

from tests.support.host_example import NOBODY, PEER, ROOT, SELF, UPDATER
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab

pytestmark = pytest.mark.parametrize("version", [4, 6])


def ask_in(lab: Lab, version: int, who: str, protocol: str, port: int) -> str:
    """The peer asks the machine, by one of its names."""
    source = (PEER[version][who], 0)
    return lab.peer.do(
        in_namespace.send_probe, in_namespace.Probe(protocol, SELF[version], port, source=source)
    )


def ask_out(lab: Lab, version: int, uid: int, who: str, service: tuple[str, int]) -> str:
    """A user of the machine asks the peer, by one of its names."""
    protocol, port = service
    return lab.machine.do(
        in_namespace.send_probe, in_namespace.Probe(protocol, PEER[version][who], port, uid)
    )


def test_management_reaches_ssh(lab: Lab, version: int) -> None:
    assert ask_in(lab, version, "mgmt", "tcp", 22) == "answered"


@pytest.mark.parametrize("who", ["stranger", "neighbour", "router", "resolver"])
def test_nobody_else_hears_a_word_from_ssh(lab: Lab, version: int, who: str) -> None:
    assert ask_in(lab, version, who, "tcp", 22) == "silence"


@pytest.mark.parametrize(("protocol", "port"), [("tcp", 80), ("udp", 22), ("udp", 53)])
def test_management_reaches_nothing_but_ssh(
    lab: Lab, version: int, protocol: str, port: int
) -> None:
    assert ask_in(lab, version, "mgmt", protocol, port) == "silence"
    assert PEER[version]["mgmt"] not in lab.machine.do(in_namespace.clients_of, protocol, port)


@pytest.mark.parametrize(("protocol", "port"), [("tcp", 80), ("tcp", 22), ("udp", 53), ("udp", 22)])
def test_a_service_port_as_source_reaches_no_service(
    lab: Lab, version: int, protocol: str, port: int
) -> None:
    own_port = 443 if protocol == "tcp" else 53
    who = "stranger" if protocol == "tcp" else "resolver"
    source = PEER[version][who]
    assert lab.peer.do(in_namespace.probe_raw, protocol, SELF[version], port, source, own_port) == 0
    assert source not in lab.machine.do(in_namespace.clients_of, protocol, port)


def test_an_answer_rule_lets_its_peer_speak_to_client_ports(lab: Lab, version: int) -> None:
    """The cost of keeping no state: whoever sends from port 53 as the resolver is heard."""
    resolver = PEER[version]["resolver"]
    lab.peer.do(in_namespace.probe_raw, "udp", SELF[version], 50000, resolver, 53)
    assert resolver in lab.machine.do(in_namespace.clients_of, "udp", 50000)


def test_a_listener_of_another_user_does_not_answer_where_answers_arrive(
    lab: Lab, version: int
) -> None:
    stranger = PEER[version]["stranger"]
    assert lab.peer.do(in_namespace.probe_raw, "tcp", SELF[version], 50000, stranger, 443) == 0


def test_what_is_not_allowed_in_is_not_even_delivered(lab: Lab, version: int) -> None:
    """A SYN that TCP sees and cannot answer would look the same from outside."""
    lab.machine.do(in_namespace.tap_tcp)
    asked = {(PEER[version][who], 9, port) for who in PEER[version] for port in (22, 80)}
    for source, own_port, port in asked:
        lab.peer.do(in_namespace.probe_raw, "tcp", SELF[version], port, source, own_port)
    allowed = {(PEER[version]["mgmt"], 9, 22)}
    assert asked & set(lab.machine.do(in_namespace.tapped_segments)) == allowed


def test_the_updater_asks_names_and_fetches(lab: Lab, version: int) -> None:
    assert ask_out(lab, version, UPDATER, "resolver", ("udp", 53)) == "answered"
    assert ask_out(lab, version, UPDATER, "resolver", ("tcp", 53)) == "answered"
    assert ask_out(lab, version, UPDATER, "stranger", ("tcp", 443)) == "answered"


@pytest.mark.parametrize(
    "service", [("udp", 53), ("tcp", 80), ("udp", 443)], ids=lambda service: service[0]
)
def test_the_updater_is_refused_the_rest_at_once(
    lab: Lab, version: int, service: tuple[str, int]
) -> None:
    assert ask_out(lab, version, UPDATER, "stranger", service) == "EACCES"


@pytest.mark.parametrize("uid", [ROOT, NOBODY])
def test_no_other_user_has_the_updaters_ways(lab: Lab, version: int, uid: int) -> None:
    assert ask_out(lab, version, uid, "stranger", ("tcp", 443)) == "EACCES"
    assert ask_out(lab, version, uid, "resolver", ("udp", 53)) == "EACCES"


def test_root_with_a_clients_source_sends_nothing(lab: Lab, version: int) -> None:
    """The return path of the updater's answers is asked as root, and must open nothing."""
    lab.peer.do(in_namespace.capture)
    own = (SELF[version], 40000)
    stranger = PEER[version]["stranger"]
    told = lab.machine.do(
        in_namespace.send_probe, in_namespace.Probe("tcp", stranger, 443, ROOT, source=own)
    )
    assert told == ("silence" if version == 4 else "EACCES")
    assert lab.peer.do(in_namespace.count_captured, SELF[version], PEER[version]["stranger"]) == 0


@pytest.mark.parametrize("uid", [ROOT, NOBODY])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_socket_bound_to_the_device_sends_nothing(
    lab: Lab, version: int, uid: int, protocol: str
) -> None:
    lab.peer.do(in_namespace.capture)
    neighbour = PEER[version]["neighbour"]
    told = lab.machine.do(
        in_namespace.send_probe, in_namespace.Probe(protocol, neighbour, 80, uid, device="eth0")
    )
    assert told != "answered"
    assert lab.peer.do(in_namespace.count_captured, SELF[version], neighbour) == 0


def test_loopback_and_our_own_address_always_work(lab: Lab, version: int) -> None:
    for address in ("127.0.0.1" if version == 4 else "::1", SELF[version]):
        assert (
            lab.machine.do(in_namespace.send_probe, in_namespace.Probe("tcp", address, 80, NOBODY))
            == "answered"
        )


def test_management_pings_and_nobody_else(lab: Lab, version: int) -> None:
    for who, answers in (("mgmt", True), ("stranger", False), ("neighbour", False)):
        told = lab.peer.do(in_namespace.ping, SELF[version], PEER[version][who])
        assert told == answers, who


def test_a_neighbour_learns_our_hardware_address(lab: Lab, version: int) -> None:
    lab.peer.run("ip", "neigh", "flush", "dev", "eth0")
    assert ask_in(lab, version, "mgmt", "tcp", 22) == "answered"
    assert lab.machine.do(in_namespace.mac) in lab.peer.run("ip", "neigh", "show", SELF[version])
