"""Those beyond a router of a link: how they are written, where they live, how they are reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from pbrinit.analysis import explain
from pbrinit.analysis.boundary import check as check_corners
from pbrinit.analysis.conformance import Conformance, ConformanceChecker
from pbrinit.analysis.proof.prover import Finding, Proof
from pbrinit.cli.prove import ASTRAY, text
from pbrinit.compiler.compile import compile_policy
from pbrinit.model.fib import Lookup
from pbrinit.model.kernel import decide
from pbrinit.net.addresses import Family, family_of
from pbrinit.net.packet import Egress, Ingress, Packet
from pbrinit.plan.plan import Route
from pbrinit.policy.assigned import (
    AssignmentError,
    assignment_states,
    parse_assignment,
    with_assignments,
)
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from pbrinit.semantics.decision import DROPPED, LOCAL
from pbrinit.semantics.paths import PolicySemantics
from tests.support.policy_text import ROOMS, ROUTER, check, problems, where, written

OFFICE = Path("examples/office.toml")
LAN = 'address = ["10.0.0.1/16", "fd00:10::1/64"]\n'
BEYOND = ROUTER.replace(
    LAN,
    LAN + 'route = ["10.1.0.0/16 via 10.0.0.254", "203.0.113.0/24 via 10.0.0.253",'
    ' "fd00:11::/32 via fd00:10::fe"]\n',
)
WEB = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'


@pytest.mark.parametrize(
    ("written_", "expected"),
    [
        ("10.1.0.0/16", 'interface.lan.route: "10.1.0.0/16" is not a route'),
        ("10.1.0.0/16 dev eth0", "is not a route"),
        ("10.1.0.1/16 via 10.0.0.2", 'did you mean "10.1.0.0/16"?'),
        ("10.1.0.0/16 via nobody", '"nobody" is not an address'),
        ("fd00:11::/32 via 10.0.0.2", "is of two families"),
        ("::/0 via 10.0.0.2", "is of two families"),
        ("default via 10.0.0.2", 'write gateway = "10.0.0.2"'),
        ("default via nobody", '"nobody" is not an address'),
        ("0.0.0.0/0 via 10.0.0.2", 'write gateway = "10.0.0.2"'),
        ("0::0/0 via fd00:10::2", 'write gateway = "fd00:10::2"'),
        ("127.1.0.0/16 via 10.0.0.2", "contains some of 127.0.0.0/8, and no router"),
        ("126.0.0.0/7 via 10.0.0.2", "contains some of 127.0.0.0/8, and no router"),
        ("fe80::/64 via fd00:10::2", "contains some of fe80::/10, and no router"),
        ("fe00::/7 via fd00:10::2", "contains some of fe80::/10, and no router"),
        ("::/3 via fd00:10::2", "contains some of ::/128, and no router"),
        ("224.0.1.0/24 via 10.0.0.2", "224.0.1.0/24 is multicast"),
        ("10.1.0.0/16 via 10.2.0.1", "10.2.0.1 is in no prefix of this interface's addresses"),
        ("10.1.0.0/16 via 192.0.2.1", "192.0.2.1 is in no prefix"),
        ("10.1.0.0/16 via 10.0.0.1", "10.0.0.1 is this machine's own address"),
        (
            "10.1.0.0/16 via 10.0.255.255",
            "10.0.255.255 is a network address or a broadcast address",
        ),
        ("10.0.9.0/24 via 10.0.0.2", "10.0.9.0/24 is inside of lan's 10.0.0.1/16"),
        ("10.0.0.0/16 via 10.0.0.2", "10.0.0.0/16 is inside of lan's 10.0.0.1/16"),
        ("192.0.2.128/25 via 10.0.0.2", "192.0.2.128/25 is inside of wan's 192.0.2.2/24"),
    ],
)
def test_what_is_no_route_is_said(tmp_path: Path, written_: str, expected: str) -> None:
    found = problems(tmp_path, ROUTER.replace(LAN, f'{LAN}route = "{written_}"\n'))
    assert len(found) == 1
    assert expected in found[0]


def test_nobody_is_reached_by_two_routers(tmp_path: Path) -> None:
    two = '["10.1.0.0/16 via 10.0.0.2", "10.1.0.0/16 via 10.0.0.3"]'
    (found,) = problems(tmp_path, ROUTER.replace(LAN, f"{LAN}route = {two}\n"))
    assert found == ("interface.lan.route: 10.1.0.0/16 has another router too: lan's 10.0.0.2")


NOT_NEAR = "is in no prefix of this interface's addresses"


@pytest.mark.parametrize(
    ("address", "key", "why"),
    [
        (
            "dhcp",
            'route = "10.1.0.0/16 via 192.0.2.9"',
            "is set (by DHCP routes come with the address)",
        ),
        ("ra", 'route = "fd00:11::/32 via fd00::9"', NOT_NEAR),
        ("dhcp", 'route = "fd00:11::/32 via fe80::9"', NOT_NEAR),
        ("dhcp", 'gateway = "fe80::9"', NOT_NEAR),
        ("192.0.2.2/24", 'gateway = "fe80::9"', NOT_NEAR),
        ("192.0.2.2/24", 'route = "fd00:11::/32 via fe80::9"', NOT_NEAR),
    ],
)
def test_a_router_is_one_that_the_link_can_have(
    tmp_path: Path, address: str, key: str, why: str
) -> None:
    given = f'hostname = "h"\n[interface.wan]\ndevice = "eth0"\naddress = "{address}"\n'
    (found,) = problems(tmp_path, f"{given}{key}\n")
    assert why in found


@pytest.mark.parametrize("address", ["ra", "2001:db8::2/64"])
def test_a_router_may_be_known_by_its_address_on_the_link(tmp_path: Path, address: str) -> None:
    path = tmp_path / "near.toml"
    path.write_text(
        f'hostname = "h"\n[interface.wan]\ndevice = "eth0"\naddress = "{address}"\n'
        'route = "2001:db8:9::/48 via fe80::9"\n[service]\nweb = "tcp/80"\n'
        '[[output]]\nservice = "web"\n'
    )
    for _, policy in assignment_states(read_policy(path)):
        assert not unproved(policy)


BESIDE_OTHERS = """
hostname = "h"
[interface.wan]
device = "eth0"
address = "ra"
route = ["2001:db8:9::/48 via fe80::9", "2001:db8:77:77::/64 via fe80::8"]
[interface.lan]
device = "eth1"
address = "2001:db8:1::1/64"
route = "2001:db8::/32 via fe80::5"
[interface.dmz]
device = "eth2"
address = "2001:db8:2::1/64"
[service]
web = "tcp/80"
[[forward]]
in = "lan"
out = "dmz"
service = "web"
[[output]]
on = ["lan", "dmz"]
service = "web"
"""


def test_as_long_as_an_interface_has_no_address_nobody_lives_beyond_its_routers() -> None:
    """IPv6 is on before, for routers' words; a route in the table main would lead out."""
    waiting, given_ = (policy for _, policy in assignment_states(written("", BESIDE_OTHERS)))
    for policy, routes in ((waiting, 0), (given_, 2)):
        plan = compile_policy(policy)
        wan = next(link for link in plan.links if link.name == "wan")
        assert sum(route.note == "through a router of this link" for route in wan.routes) == routes
        assert not unproved(policy)
        assert not check_corners(policy, plan).wrong


