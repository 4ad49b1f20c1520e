"""A policy whose address comes by DHCP: what passes before there is one, and with one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_address

import pytest

from pbrinit.compiler.compile import compile_policy
from pbrinit.compiler.layout import TABLE_DHCP
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Egress, Ingress, Origin, Packet
from pbrinit.net.services import DHCP_CLIENT, Protocol
from pbrinit.plan.plan import Plan, Rule
from pbrinit.policy.assigned import (
    EXAMPLES,
    Assignment,
    AssignmentError,
    assignment_states,
    parse_assignment,
    with_assignments,
    with_example_assignments,
)
from pbrinit.policy.interfaces import StaticRoute
from pbrinit.policy.policy import Policy
from pbrinit.semantics.decision import DROPPED, PolicyDecider
from pbrinit.semantics.paths import PolicySemantics
from tests.support.policy_text import ENTRIES, ROOMS, ROUTER, by_dhcp, written
from tests.tools.prove_random import refuted

WRITTEN = written(ENTRIES)
WAITING = by_dhcp(WRITTEN)
SERVER = IPv4Address("192.0.2.1")
LEASE = Assignment(IPv4Interface("192.0.2.2/24"), SERVER, SERVER)
LEASES = {
    "as it was written": LEASE,
    "from anybody": replace(LEASE, server=None),
    "from beyond the gateway": replace(LEASE, server=IPv4Address("203.0.113.5")),
    "with routes": replace(LEASE, routes=(
        StaticRoute(IPv4Network("203.0.113.0/25"), IPv4Address("192.0.2.9")),
        StaticRoute(IPv4Network("100.64.0.0/10"), IPv4Address("192.0.2.8")),
    )),
    "with a route and no gateway": replace(LEASE, gateway=None, routes=(
        StaticRoute(IPv4Network("203.0.113.0/25"), IPv4Address("192.0.2.9")),
    )),
    "alone in its prefix": replace(LEASE, address=IPv4Interface("192.0.2.2/32"), routes=(
        StaticRoute(IPv4Network("192.0.2.1/32"), None),
    )),
    "with a router and hosts beyond its prefix": replace(
        LEASE, gateway=IPv4Address("100.64.0.1"), routes=(
            StaticRoute(IPv4Network("100.64.0.0/24"), None),
            StaticRoute(IPv4Network("203.0.113.0/25"), IPv4Address("100.64.0.9")),
        )
    ),
    "without a gateway": replace(LEASE, gateway=None),
    "with a server that nobody reaches": Assignment(
        LEASE.address, None, IPv4Address("203.0.113.5")
    ),
}  # fmt: skip


def sent(source: str | None, destination: str, ports: tuple[int, int] = (68, 67)) -> Packet:
    ends = (ip_address(source) if source else None, ip_address(destination))
    return Packet(Protocol.UDP, *ends, *ports)


def test_nothing_of_ipv4_is_about_an_interface_that_waits_but_dhcp() -> None:
    meaning = PolicySemantics(WAITING)
    wan, *others = WAITING.interfaces
    out = meaning.output(Family.V4, wan)
    assert not [box for box in out.allowed if box.destinations]
    (dhcp,) = out.always
    assert (dhcp.pattern.protocol, dhcp.uid) == (Protocol.UDP, 0)
    assert dhcp.pattern.source_ports == (DHCP_CLIENT,)
    for part in (meaning.input(Family.V4, wan), *(
        meaning.forward(Family.V4, *ways) for other in others for ways in ((wan, other),
                                                                            (other, wan))
    )):  # fmt: skip
        assert not part.always
        assert not [box for box in part.allowed if box.sources and box.destinations]


@pytest.mark.parametrize(
    ("packet", "uid", "where"),
    [
        (sent(None, "203.0.113.9"), 0, "wan"),
        (sent(None, "203.0.113.9"), 1001, DROPPED),
        (sent(None, "203.0.113.9", (68, 53)), 0, DROPPED),
        (sent(None, "203.0.113.9", (40000, 67)), 0, DROPPED),
        (sent("10.0.0.1", "203.0.113.9"), 0, DROPPED),
        (sent(None, "10.0.9.9"), 0, DROPPED),
        (sent(None, "10.0.0.1"), 0, "here"),
    ],
)
def test_while_it_waits_root_may_ask_anybody_beyond_the_other_links(
    packet: Packet, uid: int, where: str
) -> None:
    assert PolicyDecider(WAITING).decide(
        packet, Egress(uid, None, bound=packet.source is not None)
    ).where == (where)


def test_what_waits_does_not_take_ipv6_along() -> None:
    ssh = Packet(Protocol.TCP, ip_address("2001:db8:5::9"), ip_address("2001:db8::2"), 40000, 22)
    assert PolicyDecider(WAITING).decide(ssh, Ingress("eth0")).where == "here"


def test_the_plan_of_what_waits_is_proved() -> None:
    assert refuted(WAITING, compile_policy(WAITING)) == []


@pytest.mark.parametrize("lease", LEASES)
def test_the_plan_with_a_lease_is_proved(lease: str) -> None:
    policy = with_assignments(WAITING, LEASES[lease])
    assert refuted(policy, compile_policy(policy)) == []


IN_ROOMS = by_dhcp(written(
    '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\nrun = "sshd"\n'
    '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ping"\n'
    '[[output]]\non = "wan"\nservice = "web"\nrun = "updater"\n'
    '[[output]]\nservice = "dns"\nrun = "resolver"\n'
    '[[between]]\nfrom = "updater"\nto = "resolver"\nservice = "dns"\n',
    ROOMS,
))  # fmt: skip


def in_room(plan: Plan) -> set[str]:
    """The addresses in each room that its program could have of a lease."""
    rooms = [program.room for program in plan.programs if program.room is not None]
    assert len(rooms) == 3
    (found,) = {frozenset(str(a.ip) for a in r.addresses if a.ip in LEASE.address.network)
                for r in rooms}  # fmt: skip
    return set(found)


def test_the_plan_with_rooms_is_proved_while_it_waits_and_none_has_the_address() -> None:
    plan = compile_policy(IN_ROOMS)
    assert refuted(IN_ROOMS, plan) == []
    assert in_room(plan) == set()


@pytest.mark.parametrize("lease", LEASES)
def test_the_plan_with_rooms_and_a_lease_is_proved_and_each_has_its_address(lease: str) -> None:
    policy = with_assignments(IN_ROOMS, LEASES[lease])
    plan = compile_policy(policy)
    assert refuted(policy, plan) == []
    assert in_room(plan) == {"192.0.2.2"}


def test_while_it_waits_rooms_reach_each_other_and_by_ipv6_others() -> None:
    rulings = PolicyDecider(IN_ROOMS)
    asks = Packet(Protocol.UDP, ip_address("169.254.77.2"), ip_address("169.254.77.3"), 41000, 53)
    assert rulings.decide(asks, Ingress("r-updater")).where == "room resolver"
    for own, friend, where in (
        ("2001:db8::2", "2001:db8:5::9", "room sshd"),
        ("192.0.2.2", "198.51.100.9", DROPPED),
    ):
        ssh = Packet(Protocol.TCP, ip_address(friend), ip_address(own), 40000, 22)
        assert rulings.decide(ssh, Ingress("eth0")).where == where


def dhcp_rules(plan: Plan) -> list[Rule]:
    return [rule for rule in plan.rules if rule.argument == TABLE_DHCP]


def changed(plan: Plan, **fields: object) -> Plan:
    """The plan with the rule that waits for a server made another."""
    rules = (replace(r, **fields) if r in dhcp_rules(plan) else r for r in plan.rules)  # type: ignore[arg-type]
    return replace(plan, rules=tuple(rules))


def test_a_rule_that_lets_in_more_than_servers_is_refuted() -> None:
    plan = compile_policy(WAITING)
    assert len(dhcp_rules(plan)) == 1
    for wider in ({"uid": None}, {"source": None}, {"source_ports": None}, {"protocol": None},
                  {"destination_ports": None}):  # fmt: skip
        assert refuted(WAITING, changed(plan, **wider)), wider


def test_servers_behind_other_interfaces_are_refuted_as_well() -> None:
    plan = compile_policy(WAITING)
    rules = tuple(r for r in plan.rules if r.note != "behind another interface")
    assert len(rules) < len(plan.rules)
    assert refuted(WAITING, replace(plan, rules=rules))


def test_without_a_lease_nothing_changes() -> None:
    assert with_assignments(WAITING, None) == WAITING
    assert with_assignments(WRITTEN, LEASE) == WRITTEN


def test_with_a_lease_it_is_the_policy_that_has_the_address_written_in_it() -> None:
    policy = with_assignments(WAITING, LEASE)
    *entries, more_time = policy.allows
    assert [str(entry) for entry in entries] == [str(entry) for entry in WRITTEN.allows]
    bare = tuple(
        replace(interface, dynamic_families=frozenset()) for interface in policy.interfaces
    )
    assert [(i.name, set(i.addresses), set(i.gateways)) for i in bare] == [
        (i.name, set(i.addresses), set(i.gateways)) for i in WRITTEN.interfaces
    ]
    assert str(more_time) == "output by wan to 192.0.2.1: udp/67, as root only"
    assert more_time.key == "interface.wan.address"


def of(policy: Policy, question: str) -> str:
    packets: dict[str, tuple[Packet, Origin]] = {
        "more time": (sent("192.0.2.2", "192.0.2.1"), Egress(0, None)),
        "more time of another": (sent("192.0.2.2", "192.0.2.9"), Egress(0, None)),
        "more time for a user": (sent("192.0.2.2", "192.0.2.1"), Egress(1001, None)),
        "given": (sent("192.0.2.1", "192.0.2.2", (67, 68)), Ingress("eth0")),
        "given by another": (sent("192.0.2.9", "192.0.2.2", (67, 68)), Ingress("eth0")),
        "something else of the server": (sent("192.0.2.1", "192.0.2.2", (67, 69)), Ingress("eth0")),
    }
    return PolicyDecider(policy).decide(*packets[question]).where


def test_a_lease_opens_one_exchange_with_its_server_alone() -> None:
    policy = with_assignments(WAITING, LEASE)
    assert [of(policy, question) for question in ("more time", "given")] == ["wan", "here"]
    for question in ("more time of another", "more time for a user", "given by another",
                     "something else of the server"):  # fmt: skip
        assert of(policy, question) == DROPPED, question


def test_when_the_server_is_silent_any_other_may_give_more_time() -> None:
    policy = with_assignments(WAITING, replace(LEASE, server=None))
    assert of(policy, "more time of another") == "wan"
    assert of(policy, "given by another") == "here"
    assert of(policy, "more time for a user") == DROPPED


def test_with_a_lease_no_rule_waits_for_a_server() -> None:
    plan = compile_policy(with_assignments(WAITING, LEASE))
    assert dhcp_rules(plan) == []
    assert not [r for link in plan.links for r in link.routes if r.table == TABLE_DHCP]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.9/24,192.0.2.1", "192.0.2.9/24, gateway 192.0.2.1 from 192.0.2.1"),
        ("192.0.2.9/24,,192.0.2.3", "192.0.2.9/24 from 192.0.2.3"),
        ("192.0.2.9/24,192.0.2.1,any", "192.0.2.9/24, gateway 192.0.2.1 from any server"),
        ("192.0.2.9/24,192.0.2.1,203.0.113.5", "192.0.2.9/24, gateway 192.0.2.1 from 203.0.113.5"),
        (
            "192.0.2.9/24,,192.0.2.3,203.0.113.0/24=192.0.2.4,9.0.0.0/8=192.0.2.5",
            "192.0.2.9/24, 203.0.113.0/24 via 192.0.2.4, 9.0.0.0/8 via 192.0.2.5 from 192.0.2.3",
        ),
    ],
)
def test_a_lease_as_it_is_written(text: str, expected: str) -> None:
    found = parse_assignment(WAITING, text)
    assert str(found) == expected
    assert parse_assignment(WAITING, found.text) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is neither a lease"),
        ("192.0.2.9/24", "is neither a lease"),
        ("192.0.2.9,192.0.2.1", "is neither a lease"),
        ("192.0.2.9/33,192.0.2.1", "is neither a lease"),
        ("192.0.2.9/24,any", "is neither a lease"),
        ("192.0.2.9/24,192.0.2.1,192.0.2.1,", "is neither a lease"),
        ("192.0.2.9/24,192.0.2.1,,203.0.113.0/24", "is neither a lease"),
        ("192.0.2.9/24,192.0.2.1,,203.0.113.7/24=192.0.2.1", "is neither a lease"),
        ("192.0.2.9/24,192.0.2.1,,10.0.5.0/24=192.0.2.1", "overlaps with 10.0.0.0/16"),
        (
            "192.0.2.9/24,192.0.2.1,,203.0.113.0/24=192.0.2.9",
            "is not another host of the address's prefix",
        ),
        ("192.0.2.9/24,,,203.0.113.0/24=192.0.2.4", "a lease has at least a gateway or a server"),
        ("2001:db8::9/64,fe80::1,any", "is neither a lease"),
        ("2001:db8::9/64,fe80::1", "gets its address by router advertisement"),
        ("192.0.2.9/24,192.0.2.9", "is not another host of the address's prefix"),
        ("192.0.2.9/7,192.0.2.8", "length of 7"),
        ("10.0.3.9/24,10.0.3.1", "overlaps with 10.0.0.0/16"),
        ("127.0.0.9/24,127.0.0.1", "is not a host's address"),
    ],
)
def test_what_is_no_lease_for_the_policy(text: str, why: str) -> None:
    with pytest.raises(AssignmentError, match=why):
        parse_assignment(WAITING, text)


def test_a_policy_without_dhcp_has_no_lease() -> None:
    with pytest.raises(AssignmentError, match="no interface"):
        parse_assignment(WRITTEN, "192.0.2.9/24,192.0.2.1")


def test_the_states_of_a_policy_are_that_without_a_lease_and_an_example_of_one_with_it() -> None:
    (first, waiting), (second, leased) = assignment_states(WAITING)
    assert (first, waiting) == ("without a lease", WAITING)
    assert second == "with a lease of 192.0.2.77/24, gateway 192.0.2.1 from 192.0.2.1"
    assert (
        with_example_assignments(WAITING)
        == leased
        == with_assignments(WAITING, parse_assignment(WAITING, EXAMPLES[Family.V4][0]))
    )
    assert list(assignment_states(WRITTEN)) == [("", WRITTEN)]


def test_the_example_is_none_that_another_interface_has() -> None:
    policy = by_dhcp(written("", ROUTER.replace("10.0.0.1/16", "192.0.0.1/16").replace(
        "192.0.2.2/24", "10.9.9.9/24").replace("192.0.2.1", "10.9.9.1")))  # fmt: skip
    assert str(with_example_assignments(policy).interfaces[0].addresses[0]) == "198.51.100.77/24"
