"""Routers beyond the prefix of their link, as clouds have them: an address alone in its prefix."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import TABLE_MAIN
from pbrinit.policy.assigned import parse_assignment, with_assignments
from pbrinit.policy.interfaces import StaticRoute
from pbrinit.semantics.decision import DROPPED
from tests.support.policy_text import ENTRIES, ROOMS, ROUTER, by_dhcp, problems, where, written
from tests.tools.prove_random import refuted

ORDINARY = 'address = ["192.0.2.2/24", "2001:db8::2/64"]\ngateway = ["192.0.2.1", "2001:db8::1"]\n'
ALONE = (
    'address = ["203.0.113.7/32", "2001:db8:7::7/128"]\ngateway = ["172.31.1.1", "2001:db8:f::1"]\n'
)
CLOUD, CLOUD_ROOMS = (text.replace(ORDINARY, ALONE) for text in (ROUTER, ROOMS))
IN_ROOMS = (
    '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\nrun = "sshd"\n'
    '[[output]]\non = "wan"\nservice = "web"\nrun = "updater"\n'
    '[[output]]\nservice = "dns"\nrun = "resolver"\n'
)


def test_an_address_alone_in_its_prefix_has_its_router_on_the_link() -> None:
    wan = written(ENTRIES, CLOUD).interfaces[0]
    assert wan.routes == (
        StaticRoute(ip_network("172.31.1.1/32"), None),
        StaticRoute(ip_network("2001:db8:f::1/128"), None),
    )
    assert str(wan.routes[0]) == "172.31.1.1/32 on the link"


def test_a_router_of_a_route_may_be_beyond_as_well() -> None:
    text = CLOUD.replace(ALONE, f'{ALONE}route = "100.64.0.0/10 via 172.31.1.9"\n')
    wan = written(ENTRIES, text).interfaces[0]
    assert [str(route) for route in wan.routes] == [
        "172.31.1.1/32 on the link", "2001:db8:f::1/128 on the link", "172.31.1.9/32 on the link",
        "100.64.0.0/10 via 172.31.1.9",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "gateway", "why"),
    [
        ("203.0.113.7/31", "172.31.1.1", "is in no prefix of this interface's addresses"),
        ("203.0.113.7/24", "172.31.1.1", "is in no prefix of this interface's addresses"),
        ("203.0.113.7/32", "203.0.113.7", "is this machine's own address"),
        ("203.0.113.7/32", "224.0.0.1", "224.0.0.1 "),
        ("203.0.113.7/32", "127.0.0.1", "is in no prefix of this interface's addresses"),
        ("203.0.113.7/32", "2001:db8::1", "is in no prefix of this interface's addresses"),
        ("2001:db8::7/128", "172.31.1.1", "is in no prefix of this interface's addresses"),
    ],
)
def test_other_routers_are_refused(tmp_path: Path, address: str, gateway: str, why: str) -> None:
    text = f'hostname = "h"\n[interface.wan]\ndevice = "eth0"\naddress = "{address}"\n'
    found = problems(tmp_path, f'{text}gateway = "{gateway}"\n')
    assert why in found[0]


def test_a_router_on_the_link_of_another_interface_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, CLOUD.replace("172.31.1.1", "10.0.0.9"))
    assert found == [
        "interface.wan.route: 10.0.0.9/32 is inside of lan's 10.0.0.1/16"
        " (an address in the prefix of a link is on that link)"
    ]


@pytest.mark.parametrize(
    ("entries", "names"),
    [(ENTRIES, CLOUD), (f"log = true\n{ENTRIES}", CLOUD), (IN_ROOMS, CLOUD_ROOMS)],
)
def test_the_plan_is_proved(entries: str, names: str) -> None:
    if entries.startswith("log"):
        entries, names = entries.removeprefix("log = true\n"), f"log = true\n{names}"
    policy = written(entries, names)
    assert refuted(policy, compile_policy(policy)) == []


def test_rooms_send_by_the_router_from_the_address() -> None:
    plan = compile_policy(written(IN_ROOMS, CLOUD_ROOMS))
    for program in plan.programs:
        assert program.room is not None
        ways = {str(r.destination): str(r.preferred) for r in program.room.routes}
        assert ways["None"] in ("203.0.113.7", "2001:db8:7::7")
        assert ways["172.31.1.1/32"] == "203.0.113.7"
        assert {r.family for r in program.room.routes if r.destination is None} == set(Family)


def test_the_router_is_reached_directly_and_its_arp_is_answered() -> None:
    plan = compile_policy(written(ENTRIES, CLOUD))
    wan = next(link for link in plan.links if link.name == "wan")
    main = [(str(r.destination), str(r.gateway)) for r in wan.routes if r.table == TABLE_MAIN]
    assert ("172.31.1.1/32", "None") in main
    assert ("None", "172.31.1.1") in main
    settings = {sysctl.key: sysctl.value for link in plan.links for sysctl in link.sysctls}
    settings |= {sysctl.key: sysctl.value for sysctl in plan.sysctls}
    arp = {key: settings[f"net/ipv4/conf/{key}/arp_ignore"]
           for key in ("all", "default", "eth0", "eth1")}  # fmt: skip
    assert arp == {"all": "1", "default": "2", "eth0": "1", "eth1": "2"}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("in wan tcp 198.51.100.9:40000 > 203.0.113.7:22", "here"),
        ("in wan tcp 172.31.1.1:40000 > 203.0.113.7:22", DROPPED),
        ("in lan tcp 172.31.1.1:40000 > 203.0.113.7:22", DROPPED),
        ("in lan tcp 10.0.9.9:40000 > 172.31.1.1:443", "wan"),
    ],
)
def test_the_router_is_on_the_link_and_others_are_beyond_it(question: str, expected: str) -> None:
    assert where(written(ENTRIES, CLOUD), question) == expected


@pytest.mark.parametrize(
    "text", ["10.128.0.5/32,10.128.0.1", "10.128.0.5/32,10.128.0.1,,10.128.0.1/32="]
)
def test_a_lease_alone_in_its_prefix_is_the_same_however_it_is_written(text: str) -> None:
    waiting = by_dhcp(written(ENTRIES, ROUTER.replace("10.0.0.1/16", "172.20.0.1/16")))
    lease = parse_assignment(waiting, text)
    assert lease.text == "10.128.0.5/32,10.128.0.1,10.128.0.1,10.128.0.1/32="
    policy = with_assignments(waiting, lease)
    assert refuted(policy, compile_policy(policy)) == []