def test_what_would_lead_out_then_is_found_at_the_corners_too() -> None:
    """Where there is no z3, on the machine."""
    waiting, given_ = (policy for _, policy in assignment_states(written("", BESIDE_OTHERS)))
    plan, later = compile_policy(waiting), compile_policy(given_)
    routes = next(link.routes for link in later.links if link.name == "wan")
    links = tuple(
        replace(link, routes=(*link.routes, *(r for r in routes if is_to_branch(r))))
        if link.name == "wan"
        else link
        for link in plan.links
    )
    assert check_corners(waiting, replace(plan, links=links)).wrong


@pytest.mark.parametrize(
    ("prefix", "taken"),
    [("2001:db8:77:77", True), ("2001:db8:9:1", False), ("2001:db8:8:8", False)],
)
def test_no_router_advertises_what_is_beyond_another(prefix: str, taken: bool) -> None:
    """A link's prefix may lie in a wide route, and has no route in it."""
    policy = written("", BESIDE_OTHERS.replace('route = "2001:db8::/32 via fe80::5"', ""))
    text_ = f"{prefix}:5054:ff:fe12:3456/64,fe80::1"
    if taken:
        with pytest.raises(AssignmentError, match="overlaps with 2001:db8:77:77::/64"):
            parse_assignment(policy, text_)
    else:
        assert not unproved(with_assignments(policy, parse_assignment(policy, text_)))


def test_the_gateway_too(tmp_path: Path) -> None:
    path = tmp_path / "near.toml"
    near = OFFICE.read_text().replace('"2001:db8::1"]', '"fe80::1"]')
    assert near.count("fe80::1") == 1
    path.write_text(near)
    assert not unproved(read_policy(path))


@pytest.mark.parametrize(
    ("address", "behind"),
    [
        ("10.1.2.3", "lan"), ("203.0.113.7", "lan"), ("fd00:11:5::1", "lan"), ("10.0.0.254", "lan"),
        ("10.2.0.1", "wan"), ("203.0.114.1", "wan"), ("fd00:12::1", "wan"),
    ],
)  # fmt: skip
def test_those_beyond_a_router_live_behind_its_interface(address: str, behind: str) -> None:
    policy = written("", BEYOND)
    meaning, family = PolicySemantics(policy), family_of(ip_address(address))
    found = [
        i.name
        for i in policy.interfaces
        if ip_address(address) in meaning.topology.hosts_behind(i, family)
    ]
    assert found == [behind]


