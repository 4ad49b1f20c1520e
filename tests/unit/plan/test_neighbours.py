"""Both ends of a room's veth know each other for good, by every address that is used there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan import neighbours
from pbrinit.plan.ip_commands import commands
from pbrinit.plan.plan import Plan

PLAN = load(Path("examples/rooms.toml"))


def room_of(plan: Plan, name: str) -> tuple[str, str]:
    """The addresses that lead into a room, and those by which its packets leave."""
    [room] = [one.room for one in plan.programs if one.program.name == name]
    assert room is not None
    [link] = [link for link in plan.links if link.device == room.device]
    found = neighbours.into_room(link, room), neighbours.out_of_room(room)
    assert {one.mac for ones in found for one in ones} == {room.mac}
    into, out = (" ".join(str(one.address) for one in ones) for ones in found)
    return into, out


@pytest.mark.parametrize(("name", "number"), [("sshd", 1), ("updater", 2), ("resolver", 3)])
def test_the_machine_knows_each_own_address_and_the_inside_one_in_the_room(
    name: str, number: int
) -> None:
    into, _ = room_of(PLAN, name)
    inside = f"169.254.77.{number} fd70:6272:696e:6974::{number}"
    assert into == f"192.0.2.2 2001:db8::2 {inside}"


@pytest.mark.parametrize("name", ["sshd", "updater", "resolver"])
def test_a_room_knows_its_gateway_once_in_each_family(name: str) -> None:
    assert room_of(PLAN, name)[1] == "169.254.0.1 fe80::1"


def test_show_has_them_as_commands() -> None:
    told = list(commands(PLAN))
    mac = "02:70:62:72:00:00"
    assert f"ip -4 neigh add 192.0.2.2 lladdr {mac} dev r-sshd nud permanent" in told
    assert f"ip -n sshd -6 neigh add fe80::1 lladdr {mac} dev eth0 nud permanent" in told
