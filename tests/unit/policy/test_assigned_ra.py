"""A policy whose IPv6 address comes by router advertisement: what passes before, and with it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

import pytest

from pbrinit.cli import main
from pbrinit.compiler.compile import compile_policy
from pbrinit.compiler.layout import TABLE_ROUTERS
from pbrinit.model.kernel import decide
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Egress, Ingress, Origin, Packet
from pbrinit.net.services import Protocol
from pbrinit.plan.ip_commands import commands
from pbrinit.plan.plan import TABLE_MAIN, Plan, Rule
from pbrinit.policy.assigned import (
    Assignment,
    AssignmentError,
    assignment_states,
    dynamic_interfaces,
    parse_assignment,
    with_assignments,
    with_example_assignments,
)
from pbrinit.policy.policy import Policy
from pbrinit.semantics.decision import DROPPED, PolicyDecider
from pbrinit.semantics.paths import PolicySemantics
from tests.support.policy_text import ENTRIES, ROOMS, by_dhcp, by_ra, written
from tests.support.policy_text import ROUTER as ROUTER_NAMES
from tests.tools.prove_random import refuted

WRITTEN = written(ENTRIES)
WAITING = by_ra(WRITTEN)
BOTH = by_dhcp(WAITING)
OWN, ROUTER = "2001:db8::5054:ff:fe12:3456", "fe80::1"
GIVEN = Assignment(IPv6Interface(f"{OWN}/64"), IPv6Address(ROUTER))
LEASE = Assignment(
    IPv4Interface("192.0.2.2/24"), IPv4Address("192.0.2.1"), IPv4Address("192.0.2.1")
)
SOLICITATION, ADVERTISEMENT, ECHO = (133, 0), (134, 0), (128, 0)


def icmp(source: str | None, destination: str, kind: tuple[int, int]) -> Packet:
    ends = (ip_address(source) if source else None, ip_address(destination))
    return Packet(Protocol.ICMPV6, *ends, icmp=kind)


def where(policy: Policy, packet: Packet, direction: Origin) -> str:
    """What the policy says of a packet."""
    return PolicyDecider(policy).decide(packet, direction).where


def test_nothing_of_ipv6_is_about_an_interface_that_waits_but_the_links_own() -> None:
    meaning = PolicySemantics(WAITING)
    wan, *others = WAITING.interfaces
    out = meaning.output(Family.V6, wan)
    assert not [box for box in out.allowed if box.destinations]
    (asking,) = out.always
    assert (asking.pattern.protocol, asking.uid, asking.sources.ranges) == (Protocol.ICMPV6, 0, ())
    near, routers = meaning.input(Family.V6, wan).always
    assert near.pattern.protocol == routers.pattern.protocol == Protocol.ICMPV6
    assert ip_address(OWN) not in near.destinations
    for part in (meaning.input(Family.V6, wan), *(
        meaning.forward(Family.V6, *ways) for other in others for ways in ((wan, other),
                                                                            (other, wan))
    )):  # fmt: skip
        assert not [box for box in part.allowed if box.sources and box.destinations]


@pytest.mark.parametrize("state", ["waiting", "given"])
@pytest.mark.parametrize(
    ("packet", "uid", "there"),
    [
        (icmp(None, "ff02::2", SOLICITATION), 0, "wan"),
        (icmp(None, "ff02::2", SOLICITATION), 1001, DROPPED),
        (icmp(None, "ff02::2", ADVERTISEMENT), 0, DROPPED),
        (icmp(None, "ff02::1", SOLICITATION), 0, DROPPED),
        (icmp(None, "ff05::2", SOLICITATION), 0, DROPPED),
        (icmp(None, ROUTER, SOLICITATION), 0, DROPPED),
        (icmp(OWN, "ff02::2", SOLICITATION), 0, DROPPED),
        (icmp("fe80::7", "ff02::2", SOLICITATION), 0, DROPPED),
    ],
)
def test_root_may_ask_all_routers_and_say_nothing_else_on_the_link(
    packet: Packet, uid: int, there: str, state: str
) -> None:
    policy = WAITING if state == "waiting" else with_assignments(WAITING, GIVEN)
    plan = compile_policy(policy)
    for device in (None, "eth0"):
        direction = Egress(uid, device, bound=packet.source is not None)
        assert where(policy, packet, direction) == there
        assert (decide(plan, packet, direction).device == "eth0") == (there == "wan")
    assert not decide(plan, packet, Egress(uid, "eth1")).allowed


@pytest.mark.parametrize("state", ["waiting", "given"])
@pytest.mark.parametrize(
    ("packet", "there"),
    [
        (icmp(ROUTER, "ff02::1", ADVERTISEMENT), "here"),
        (icmp(ROUTER, "fe80::7", ADVERTISEMENT), "here"),
        (icmp("2001:db8::1", "ff02::1", ADVERTISEMENT), DROPPED),
        (icmp("::", "ff02::1", ADVERTISEMENT), DROPPED),
        (icmp(ROUTER, "ff02::2", ADVERTISEMENT), DROPPED),
        (icmp(ROUTER, "ff05::1", ADVERTISEMENT), DROPPED),
        (icmp("::", "ff02::1:ff00:7", (135, 0)), "here"),
    ],
)
def test_routers_are_heard_from_the_link_alone(packet: Packet, there: str, state: str) -> None:
    policy = WAITING if state == "waiting" else with_assignments(WAITING, GIVEN)
    assert where(policy, packet, Ingress("eth0")) == there
    if packet.destination == ip_address("ff02::1"):
        assert where(policy, packet, Ingress("eth1")) == DROPPED


def test_while_it_waits_nobody_from_beyond_the_link_is_heard() -> None:
    for policy, there in ((WAITING, DROPPED), (with_assignments(WAITING, GIVEN), "here")):
        for destination in ("fe80::7", "ff02::1:ff12:3456"):
            echo = icmp("2001:db8:5::9", destination, ECHO)
            assert where(policy, echo, Ingress("eth0")) == there


def test_what_waits_does_not_take_ipv4_along() -> None:
    ssh = Packet(Protocol.TCP, ip_address("198.51.100.9"), ip_address("192.0.2.2"), 40000, 22)
    assert where(WAITING, ssh, Ingress("eth0")) == "here"


@pytest.mark.parametrize("policy", [WAITING, BOTH], ids=["ra", "dhcp and ra"])
def test_the_plan_of_what_waits_is_proved(policy: Policy) -> None:
    assert refuted(policy, compile_policy(policy)) == []


@pytest.mark.parametrize(
    "found",
    [(GIVEN,), (replace(GIVEN, gateway=None),), (LEASE, GIVEN), (GIVEN, LEASE), (LEASE,)],
    ids=["given", "without a gateway", "both", "both, the other way", "a lease alone"],
)
def test_the_plan_with_what_is_given_is_proved(found: tuple[Assignment, ...]) -> None:
    policy = with_assignments(BOTH if LEASE in found else WAITING, *found)
    assert refuted(policy, compile_policy(policy)) == []


def test_nobody_who_claims_to_be_this_machine_is_spoken_of_where_it_is_logged() -> None:
    """Also of an interface that waits: the kernel's word would be heard by our own sockets."""
    policy = by_ra(written(ENTRIES, f"log = true\n{ROUTER_NAMES}"))
    plan = compile_policy(policy)
    assert refuted(policy, plan) == []
    rules = tuple(rule for rule in plan.rules if rule.note != "spoofed: our own address")
    assert refuted(policy, replace(plan, rules=rules))


