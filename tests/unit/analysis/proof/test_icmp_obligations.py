"""A plan that logs who was refused is proved like any, and each way to get it wrong is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit.cli.build import loaded
from pbrinit.compiler.compile import compile_policy
from pbrinit.compiler.layout import TABLE_LOG
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import LOOPBACK, TABLE_MAIN, Action, Plan, RouteType
from pbrinit.policy.policy import Policy
from tests.support.generate.plan_mutants import changed, rerouted, without
from tests.support.policy_text import ROUTER, written
from tests.tools.prove_random import refuted

SPOKEN = "an ICMP error for the log"
OURS = "spoofed own address, for the log only"


def logged(tmp_path: Path, name: str) -> tuple[Policy, Plan]:
    """An example with `log = true`."""
    example = Path(f"examples/{name}.toml")
    path = tmp_path / example.name
    for folder in ("jump", "rooms"):
        (tmp_path / folder).symlink_to(example.parent.absolute() / folder)
    path.write_text(f"log = true\n{example.read_text()}")
    return loaded(path)


@pytest.mark.parametrize("name", ["host", "bastion", "router", "kiosk", "rooms"])
def test_each_example_is_proved_with_it(tmp_path: Path, name: str) -> None:
    policy, plan = logged(tmp_path, name)
    assert plan.log
    own = sum(len(interface.addresses_of(Family.V4)) for interface in policy.interfaces)
    notes = [r.note for r in plan.rules if r.argument == TABLE_LOG]
    assert notes == [*[OURS] * own, SPOKEN, SPOKEN]
    assert refuted(policy, plan) == []


WRONG: dict[str, Callable[[Plan], Plan]] = {
    "it is told to the sender": lambda plan: changed(plan, {"argument": TABLE_MAIN}, note=SPOKEN),
    "it is told to the sender, IPv6": lambda plan: changed(
        plan, {"argument": TABLE_MAIN}, note=SPOKEN, family=Family.V6
    ),
    "all of ICMP is": lambda plan: changed(
        plan, {"argument": TABLE_MAIN, "destination_ports": None}, note=SPOKEN
    ),
    "who claims to be us is told to our sockets": lambda plan: without(plan, note=OURS),
    "all that root sends to ourselves is": lambda plan: changed(
        plan, {"protocol": None, "destination_ports": None}, note=OURS
    ),
    "all that anybody says of it to ourselves is": lambda plan: changed(
        plan, {"uid": None}, note=OURS
    ),
    "who claims to be us is spoken of, IPv6": lambda plan: changed(
        plan, {"action": Action.PROHIBIT}, note="spoofed: our own address", family=Family.V6
    ),
    "its table leads to a way out": lambda plan: changed(
        rerouted(plan, {"table": TABLE_LOG, "type": RouteType.UNICAST}, note="gateway"),
        {"protocol": None, "destination_ports": None},
        note=SPOKEN,
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_each_way_to_get_it_wrong_is_found(tmp_path: Path, wrong: str) -> None:
    policy, plan = logged(tmp_path, "host")
    assert refuted(policy, WRONG[wrong](plan)) != []


LOGS_NOTHING: dict[str, Callable[[Plan], Plan]] = {
    "the log does not hear of it": lambda plan: without(plan, note=SPOKEN),
    "nor of IPv6": lambda plan: without(plan, note=SPOKEN, family=Family.V6),
    "the kernel does not speak there": lambda plan: replace(plan, forwarding_sysctls=()),
    "nothing is spoken of": lambda plan: with_action(plan, Action.PROHIBIT, Action.BLACKHOLE),
    "no TCP is spoken of": lambda plan: changed(
        plan, {"action": Action.BLACKHOLE}, note="not allowed", protocol=6
    ),
    "nobody listens": lambda plan: replace(plan, log=False),
}


def with_action(plan: Plan, old: Action, new: Action) -> Plan:
    return replace(plan, rules=tuple(replace(rule, action=new) if rule.action is old else rule
                                     for rule in plan.rules))  # fmt: skip


@pytest.mark.parametrize("wrong", LOGS_NOTHING)
def test_a_plan_that_logs_nothing_is_not_proved_where_all_is_to_be_logged(
    tmp_path: Path, wrong: str
) -> None:
    policy, plan = logged(tmp_path, "host")
    assert refuted(policy, LOGS_NOTHING[wrong](plan)) != []


def test_where_sets_are_large_what_no_entry_names_is_logged_all_the_same() -> None:
    """IPv4 refuses a stranger by the return path alone, and without a word, what an entry names."""
    many = ", ".join(f'"198.51.{number}.0/24"' for number in range(0, 40, 2))
    text = f"log = true\n{ROUTER}".replace("servers = [", f"many = [{many}]\nservers = [")
    policy = written('[[input]]\non = "wan"\nfrom = "many"\nservice = "ssh"\n', text)
    plan = compile_policy(policy)
    assert refuted(policy, plan) == []
    assert refuted(policy, with_action(plan, Action.PROHIBIT, Action.BLACKHOLE)) != []


def forged(plan: Plan) -> set[Action]:
    return {r.action for r in plan.rules if r.note.startswith("spoofed: behind")}


def test_who_is_forged_is_named_but_where_he_would_be_told() -> None:
    """By a word that a stranger has us send to those behind another interface."""
    entry = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
    rejects = '[[deny]]\nfrom = "bad"\nreject = true\n'
    logs = "log = true\n" + ROUTER
    for text, names, actions in (
        (entry, logs, {Action.GOTO}),
        (entry + rejects, logs, {Action.BLACKHOLE}),
        (entry, ROUTER, {Action.BLACKHOLE}),
    ):
        policy = written(text, names)
        plan = compile_policy(policy)
        assert forged(plan) == actions
        assert refuted(policy, plan) == []


def test_the_log_s_table_leads_into_loopback_and_nowhere_else(tmp_path: Path) -> None:
    _, plan = logged(tmp_path, "router")
    found = [(link.device, route.type, route.destination) for link in plan.links
             for route in (*link.preaddress_routes, *link.routes)
             if route.table == TABLE_LOG]  # fmt: skip
    kinds = (RouteType.BROADCAST, RouteType.LOCAL)
    assert found == [(LOOPBACK, kind, None) for kind in kinds]


BY_ONE_ENTRY = """
[[input]]
service = ["ssh", "icmp"]
[[output]]
service = "icmp"
[[deny]]
from = "bad"
log = true
[[deny]]
from = "mgmt"
"""
NAMED = "deny[1], logged"


def silent(plan: Plan) -> Plan:
    return replace(plan, forwarding_sysctls=())


WRONG_BY_ONE: dict[str, Callable[[Plan], Plan]] = {
    "it is not spoken of": lambda plan: changed(plan, {"action": Action.BLACKHOLE}, note=NAMED),
    "the kernel does not speak there": silent,
    "others are spoken of": lambda plan: changed(plan, {"source": None}, note=NAMED),
    "all that is refused is": lambda plan: changed(
        plan, {"action": Action.PROHIBIT}, note="everything else", family=Family.V6
    ),
    "the log does not hear of it": lambda plan: without(plan, note=SPOKEN),
    "nor of IPv6": lambda plan: without(plan, note=SPOKEN, family=Family.V6),
    "it is told to the sender": WRONG["it is told to the sender"],
    "it is told to the sender, IPv6": WRONG["it is told to the sender, IPv6"],
    "who claims to be us is spoken of": lambda plan: changed(
        plan, {"action": Action.PROHIBIT}, note="spoofed: our own address"
    ),
}


@pytest.mark.parametrize("wrong", WRONG_BY_ONE)
def test_each_way_to_log_one_entry_wrong_is_found(wrong: str) -> None:
    policy = written(BY_ONE_ENTRY)
    plan = compile_policy(policy)
    assert refuted(policy, plan) == []
    assert refuted(policy, WRONG_BY_ONE[wrong](plan)) != []
