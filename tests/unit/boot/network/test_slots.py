"""A plan has two places, and is the same plan in both."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from pbrinit.boot.guard import gate, switch
from pbrinit.boot.network import slots
from pbrinit.cli.build import load
from pbrinit.compiler import layout
from pbrinit.net.addresses import Family
from pbrinit.plan import encode
from pbrinit.plan.plan import Action, Plan, Route, RouteType
from pbrinit.policy import room_addresses
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan

EXAMPLES = ("host", "router", "kiosk", "bastion", "rooms")


def elsewhere(plan: Plan) -> Plan:
    """The plan in the second place, moved before it is encoded."""

    def table(number: int) -> int:
        return number if number in (253, 254, 255) else number + slots.TABLES

    def routes(found: tuple[Route, ...]) -> tuple[Route, ...]:
        return tuple(replace(route, table=table(route.table)) for route in found)

    rules = []
    for rule in plan.rules:
        argument = rule.argument
        if argument is not None:
            goto = rule.action is Action.GOTO
            argument = argument + slots.PREFERENCES if goto else table(argument)
        preference = rule.preference + slots.PREFERENCES
        rules.append(replace(rule, preference=preference, argument=argument))
    links = tuple(
        replace(link, preaddress_routes=routes(link.preaddress_routes), routes=routes(link.routes))
        for link in plan.links
    )
    return replace(plan, rules=tuple(rules), links=links)


def with_many(plan: Plan) -> Plan:
    """The plan with a set that is made in bulk, by the last of its devices."""
    prefixes = [ip_network((n << 12, 20)) for n in range(1, 200)]
    many = tuple(Route(Family.V4, 3999, RouteType.UNICAST, prefix) for prefix in prefixes)
    last = plan.links[-1]
    return replace(plan, links=(*plan.links[:-1], replace(last, routes=(*last.routes, *many))))


@pytest.mark.parametrize("name", EXAMPLES)
def test_moved_it_is_what_the_moved_plan_encodes_to(name: str) -> None:
    plan = with_many(load(Path(f"examples/{name}.toml")))
    here, there = encode.encode(plan, name), encode.encode(elsewhere(plan), name)
    moved = slots.relocate(here, 1)
    assert (slots.slot_of(here), slots.slot_of(moved)) == (0, 1)
    assert moved.digest == here.digest
    assert without_digest(moved) == without_digest(there)
    assert slots.relocate(moved, 0) == here
    assert slots.relocate(moved, 1) is moved


def without_digest(plan: BootPlan) -> bytes:
    return bootplan.pack(BootPlan(**{**vars(plan), "digest": ""}))


def test_the_places_are_apart() -> None:
    rooms = room_addresses.ROOM_PREFIX[Family.V4].num_addresses
    last = max(layout.TAIL + layout.INPUT_SIZE, layout.ROOMS + rooms * layout.ROOM_SIZE)
    assert last < slots.PREFERENCES < slots.PREFERENCES + last < gate.BLOCK_ALL
    assert layout.TABLE_SETS < slots.TABLES


def test_the_first_table_of_a_set_is_the_compilers() -> None:
    assert switch.SETS == layout.TABLE_SETS
    assert max(layout.TABLE_SINK, layout.TABLE_HAIRPIN, layout.TABLE_ROOMS) < switch.SETS