IN_ROOMS = by_ra(written(
    '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\nrun = "sshd"\n'
    '[[output]]\non = "wan"\nservice = "web"\nrun = "updater"\n'
    '[[output]]\nservice = "dns"\nrun = "resolver"\n'
    '[[between]]\nfrom = "updater"\nto = "resolver"\nservice = "dns"\n',
    ROOMS,
))  # fmt: skip


def test_the_plan_with_rooms_is_proved_while_it_waits_and_none_has_the_address() -> None:
    plan = compile_policy(IN_ROOMS)
    assert refuted(IN_ROOMS, plan) == []
    rooms = [program.room for program in plan.programs if program.room is not None]
    assert not [a for room in rooms for a in room.addresses if str(a.ip) == OWN]


def test_the_plan_with_rooms_and_an_address_is_proved_and_each_sends_by_it() -> None:
    policy = with_assignments(IN_ROOMS, GIVEN)
    plan = compile_policy(policy)
    assert refuted(policy, plan) == []
    rooms = [program.room for program in plan.programs if program.room is not None]
    assert len(rooms) == 3
    for room in rooms:
        assert OWN in [str(address.ip) for address in room.addresses]
        (default,) = [r for r in room.routes if r.family is Family.V6 and r.destination is None]
        assert str(default.preferred) == OWN


