"""What is passed on, what is refused, and who is told, each on a router made by hand."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from pbrinit.model.fib import Lookup
from pbrinit.model.kernel import decide
from pbrinit.model.verdict import Outcome
from pbrinit.net.addresses import Address, Family
from pbrinit.net.packet import Fragment, Ingress, Packet
from pbrinit.net.services import Ports, Protocol
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, TABLE_MAIN, Action, Plan, Rule
from tests.support import router_plan
from tests.support.router_plan import PLACES, PLAN

FROM_LAN, FROM_WAN = Ingress("eth1"), Ingress("eth0")
both = pytest.mark.parametrize("family", list(Family), ids=["IPv4", "IPv6"])


def asks(family: Family, protocol: int, port: int, server: int = 7, client: int = 1) -> Packet:
    place = PLACES[family]
    return Packet(protocol, place.client(client), place.server(server), 40000, port)


@both
def test_a_packet_and_its_answer_pass_through(family: Family) -> None:
    packet = asks(family, Protocol.TCP, 443)
    verdict = decide(PLAN, packet, FROM_LAN)
    assert (verdict.outcome, verdict.device) == (Outcome.FORWARDED, "eth0")
    assert verdict.allowed
    answer = packet.reverse_flow()
    assert answer is not None
    back = decide(PLAN, answer, FROM_WAN)
    assert (back.outcome, back.device) == (Outcome.FORWARDED, "eth1")


def test_the_return_path_is_asked_as_if_it_came_in_by_the_way_out() -> None:
    verdict = decide(PLAN, asks(Family.V4, Protocol.TCP, 443), FROM_LAN)
    back = verdict.traces[1]
    assert back.lookup is Lookup.RETURN_PATH
    assert (back.flow.iif, back.flow.oif, back.flow.uid) == ("eth0", None, 0)
    assert (back.flow.source_port, back.flow.destination_port) == (443, 40000)
    answers = tuple(rule for rule in PLAN.rules if rule.preference != 2010)
    refused = decide(replace(PLAN, rules=answers), asks(Family.V4, Protocol.TCP, 443), FROM_LAN)
    assert refused.outcome is Outcome.DROPPED


def test_the_return_path_may_lead_into_the_sink() -> None:
    rule = Rule(Family.V4, 2009, Action.LOOKUP, router_plan.SINK, protocol=Protocol.TCP)
    plan = replace(PLAN, rules=(*PLAN.rules, rule))
    assert decide(plan, asks(Family.V4, Protocol.TCP, 443), FROM_LAN).allowed


@both
def test_a_device_that_passes_nothing_on_tells_nobody_in_ipv4(family: Family) -> None:
    plan = replace(PLAN, forwarding_sysctls=())
    for port in (443, 7777):
        protocol = Protocol.TCP if port == 443 else Protocol.UDP
        verdict = decide(plan, asks(family, protocol, port), FROM_LAN)
        assert not verdict.allowed
        in_ipv6_without_a_route = family is Family.V6 and port == 7777
        assert (verdict.outcome is Outcome.REJECTED) == in_ipv6_without_a_route


@both
@pytest.mark.parametrize(
    ("protocol", "port", "server"),
    [(Protocol.TCP, 25, 7), (Protocol.TCP, 80, 7), (Protocol.UDP, 7000, router_plan.BLACKHOLED),
     (Protocol.UDP, 7000, router_plan.THROWN)],
    ids=["by a rule", "by the last rule", "by a route", "thrown, then by a rule"],
)  # fmt: skip
def test_what_ends_in_a_blackhole_is_told_to_nobody(
    family: Family, protocol: int, port: int, server: int
) -> None:
    verdict = decide(PLAN, asks(family, protocol, port, server), FROM_LAN)
    assert verdict.outcome is Outcome.DROPPED
    assert verdict.icmp_error is None


@both
@pytest.mark.parametrize(
    ("protocol", "port", "server", "error"),
    [(Protocol.TCP, 443, router_plan.LAST, {4: (3, 13), 6: (1, 1)}),
     (Protocol.UDP, 7000, router_plan.PROHIBITED, {4: (3, 13), 6: (1, 1)}),
     (Protocol.UDP, 7777, 7, {4: (3, 0), 6: (1, 0)})],
    ids=["by a rule", "by a route", "by no rule"],
)  # fmt: skip
def test_the_sender_is_told_by_an_icmp_error(
    family: Family, protocol: int, port: int, server: int, error: dict[int, tuple[int, int]]
) -> None:
    packet = asks(family, protocol, port, server)
    verdict = decide(PLAN, packet, FROM_LAN)
    assert verdict.outcome is Outcome.REJECTED
    assert not verdict.allowed
    assert verdict.icmp_error is not None
    assert verdict.icmp_error.packet.icmp == error[family.version]
    assert verdict.icmp_error.packet.destination == packet.source
    flow = verdict.icmp_error.verdict.traces[0].flow
    assert (flow.uid, flow.iif) == (0, LOOPBACK)
    kind, code = error[family.version]
    assert flow.destination_port == kind << 8 | code


def test_an_icmp_error_is_looked_up_without_a_source_in_ipv4_and_with_one_in_ipv6() -> None:
    for family, source in ((Family.V4, None), (Family.V6, ip_address("fd00:10::1"))):
        notice = decide(PLAN, asks(family, Protocol.UDP, 7777), FROM_LAN).icmp_error
        assert notice is not None
        (trace,) = notice.verdict.traces
        assert (trace.flow.source or None) in (source, ip_address("0.0.0.0"))
        assert (trace.lookup is Lookup.OUTPUT_FIRST) == (family is Family.V4)


@both
def test_the_sender_is_told_nothing_where_output_refuses_the_icmp_error(family: Family) -> None:
    place = PLACES[family]
    packet = Packet(Protocol.TCP, place.server(7), place.client(1), 40000, 8080)
    verdict = decide(PLAN, packet, FROM_WAN)
    assert verdict.outcome is Outcome.DROPPED
    assert verdict.icmp_error is not None
    assert not verdict.icmp_error.verdict.allowed


@both
def test_errors_are_not_answered_by_errors(family: Family) -> None:
    place = PLACES[family]
    for kind, answered in ((place.errors[0], False), ((200, 0), family is Family.V6)):
        packet = Packet(place.icmp, place.client(1), place.server(router_plan.LAST), icmp=kind)
        verdict = decide(PLAN, packet, FROM_LAN)
        assert (verdict.icmp_error is not None) == answered


def test_a_later_fragment_is_not_answered_in_ipv4() -> None:
    for family, answered in ((Family.V4, False), (Family.V6, True)):
        packet = replace(asks(family, Protocol.TCP, 443, router_plan.LAST), fragment=Fragment.LATER)
        assert (decide(PLAN, packet, FROM_LAN).outcome is Outcome.REJECTED) == answered


@both
def test_a_protocol_without_ports_passes_in_pieces_and_one_with_ports_does_not(
    family: Family,
) -> None:
    for piece in (Fragment.FIRST, Fragment.LATER):
        whole = replace(asks(family, router_plan.GRE, 0), source_port=0)
        assert decide(PLAN, replace(whole, fragment=piece), FROM_LAN).allowed
        ported = replace(asks(family, Protocol.TCP, 443), fragment=piece)
        assert not decide(PLAN, ported, FROM_LAN).allowed


@both
def test_hops_run_out_and_packets_are_too_big(family: Family) -> None:
    packet = asks(family, Protocol.TCP, 443)
    for changed, error in (
        (replace(packet, ttl=1), {4: (11, 0), 6: (3, 0)}),
        (replace(packet, too_big=True), {4: (3, 4), 6: (2, 0)}),
    ):
        verdict = decide(PLAN, changed, FROM_LAN)
        assert verdict.outcome is Outcome.REJECTED
        assert verdict.icmp_error is not None
        assert verdict.icmp_error.packet.icmp == error[family.version]


def by(packet: Packet, source: str) -> Packet:
    return replace(packet, source=ip_address(source))


@pytest.mark.parametrize("source", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
def test_martians_are_told_nothing(source: str) -> None:
    verdict = decide(PLAN, by(asks(Family.V4, Protocol.TCP, 443), source), FROM_LAN)
    assert verdict.outcome is Outcome.DROPPED
    assert (verdict.icmp_error, verdict.traces) == (None, ())


def open_six() -> Plan:
    """A plan that lets everything in IPv6 pass."""
    rule = Rule(Family.V6, 1, Action.LOOKUP, TABLE_LOCAL)
    return replace(PLAN, rules=(rule, replace(rule, preference=2, argument=TABLE_MAIN)))


def test_ipv6_from_nobody_is_not_passed_on_and_from_link_local_is_told() -> None:
    packet = asks(Family.V6, Protocol.TCP, 443)
    nobody = decide(open_six(), by(packet, "::"), FROM_LAN)
    assert (nobody.outcome, nobody.icmp_error) == (Outcome.DROPPED, None)
    near = decide(open_six(), by(packet, "fe80::1"), FROM_LAN)
    assert near.outcome is Outcome.REJECTED
    assert near.icmp_error is not None
    assert near.icmp_error.packet.icmp == (1, 2)
    assert near.icmp_error.verdict.traces[0].flow.oif == "eth1"


def test_ipv6_goes_back_by_the_way_it_came_whatever_its_source() -> None:
    packet = asks(Family.V6, Protocol.TCP, 443)
    assert decide(open_six(), by(packet, "fe80::1"), FROM_WAN).outcome is Outcome.FORWARDED


def test_ipv6_to_a_group_is_not_passed_on() -> None:
    rule = Rule(Family.V6, 1, Action.LOOKUP, TABLE_MAIN)
    packet = Packet(Protocol.UDP, PLACES[Family.V6].client(1), ip_address("ff05::3"), 1, 2)
    routed = replace(PLAN, rules=(rule,))
    assert decide(routed, packet, FROM_WAN).outcome is Outcome.DROPPED


@pytest.mark.parametrize(
    ("client", "outcome"),
    [(router_plan.GOES, Outcome.FORWARDED), (router_plan.GOES_NOWHERE, Outcome.DROPPED),
     (router_plan.IS_REFUSED, Outcome.REJECTED), (router_plan.IS_THROWN, Outcome.DROPPED),
     (99, Outcome.DROPPED)],
)  # fmt: skip
def test_ipv6_is_led_by_its_source(client: int, outcome: Outcome) -> None:
    packet = asks(Family.V6, Protocol.UDP, 7001, client=client)
    assert decide(PLAN, packet, FROM_LAN).outcome is outcome


def test_the_sink_takes_ipv4_round_and_refuses_ipv6() -> None:
    round_ = decide(PLAN, asks(Family.V4, Protocol.UDP, 9999), FROM_LAN)
    assert round_.outcome is Outcome.LOOPED_BACK
    assert round_.icmp_error is not None
    assert round_.icmp_error.packet.icmp == (11, 0)
    refused = decide(PLAN, asks(Family.V6, Protocol.UDP, 9999), FROM_LAN)
    assert refused.outcome is Outcome.REJECTED
    assert refused.icmp_error is not None
    assert refused.icmp_error.packet.icmp == (1, 0)


def test_arp_is_answered_for_nobody_else() -> None:
    packet = Packet(ARP, PLACES[Family.V4].client(1), PLACES[Family.V4].server(7))
    rules = (Rule(Family.V4, 1, Action.LOOKUP, TABLE_MAIN),)
    assert not decide(replace(PLAN, rules=rules), packet, FROM_LAN).allowed


@pytest.mark.parametrize("shared", ["2001:db8::", "fd00:10::", "fe80::"])
def test_a_router_has_the_first_address_of_each_of_its_prefixes(shared: str) -> None:
    address: Address = ip_address(shared)
    device = FROM_LAN if shared == "fd00:10::" else FROM_WAN
    packet = Packet(Protocol.TCP, PLACES[Family.V6].server(7), address, 40000, 22)
    local = replace(PLAN, rules=(Rule(Family.V6, 1, Action.LOOKUP, TABLE_LOCAL),))
    assert decide(local, packet, device).outcome is Outcome.DELIVERED
    assert (
        decide(replace(local, forwarding_sysctls=()), packet, device).outcome
        is not Outcome.DELIVERED
    )


def test_ports_are_asked_about_with_the_device_that_names_them() -> None:
    rule = Rule(Family.V4, 5, Action.PROHIBIT, iif="eth1", source=ip_network("10.0.0.0/8"),
                protocol=Protocol.TCP, destination_ports=Ports(443, 443))  # fmt: skip
    plan = replace(PLAN, rules=(rule, *PLAN.rules))
    assert not decide(plan, asks(Family.V4, Protocol.TCP, 443), FROM_LAN).allowed
    assert decide(plan, asks(Family.V4, router_plan.GRE, 0), FROM_LAN).allowed
