"""The model's steps, each shown on the example policy or on a plan made for it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.model.fib import Lookup
from pbrinit.model.kernel import decide
from pbrinit.model.verdict import Outcome
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Egress, Fragment, Ingress, Packet
from pbrinit.net.services import Ports, Protocol
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import TABLE_MAIN, Action, Plan, Rule

HOST = load(Path("examples/host.toml"))
SELF, MGMT, STRANGER = "192.0.2.2", "198.51.100.9", "203.0.113.7"
NEIGHBOUR = "192.0.2.66"
SELF_6, MGMT_6, STRANGER_6 = "2001:db8::2", "2001:db8:5::9", "2001:db8:7::7"
BY_WAN = Ingress("eth0")
UPDATER = 1001


def tcp(source: str | None, port: int, to: str, to_port: int) -> Packet:
    return Packet(
        Protocol.TCP, ip_address(source) if source else None, ip_address(to), port, to_port
    )


def udp(source: str, port: int, to: str, to_port: int) -> Packet:
    return replace(tcp(source, port, to, to_port), protocol=Protocol.UDP)


def with_rules(*rules: Rule) -> Plan:
    """The example's links with other rules."""
    return replace(HOST, rules=rules)


def rule(preference: int, action: Action, argument: int | None = None, **selectors: object) -> Rule:
    return replace(Rule(Family.V4, preference, action, argument), **selectors)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "destination"), [(MGMT, SELF), (MGMT_6, SELF_6)], ids=["IPv4", "IPv6"]
)
def test_management_reaches_ssh_by_its_entry(source: str, destination: str) -> None:
    verdict = decide(HOST, tcp(source, 40000, destination, 22), BY_WAN)
    assert verdict.outcome is Outcome.DELIVERED
    assert verdict.rules[0].note == "input[1]"


@pytest.mark.parametrize(
    ("source", "destination"), [(STRANGER, SELF), (STRANGER_6, SELF_6)], ids=["IPv4", "IPv6"]
)
def test_a_stranger_does_not(source: str, destination: str) -> None:
    verdict = decide(HOST, tcp(source, 40000, destination, 22), BY_WAN)
    assert verdict.outcome is Outcome.DROPPED
    assert verdict.rules[-1].action is Action.BLACKHOLE


def test_the_return_path_is_asked_as_root_with_ports_swapped() -> None:
    verdict = decide(HOST, tcp(MGMT, 40000, SELF, 22), BY_WAN)
    back = verdict.traces[1]
    assert back.lookup is Lookup.RETURN_PATH
    assert (back.flow.source_port, back.flow.destination_port, back.flow.uid) == (22, 40000, 0)


def test_a_client_is_looked_up_twice_first_without_source_and_port() -> None:
    verdict = decide(HOST, tcp(SELF, 40000, STRANGER, 443), Egress(UPDATER))
    first, second = (trace.flow for trace in verdict.traces)
    assert (first.source, first.source_port) == (IPv4Address(0), 0)
    assert (second.source, second.source_port) == (IPv4Address(SELF), 40000)
    assert verdict.allowed
    assert verdict.device == "eth0"


def test_the_kernel_chooses_the_address_that_is_near_the_gateway() -> None:
    assert decide(HOST, tcp(None, 40000, STRANGER, 443), Egress(UPDATER)).source == IPv4Address(
        SELF
    )


def test_no_other_user_has_the_updaters_way() -> None:
    for uid in (0, 1000, 1002):
        assert not decide(HOST, tcp(SELF, 40000, STRANGER, 443), Egress(uid)).allowed


def test_root_with_a_clients_ports_is_led_into_the_sink() -> None:
    verdict = decide(HOST, tcp(SELF, 40000, STRANGER, 443), Egress(0, bound=True))
    assert verdict.outcome is Outcome.LOOPED_BACK
    assert not verdict.allowed


def test_a_bound_socket_is_led_back() -> None:
    verdict = decide(HOST, udp(SELF, 40000, NEIGHBOUR, 9), Egress(1002, "eth0"))
    assert verdict.outcome is Outcome.LOOPED_BACK


def test_where_the_look_up_fails_a_bound_socket_sends_in_ipv4() -> None:
    plan = with_rules(rule(1, Action.PROHIBIT))
    for device, outcome in ((None, Outcome.DROPPED), ("eth0", Outcome.SENT)):
        verdict = decide(plan, udp(SELF, 40000, NEIGHBOUR, 9), Egress(0, device, bound=True))
        assert verdict.outcome is outcome


@pytest.mark.parametrize("destination", ["224.0.0.1", "239.1.1.1", "255.255.255.255"])
def test_multicast_and_limited_broadcast_with_a_source_are_not_looked_up(destination: str) -> None:
    verdict = decide(HOST, udp(SELF, 40000, destination, 9), Egress(1002, bound=True))
    assert verdict.outcome is Outcome.SENT
    assert verdict.traces == ()