NESTED = ROUTER.replace(
    LAN,
    LAN + 'route = ["10.0.0.0/8 via 10.0.0.254", "10.7.0.0/16 via 10.0.0.253",'
    ' "172.16.0.0/12 via 10.0.0.254", "203.0.113.0/24 via 10.0.0.252"]\n',
).replace('gateway = ["192.0.2.1"', 'route = ["10.7.7.0/24 via 192.0.2.9"]\ngateway = ["192.0.2.1"')


@pytest.mark.parametrize(
    ("address", "behind", "router"),
    [
        ("10.9.9.9", "lan", "10.0.0.254"), ("10.0.3.3", "lan", None),
        ("10.7.1.1", "lan", "10.0.0.253"), ("10.7.7.7", "wan", "192.0.2.9"),
        ("172.16.0.2", "dmz", None),
        ("172.16.0.5", "lan", "10.0.0.254"), ("203.0.113.1", "lan", "10.0.0.252"),
        ("203.0.114.1", "wan", "192.0.2.1"), ("192.0.2.77", "wan", None),
    ],
)  # fmt: skip
def test_of_prefixes_that_hold_an_address_the_longest_decides(
    address: str, behind: str, router: str | None
) -> None:
    policy, there = written("", NESTED), ip_address(address)
    homes = PolicySemantics(policy).topology
    for interface in policy.interfaces:
        found = [by for by, some in homes.routers(interface, Family.V4) if there in some]
        if interface.name == behind:
            assert found == [ip_address(router) if router else None]
        assert (there in homes.hosts_behind(interface, Family.V4)) == (interface.name == behind)


def test_a_policy_of_prefixes_within_prefixes_is_proved() -> None:
    names = ROOMS.replace(ROUTER, NESTED)
    assert names != ROOMS
    policy = written(
        f'{WEB}[[input]]\nservice = "ssh"\n[[output]]\nservice = "dns"\n'
        '[[output]]\nservice = "web"\nrun = "updater"\n',
        names,
    )
    assert not unproved(policy)


@pytest.mark.parametrize(("address", "leaves"), [("10.7.7.7", False), ("10.9.9.9", True)])
def test_a_bound_socket_does_not_reach_who_lives_elsewhere_by_a_wider_route(
    address: str, leaves: bool
) -> None:
    plan = compile_policy(written('[[output]]\nservice = "dns"\n', NESTED))
    asks = Packet(17, ip_address("10.0.0.1"), ip_address(address), 40000, 53)
    verdict = decide(plan, asks, Egress(0, "eth1", bound=True), {})
    assert (verdict.allowed, verdict.device) == ((True, "eth1") if leaves else (False, None))


def test_who_lives_nowhere_is_led_nowhere_by_a_table_of_sources() -> None:
    """Those tables have a way for everybody; without a gateway many live nowhere."""
    many = ",".join(f'"fd00:10::{number:x}:0/112"' for number in range(1, 40, 2))
    names = ROUTER.replace('gateway = ["192.0.2.1", "2001:db8::1"]\n', "")
    names = names[: names.index("[network]")] + f"[network]\nmany = [{many}]\n"
    policy = written(
        '[[forward]]\nin = "lan"\nout = "wan"\nfrom = "many"\nservice = "dns"\n',
        names + '[service]\ndns = ["udp/53"]\n',
    )
    assert not unproved(policy)


def test_they_ask_and_are_asked_as_those_on_the_link() -> None:
    policy = written(f'{WEB}[[input]]\non = "lan"\nservice = "ssh"\n', BEYOND)
    asked = {
        "in lan tcp 10.1.2.3:40000 > 192.0.2.200:80": "wan",
        "in lan tcp 203.0.113.7:40000 > 192.0.2.200:80": "wan",
        "in wan tcp 203.0.113.7:40000 > 192.0.2.2:22": DROPPED,
        "in lan tcp 203.0.113.7:40000 > 10.0.0.1:22": LOCAL,
        "in lan tcp 10.2.0.1:40000 > 10.0.0.1:22": DROPPED,
        "in wan tcp 192.0.2.200:80 > 10.1.2.3:40000": "lan",
    }
    assert {question: where(policy, question) for question in asked} == asked


def test_without_a_route_they_are_the_gateways() -> None:
    check('[[input]]\non = "wan"\nservice = "ssh"\n',
          ("in wan tcp 203.0.113.7:40000 > 192.0.2.2:22", LOCAL),
          ("in lan tcp 203.0.113.7:40000 > 192.0.2.2:22", DROPPED))  # fmt: skip