def asking(plan: Plan) -> list[Rule]:
    return [rule for rule in plan.rules if rule.argument == TABLE_ROUTERS]


def test_a_rule_that_lets_more_out_than_a_question_for_routers_is_refuted() -> None:
    plan = compile_policy(WAITING)
    (rule,) = asking(plan)
    for wider in ({"uid": None}, {"protocol": None, "destination_ports": None},
                  {"destination_ports": None}):  # fmt: skip
        rules = tuple(replace(rule, **wider) if r is rule else r for r in plan.rules)  # type: ignore[arg-type]
        assert refuted(WAITING, replace(plan, rules=rules)), wider
    chosen = tuple(r for r in plan.rules if r.note != "a router solicitation has no source yet")
    assert len(chosen) == len(plan.rules) - 2
    assert refuted(WAITING, replace(plan, rules=chosen))
    assert refuted(WAITING, replace(plan, rules=tuple(r for r in plan.rules if r is not rule)))


def test_a_rule_that_hears_more_than_routers_of_the_link_is_refuted() -> None:
    for policy in (WAITING, with_assignments(WAITING, GIVEN)):
        plan = compile_policy(policy)
        (rule,) = [rule for rule in plan.rules if rule.note == "router advertisements"]
        wide = ip_address("ff02::")
        for wider in ({"source": None}, {"protocol": None},
                      {"destination": Family.V6.prefix(int(wide), 16)}):  # fmt: skip
            rules = tuple(replace(rule, **wider) if r is rule else r for r in plan.rules)
            assert refuted(policy, replace(plan, rules=rules)), wider


def test_the_way_to_everybody_else_is_the_routers_address_on_the_link() -> None:
    plan = compile_policy(with_assignments(WAITING, GIVEN))
    (link,) = [link for link in plan.links if link.device == "eth0"]
    (route,) = [r for r in link.routes if r.family is Family.V6 and r.table == TABLE_MAIN]
    assert (route.destination, str(route.gateway)) == (None, ROUTER)
    said = "ip -6 route add default via fe80::1 dev eth0 onlink table main proto static  # gateway"
    assert said in list(commands(plan))
    https = Packet(Protocol.TCP, None, ip_address("2600::7"), 40000, 443)
    assert decide(plan, https, Egress(1001)).device == "eth0"


def test_ipv6_is_on_while_it_waits_and_stays_so() -> None:
    for policy in (WAITING, with_assignments(WAITING, GIVEN)):
        (link,) = [link for link in compile_policy(policy).links if link.device == "eth0"]
        assert link.has_ipv6
        values = {sysctl.key.rpartition("/")[2]: sysctl.value for sysctl in link.sysctls}
        told = (values["accept_ra"], values["autoconf"], values["router_solicitations"])
        assert told == ("0", "0", "0")


