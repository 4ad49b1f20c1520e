"""What `pbrctl show` prints, typed by a person, puts the same plan in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.plan import ip_commands
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan, Route, RouteType
from tests.support.namespaces import in_namespace, room_netns
from tests.support.namespaces.lab import Lab, Namespace

EXAMPLES = sorted(Path("examples").glob("*.toml"))
TABLE = 4000
PEERS = {Family.V4: "198.51.100.0/24", Family.V6: "2001:db8:5::/48"}
SOURCE = ip_network("2001:db8:7::/48")


def with_every_kind_of_route() -> Plan:
    """A plan that has, in both families, each kind of route for a prefix and as the default;
    in IPv6 also from a source alone.
    """
    plan = load(Path("examples/host.toml"))
    loopback, link = plan.links
    gateways = {Family.V4: ip_address("192.0.2.1"), Family.V6: ip_address("2001:db8::1")}
    routes = []
    for family in Family:
        for number, kind in enumerate(RouteType, TABLE):
            gateway = gateways[family] if kind is RouteType.UNICAST else None
            default = Route(family, number, kind, gateway=gateway)
            routes += [default, replace(default, destination=ip_network(PEERS[family]))]
            if family is Family.V6:
                routes.append(replace(default, source=SOURCE))
    sink = Route(Family.V4, TABLE, RouteType.UNICAST, destination=ip_network("203.0.113.0/24"))
    return replace(
        plan,
        links=(
            replace(loopback, preaddress_routes=(*loopback.preaddress_routes, sink)),
            replace(link, routes=(*link.routes, *routes)),
        ),
    )


def without_rooms(policy: Path) -> Plan:
    """The policy's plan without its rooms, which come and go with their programs."""
    plan = load(policy)
    return room_netns.without_rooms(plan) if room_netns.room_links(plan) else plan


PLANS: dict[str, Callable[[], Plan]] = {
    path.stem: partial(without_rooms, path) for path in EXAMPLES
}
PLANS["routes"] = with_every_kind_of_route
"""How each plan is made: where its test runs, since each worker imports this file."""


@pytest.mark.parametrize("name", PLANS)
def test_the_commands_typed_give_the_same_rules_routes_and_addresses(
    name: str, tmp_path: Path
) -> None:
    plan = PLANS[name]()
    boot_plan = encode(plan, name)
    by_boot, by_hand = Lab([], []), Lab([], [])
    with by_boot, by_hand:
        for lab in (by_boot, by_hand):
            for link in plan.links[2:]:
                lab.connect(link.device, [], [])
        by_boot.machine.do(in_namespace.enforce, boot_plan)
        typed = tmp_path / "typed"
        typed.write_text("\n".join(ip_commands.commands(plan)))
        by_hand.machine.run("unshare", "--uts", "sh", "-eu", str(typed))
        by_hand.machine.do(in_namespace.wait_for_addresses)
        assert by_hand.machine.do(in_namespace.differences, boot_plan) == []
        assert told(by_hand.machine) == told(by_boot.machine)


def told(machine: Namespace) -> list[str]:
    """Rules, our routes and addresses, as `ip` tells them."""
    return [
        machine.run("ip", family, *what)
        for family in ("-4", "-6")
        for what in (
            ("rule", "show"),
            ("route", "show", "table", "all", "proto", "static"),
            ("-oneline", "address", "show", "scope", "global"),
        )
    ]
