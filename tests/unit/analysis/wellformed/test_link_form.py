"""Devices, addresses, tables and rooms that the kernel does not take as named are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from pbrinit.analysis.claim import Flaw
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import load
from pbrinit.plan.plan import Plan
from pbrinit.policy.programs import User
from pbrinit.policy.reader.reader import read_policy

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)
OWN = PLAN.links[1].addresses[0]


def with_link(number: int, **change: Any) -> Plan:
    links = list(PLAN.links)
    links[number] = replace(links[number], **change)
    return replace(PLAN, links=tuple(links))


def with_room(**change: Any) -> Plan:
    """The plan whose second room is another."""
    first, second, *others = PLAN.programs
    assert second.room is not None
    return replace(
        PLAN,
        programs=(first, replace(second, room=replace(second.room, **change)), *others),
    )


def of_first(field: str) -> Any:
    """What the first room has."""
    return getattr(PLAN.programs[0].room, field)


MUTANTS: dict[str, tuple[Callable[[], Plan], str]] = {
    "a long name": (lambda: with_link(1, device="a" * 16), "no device can have this name"),
    "a name with a slash": (lambda: with_link(1, device="a/b"), "no device can have this name"),
    "a name of all": (lambda: with_link(1, device="all"), "no device can have this name"),
    "a device twice": (lambda: with_link(1, device="r-sshd"), "it is set up 2 times"),
    "the MAC of a group": (lambda: with_link(1, mac="01:00:5e:00:00:01"), "no host has this MAC"),
    "no MAC": (lambda: with_link(1, mac="00:00:00:00:00:00"), "no host has this MAC"),
    "the MAC of a room": (lambda: with_link(1, mac=of_first("mac")), "2 devices have it"),
    "the MAC of another room": (lambda: with_room(mac=of_first("mac")), "2 devices have it"),
    "an address of a group": (
        lambda: with_link(1, addresses=(ip_interface("224.0.0.5/24"),)), "no host has this"),
    "the address of all": (
        lambda: with_link(1, addresses=(ip_interface("192.0.2.255/24"),)), "no host has this"),
    "an address twice": (lambda: with_link(1, addresses=(OWN, OWN)), "it is set 2 times"),
    "an address of two devices": (lambda: with_link(2, addresses=(OWN,)), "it is set 2 times"),
    "an address in a room twice": (
        lambda: with_room(addresses=(*of_first("addresses"),) * 2), "it is set 2 times"),
    "two tables of one number": (
        lambda: replace(PLAN, tables=(*PLAN.tables, (1000, "again"))), "another table has this"),
    "two tables of one name": (
        lambda: replace(PLAN, tables=(*PLAN.tables, (1999, "sink"))), "another table has this"),
    "a table without a name": (
        lambda: replace(PLAN, tables=PLAN.tables[:-1]), "it has no name"),
    "the device of another room": (
        lambda: with_room(device=of_first("device")), "leads into another room too"),
    "a device that is not there": (
        lambda: with_room(device="r-none"), "the plan does not set up r-none"),
    "the users of another room": (
        lambda: with_room(first_id=of_first("first_id") + 9), "it has users of the room"),
    "the users of the machine": (lambda: with_room(first_id=0), "among others"),
    "a user of the machine": (
        lambda: replace(PLAN, users=(User("x", of_first("first_id") + 7),)), "it has the user x"),
    "users beyond all": (lambda: with_room(first_id=(1 << 32) - 9), "among others"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_what_the_kernel_does_not_take_as_it_is_named_is_refused(name: str) -> None:
    mutant, why = MUTANTS[name]
    found = [finding.counterexample for finding in Proof(POLICY, mutant()).findings()]
    assert any(why in str(flaw) for flaw in found if isinstance(flaw, Flaw)), found


def test_a_program_in_a_room_is_a_user_that_the_room_has() -> None:
    first, *others = PLAN.programs
    user = replace(first.program.user, uid=1 << 16)
    program = replace(first.program, user=user)
    mutant = replace(PLAN, programs=(replace(first, program=program), *others))
    found = [finding.counterexample for finding in Proof(POLICY, mutant).findings()]
    assert any("whom it does not have" in str(flaw) for flaw in found)