def test_with_what_is_given_it_is_the_policy_that_has_it_written_in_it() -> None:
    policy = with_assignments(BOTH, LEASE, GIVEN)
    assert policy == with_assignments(BOTH, GIVEN, LEASE)
    wan = policy.interfaces[0]
    assert [str(a) for a in (*wan.addresses, *wan.gateways)] == [
        "192.0.2.2/24", f"{OWN}/64", *[str(g) for g in wan.gateways]
    ]  # fmt: skip
    assert {str(gateway) for gateway in wan.gateways} == {"192.0.2.1", ROUTER}
    assert len(policy.allows) == len(WRITTEN.allows) + 1
    assert with_assignments(WAITING, GIVEN).allows[0].interfaces[0].addresses_of(Family.V6) == (
        GIVEN.address,
    )
    assert with_assignments(WRITTEN, GIVEN) == WRITTEN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{OWN}/64,{ROUTER}", f"{OWN}/64, gateway {ROUTER}"),
        (f"{OWN}/64,", f"{OWN}/64"),
        (f"{OWN}/64", f"{OWN}/64"),
    ],
)
def test_an_advertisement_as_it_is_written(text: str, expected: str) -> None:
    assert str(parse_assignment(WAITING, text)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{OWN}/64,{ROUTER},{ROUTER}", "is neither a lease nor an advertisement"),
        (f"{OWN},{ROUTER}", "is neither a lease nor an advertisement"),
        (f"{OWN}/129", "is neither a lease nor an advertisement"),
        (f"{OWN}/64,192.0.2.1", "is neither a lease nor an advertisement"),
        (f"{OWN}/64,2001:db8::1", "not another host of the link"),
        (f"{OWN}/48,{ROUTER}", "length of 48"),
        (f"fd00:10::7/64,{ROUTER}", "overlaps with fd00:10::/64"),
        ("192.0.2.9/24,192.0.2.1", "gets its address by DHCP"),
    ],
)
def test_what_is_no_advertisement_for_the_policy(text: str, why: str) -> None:
    with pytest.raises(AssignmentError, match=why):
        parse_assignment(WAITING, text)


def test_what_is_awaited_is_told_by_family_with_the_prefixes_of_the_others() -> None:
    four, six = dynamic_interfaces(BOTH)
    assert (four.family, six.family) == (Family.V4, Family.V6)
    assert {four.device, six.device} == {"eth0"}
    assert six.taken == ((int(IPv6Address("fd00:10::")), 64),)


def test_the_states_of_a_policy_are_all_that_it_can_be_given_and_not() -> None:
    told = [words for words, _ in assignment_states(BOTH)]
    lease = "with a lease of 192.0.2.77/24, gateway 192.0.2.1 from 192.0.2.1"
    advertisement = "with an advertisement of 2001:db8:77:77:5054:ff:fe12:3456/64, gateway fe80::1"
    assert told == [
        "without a lease, without an advertisement",
        f"without a lease, {advertisement}",
        f"{lease}, without an advertisement",
        f"{lease}, {advertisement}",
    ]
    assert not [
        i
        for i in with_example_assignments(BOTH).interfaces
        if any(i.awaiting_address(family) for family in Family)
    ]
    assert [words for words, _ in assignment_states(WAITING)] == [
        "without an advertisement",
        advertisement,
    ]


def test_the_command_line_takes_what_is_given_of_each_family(
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = "examples/autoconf.toml"
    words = ["--lease", "192.0.2.77/24,192.0.2.1", "--lease", f"{OWN}/64,{ROUTER}"]
    assert main.main(["show", example, *words]) == 0
    shown = capsys.readouterr().out
    assert f"ip address add {OWN}/64 dev eth0" in shown
    assert "ip address add 192.0.2.77/24 brd + dev eth0" in shown
    assert main.main(["show", "examples/dhcp.toml", *words]) == 2
    assert "gets its address by router advertisement" in capsys.readouterr().err


@pytest.mark.parametrize("gateway", [ROUTER, None])
def test_the_plan_with_an_address_alone_in_its_prefix_is_proved(gateway: str | None) -> None:
    """The prefix is not on the link."""
    alone = Assignment(
        IPv6Interface(f"{OWN}/128"), IPv6Address(gateway) if gateway is not None else None
    )
    policy = with_assignments(WAITING, alone)
    assert refuted(policy, compile_policy(policy)) == []
    assert parse_assignment(WAITING, alone.text) == alone
