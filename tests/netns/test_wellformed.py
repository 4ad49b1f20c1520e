"""What makes a plan not well-formed, a kernel refuses or reads as wider: message by message."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from pbrinit.net.addresses import Family
from pbrinit.net.icmp import NO_PORT
from pbrinit.net.services import Ports
from pbrinit.plan import messages
from pbrinit.plan.plan import LOOPBACK, Action, Route, RouteType, Rule
from pbrinit.wire.netlink.constants import RTM_NEWRULE
from tests.support.namespaces.kernel_answers import Marked, answers
from tests.support.namespaces.lab import Lab

families = pytest.mark.parametrize("family", Family)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab((), ()) as made:
        machine = made.machine
        machine.run("ip", "link", "set", "lo", "up")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
        machine.run("ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
        yield made


def rule(made: Rule) -> Marked:
    return messages.rule(made, RTM_NEWRULE, messages.ADD), ()


def route(made: Route) -> Marked:
    return messages.marked(messages.route(made))


def refused(lab: Lab, *marked: Marked) -> list[bool]:
    return [reason is not None for reason in lab.machine.do(answers, marked, "eth0")]


@families
@pytest.mark.parametrize(
    "ports", [Ports(0, 22), Ports(22, 65535), Ports(23, 22), *NO_PORT], ids=str
)
@pytest.mark.parametrize("side", ["source_ports", "destination_ports"])
def test_ports_that_no_rule_can_name(lab: Lab, family: Family, ports: Ports, side: str) -> None:
    made = Rule(family, 7, Action.BLACKHOLE, protocol=6, **{side: ports})  # type: ignore[arg-type]
    assert refused(lab, rule(made)) == [True]


@families
def test_a_goto_that_leads_back_and_a_user_that_is_none(lab: Lab, family: Family) -> None:
    back = Rule(family, 7, Action.GOTO, 6)
    nobody = Rule(family, 7, Action.BLACKHOLE, uid=0xFFFF_FFFF)
    assert refused(lab, rule(back), rule(nobody)) == [True, True]


@families
def test_protocol_0_is_taken_and_names_no_protocol(lab: Lab, family: Family) -> None:
    made = Rule(family, 700, Action.LOOKUP, 254, iif=LOOPBACK, protocol=0)
    assert refused(lab, rule(made)) == [False]
    told = lab.machine.run("ip", f"-{family.version}", "rule", "show", "pref", "700")
    assert "iif lo lookup main" in told
    assert "ipproto" not in told


@families
def test_ports_without_a_protocol_are_taken(lab: Lab, family: Family) -> None:
    made = Rule(family, 701, Action.NOP, destination_ports=Ports(22, 22))
    assert refused(lab, rule(made)) == [False]
    told = lab.machine.run("ip", f"-{family.version}", "rule", "show", "pref", "701")
    assert "dport 22" in told
    assert "ipproto" not in told


def test_table_0_is_a_new_one_in_ipv4_and_refused_in_ipv6(lab: Lab) -> None:
    four, six = (Rule(family, 702, Action.LOOKUP, 0) for family in Family)
    assert refused(lab, rule(four), rule(six)) == [False, True]
    assert "lookup 1" in lab.machine.run("ip", "rule", "show", "pref", "702")


@families
def test_a_route_that_is_there_twice(lab: Lab, family: Family) -> None:
    one = Route(family, 1000, RouteType.LOCAL)
    two = Route(family, 1000, RouteType.BLACKHOLE)
    assert refused(lab, route(one), route(one), route(two)) == [False, True, True]


def test_a_route_that_an_address_brings(lab: Lab) -> None:
    four = Route(Family.V4, 254, RouteType.UNICAST, ip_network("192.0.2.0/24"))
    six = Route(Family.V6, 254, RouteType.UNICAST, ip_network("2001:db8::/64"))
    assert refused(lab, route(four), route(six)) == [True, False]


@pytest.mark.parametrize(
    "gateway", ["192.0.2.2", "192.0.2.255", "224.0.0.1", "2001:db8::2", "ff02::2"]
)
def test_gateways_that_are_no_other_host(lab: Lab, gateway: str) -> None:
    address = ip_address(gateway)
    family = Family.V4 if address.version == 4 else Family.V6
    made = Route(family, 1001, RouteType.UNICAST, gateway=address)
    assert refused(lab, route(made)) == [True]


@families
def test_a_gateway_only_leads_on(lab: Lab, family: Family) -> None:
    gateway = {Family.V4: "192.0.2.1", Family.V6: "2001:db8::1"}[family]
    made = Route(family, 1002, RouteType.PROHIBIT, gateway=ip_address(gateway))
    if family is Family.V4:
        assert refused(lab, route(made)) == [True]
    local = Route(Family.V4, 1002, RouteType.LOCAL, gateway=ip_address("192.0.2.1"))
    assert refused(lab, route(local)) == [True]


@families
def test_a_source_that_is_no_address_here(lab: Lab, family: Family) -> None:
    other = {Family.V4: "198.51.100.9", Family.V6: "2001:db8:9::9"}[family]
    made = Route(family, 1003, RouteType.UNICAST, preferred=ip_address(other))
    assert refused(lab, route(made)) == [True]


def test_ipv6_reads_a_broadcast_route_as_any_other(lab: Lab) -> None:
    made = Route(Family.V6, 1004, RouteType.BROADCAST, ip_network("2001:db8:7::/48"))
    assert refused(lab, route(made)) == [False]