@pytest.mark.parametrize(
    ("destination", "router"),
    [("10.1.2.3", "10.0.0.254"), ("203.0.113.7", "10.0.0.253"), ("10.0.0.9", None)],
)
def test_each_is_spoken_to_by_the_router_that_leads_there(
    destination: str, router: str | None
) -> None:
    plan = compile_policy(written(WEB, BEYOND))
    answer = Packet(6, ip_address("192.0.2.200"), ip_address(destination), 80, 40000)
    verdict = decide(plan, answer, Ingress("eth0"), {})
    found = next(trace.hit for trace in verdict.traces if trace.lookup is Lookup.INPUT)
    assert verdict.device == "eth1"
    assert found is not None
    assert found.gateway == (ip_address(router) if router else None)


def test_a_room_has_the_way_by_the_address_on_the_routers_link() -> None:
    policy = written("", ROOMS.replace(LAN, BEYOND[BEYOND.index(LAN) :].split("[interface")[0]))
    room = policy.rooms[0].name
    programs = compile_policy(policy).programs
    sources = {
        text_: explain.parse(f"out run={room} icmp > {text_}", policy, programs).packet.source
        for text_ in ("10.1.2.3", "203.0.113.7", "203.0.114.7", "fd00:11::7")
    }
    assert {k: str(v) for k, v in sources.items()} == {
        "10.1.2.3": "10.0.0.1", "203.0.113.7": "10.0.0.1", "203.0.114.7": "192.0.2.2",
        "fd00:11::7": "fd00:10::1",
    }  # fmt: skip


def test_with_others_they_must_not_be_among_the_addresses_that_rooms_have(tmp_path: Path) -> None:
    between = '[[between]]\nfrom = "sshd"\nto = "resolver"\nservice = "dns"\n'
    text_ = ROOMS.replace(LAN, f'{LAN}route = "169.254.77.16/28 via 10.0.0.2"\n') + between
    assert problems(tmp_path, text_) == [
        "interface.lan: 169.254.77.16 is among the addresses by which rooms reach each other"
        " (no host outside can have one: leave between out, or use another address)"
    ]


def unproved(policy: Policy) -> list[Finding]:
    """What is not proved of a policy's plan."""
    findings = Proof(policy, compile_policy(policy)).findings()
    return [finding for finding in findings if finding.counterexample is not None]


def changed(change: Callable[[Route], Route]) -> Proof:
    """The proof of the office where each route to a branch is changed."""
    policy = read_policy(OFFICE)
    plan = compile_policy(policy)
    links = tuple(
        replace(link, routes=tuple(change(r) if is_to_branch(r) else r for r in link.routes))
        for link in plan.links
    )
    return Proof(policy, replace(plan, links=links))


def is_to_branch(route: Route) -> bool:
    return route.gateway is not None and route.destination is not None


def other_router(route: Route) -> Route:
    swapped = {"203.0.113.62": "203.0.113.61", "2001:db8:20::fe": "2001:db8:20::fd"}
    there = str(route.gateway)
    return replace(route, gateway=ip_address(swapped.get(there, there)))


@pytest.mark.parametrize("change", [other_router, lambda route: replace(route, gateway=None)])
def test_who_is_led_to_another_router_is_refuted(change: Callable[[Route], Route]) -> None:
    findings = changed(change).findings()
    found = [f.counterexample for f in findings if isinstance(f.counterexample, Conformance)]
    assert found
    assert all(judgement.wrong_next_hop and judgement.wrong for judgement in found)


def test_it_is_told_what_is_wrong_with_it() -> None:
    proof = changed(other_router)
    told = "\n".join(text("office", read_policy(OFFICE), proof, list(proof.findings()), 0.1))
    assert f"  its way:    {ASTRAY}" in told
    assert "via 203.0.113.61" in told


def test_where_a_bound_socket_finds_no_route_it_speaks_to_the_link() -> None:
    """IPv4 sends it there (ip_route_output_key_hash_rcu), so that it is astray but for neighbours;
    the hairpin keeps every plan from that.
    """
    policy = read_policy(OFFICE)
    plan = compile_policy(policy)
    bare = tuple(
        replace(
            link, preaddress_routes=(), routes=tuple(r for r in link.routes if not is_to_branch(r))
        )
        for link in plan.links
    )
    judge = ConformanceChecker(policy, replace(plan, links=bare), {})
    asks = Packet(17, ip_address("203.0.113.1"), ip_address("203.0.113.117"), 40000, 53)
    judgement = judge.check(asks, Egress(0, "eth1", bound=True))
    assert judgement.verdict.allowed
    assert judgement.wrong_next_hop
