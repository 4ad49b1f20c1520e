"""Each setting that the model relies on is checked, and a setting that nobody knows is a flaw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit.analysis.assumed import settings
from pbrinit.analysis.claim import Flaw
from pbrinit.cli.build import load
from pbrinit.plan.plan import Plan, Sysctl
from pbrinit.policy.reader.reader import read_policy

EXAMPLE = Path("examples/rooms.toml")
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)


def flaws(plan: Plan) -> list[Flaw]:
    return [flaw for claim in settings.claims(POLICY, plan) for flaw in claim.flaws]


def places(plan: Plan) -> list[tuple[Sysctl, ...]]:
    """Where settings are: of the machine, of each link, of each room."""
    rooms = (planned.room for planned in plan.programs)
    return [
        plan.sysctls,
        *(link.sysctls for link in plan.links),
        *(room.sysctls for room in rooms if room is not None),
    ]


def with_places(plan: Plan, found: list[tuple[Sysctl, ...]]) -> Plan:
    machine, *others = found
    links = tuple(replace(link, sysctls=others.pop(0)) for link in plan.links)
    programs = tuple(
        replace(planned, room=replace(planned.room, sysctls=others.pop(0)))
        if planned.room
        else planned
        for planned in plan.programs
    )
    return replace(plan, sysctls=machine, links=links, programs=programs)


SETTINGS = [
    (place, number)
    for place, sysctls in enumerate(places(PLAN))
    for number, sysctl in enumerate(sysctls)
    if sysctl.key != settings.PORT_RANGE
]


@pytest.mark.parametrize(("place", "number"), SETTINGS)
def test_a_setting_that_is_left_out_or_another_is_a_flaw(place: int, number: int) -> None:
    """Of all of these the proof looked at four before."""
    found = places(PLAN)
    before, old, after = found[place][:number], found[place][number], found[place][number + 1 :]
    found[place] = (*before, *after)
    assert [flaw.where.rpartition(" ")[2] for flaw in flaws(with_places(PLAN, found))] == [old.key]
    other = "0" if old.value != "0" else "1"
    found[place] = (*before, replace(old, value=other), *after)
    assert f"it is {other!r}" in flaws(with_places(PLAN, found))[0].why


def test_the_examples_set_what_is_needed_and_nothing_else() -> None:
    for path in sorted(Path("examples").glob("*.toml")):
        if path.stem != "blocklist":
            claims = settings.claims(read_policy(path), load(path))
            assert [claim.flaws for claim in claims] == [()] * 4


def test_what_is_set_once_more_counts() -> None:
    again = Sysctl("net/ipv4/conf/all/rp_filter", "0", "once more")
    assert [flaw.where for flaw in flaws(replace(PLAN, sysctls=(*PLAN.sysctls, again)))] == [
        again.key
    ]


def test_what_is_set_before_the_machine_stops_forwarding_does_not_count() -> None:
    forward = next(s for s in PLAN.sysctls if s.key == "net/ipv4/ip_forward")
    others = tuple(s for s in PLAN.sysctls if s is not forward)
    found = flaws(replace(PLAN, sysctls=(*others, forward)))
    assert "net/ipv4/conf/all/accept_redirects" in {flaw.where for flaw in found}


def test_a_setting_that_nobody_knows_is_a_flaw() -> None:
    strange = Sysctl("net/ipv4/conf/all/rp_filters", "2", "a slip")
    (flaw,) = flaws(replace(PLAN, sysctls=(*PLAN.sysctls, strange)))
    assert flaw.why == "nothing is known of this setting"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net/ipv4/conf/all/forwarding", "1"),
        ("net/ipv4/conf/lo/forwarding", "1"),
        ("net/ipv4/conf/eth0/rp_filter", "0"),
        ("net/ipv6/conf/eth0/forwarding", "1"),
        ("net/ipv4/conf/eth0/forwarding", "2"),
    ],
)
def test_at_last_forwarding_alone_is_switched_on(key: str, value: str) -> None:
    more = (*PLAN.forwarding_sysctls, Sysctl(key, value, "more"))
    (flaw,) = flaws(replace(PLAN, forwarding_sysctls=more))
    assert flaw.why == "it switches no forwarding on"