@pytest.mark.parametrize("destination", ["224.0.0.1", "255.255.255.255"])
def test_from_nowhere_to_everybody_arrives_whatever_the_rules_say(destination: str) -> None:
    assert decide(HOST, udp("0.0.0.0", 68, destination, 67), BY_WAN).allowed
    assert not decide(HOST, udp(STRANGER, 68, destination, 67), BY_WAN).allowed


@pytest.mark.parametrize("source", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", SELF])
def test_no_forged_source_arrives(source: str) -> None:
    assert not decide(HOST, tcp(source, 443, SELF, 40000), BY_WAN).allowed


@pytest.mark.parametrize("source", ["::1", "ff02::1", SELF_6])
def test_no_forged_ipv6_source_arrives(source: str) -> None:
    assert not decide(HOST, tcp(source, 443, SELF_6, 40000), BY_WAN).allowed


@pytest.mark.parametrize("fragment", [Fragment.FIRST, Fragment.LATER])
@pytest.mark.parametrize(
    ("source", "destination"), [(MGMT, SELF), (MGMT_6, SELF_6)], ids=["IPv4", "IPv6"]
)
def test_fragments_show_no_ports(source: str, destination: str, fragment: Fragment) -> None:
    packet = replace(tcp(source, 40000, destination, 22), fragment=fragment)
    assert not decide(HOST, packet, BY_WAN).allowed


def test_ports_are_seen_only_where_a_rule_for_input_asks_for_them() -> None:
    returning = rule(
        3, Action.BLACKHOLE, iif="lo", protocol=Protocol.UDP, source_ports=Ports(53, 53)
    )
    everything = (
        rule(1, Action.LOOKUP, 255, iif="eth0"),
        returning,
        rule(9, Action.LOOKUP, TABLE_MAIN),
    )
    packet = udp(STRANGER, 40000, SELF, 53)
    assert decide(with_rules(*everything), packet, BY_WAN).allowed
    asking = rule(2, Action.BLACKHOLE, iif="eth0", protocol=200)
    assert not decide(with_rules(*everything, asking), packet, BY_WAN).allowed


def test_arp_is_answered_to_the_link_and_to_nobody_else() -> None:
    for source, heard in ((NEIGHBOUR, True), (STRANGER, False)):
        packet = Packet(ARP, ip_address(source), ip_address(SELF))
        assert decide(HOST, packet, BY_WAN).allowed == heard


def test_icmp_is_told_by_type_only_on_the_way_out() -> None:
    there, here = ip_address(MGMT), ip_address(SELF)
    for kind in ((8, 0), (3, 1)):
        assert decide(HOST, Packet(Protocol.ICMP, there, here, icmp=kind), BY_WAN).allowed
    for kind, leaves in (((0, 0), True), ((3, 1), False)):
        packet = Packet(Protocol.ICMP, here, there, icmp=kind)
        assert decide(HOST, packet, Egress(0, bound=True)).allowed == leaves


def test_an_ipv6_rule_with_a_source_is_not_about_a_packet_without_one() -> None:
    first = decide(HOST, tcp(None, 0, STRANGER_6, 443), Egress(UPDATER)).traces[0]
    assert first.lookup is Lookup.OUTPUT_FIRST
    assert all(step.rule.source is None for step in first.steps)


def test_a_goto_passes_over_what_lies_between_and_a_lost_target_is_passed_over() -> None:
    plan = with_rules(
        rule(1, Action.GOTO, 5),
        rule(2, Action.GOTO, 4),
        rule(3, Action.LOOKUP, 255),
        rule(4, Action.NOP),
        rule(6, Action.BLACKHOLE),
    )
    trace = decide(plan, tcp(MGMT, 1, SELF, 22), BY_WAN).traces[0]
    assert [step.rule.preference for step in trace.steps] == [2, 6]


def test_a_table_without_the_route_leaves_it_to_the_next_rule() -> None:
    network = IPv4Network("0.0.0.0/0")
    plan = with_rules(
        rule(1, Action.LOOKUP, 4000, destination=network), rule(2, Action.LOOKUP, 255)
    )
    trace = decide(plan, tcp(MGMT, 1, SELF, 22), BY_WAN).traces[0]
    assert [step.hit is None for step in trace.steps] == [True, False]


def test_what_is_not_for_this_machine_is_not_passed_on() -> None:
    plan = with_rules(rule(1, Action.LOOKUP, TABLE_MAIN))
    assert not decide(plan, tcp(MGMT, 1, STRANGER, 22), BY_WAN).allowed


def test_a_device_without_a_name_hears_nothing() -> None:
    assert not decide(HOST, tcp(MGMT, 40000, SELF, 22), Ingress("eth7")).allowed


def test_a_link_local_address_is_ours_where_it_is_known() -> None:
    own = IPv6Address("fe80::5054:ff:fe12:3456")
    packet = Packet(Protocol.ICMPV6, ip_address("fe80::1"), own, icmp=(136, 0))
    assert not decide(HOST, packet, BY_WAN).allowed
    assert decide(HOST, packet, BY_WAN, {"eth0": own}).allowed
