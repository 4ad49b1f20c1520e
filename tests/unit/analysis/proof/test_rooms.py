"""What is proved of rooms, and what refutes it: each mutant by a packet or a port."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit.analysis.claim import Flaw
from pbrinit.analysis.conformance import Conformance
from pbrinit.analysis.proof.port_slices import RANGE
from pbrinit.analysis.proof.prover import Finding, Proof
from pbrinit.cli import prove
from pbrinit.cli.build import load
from pbrinit.compiler.compile import compile_policy
from pbrinit.compiler.layout import TABLE_ROOMS
from pbrinit.net.addresses import Family
from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports, Protocol, Service
from pbrinit.plan.plan import TABLE_LOCAL, Action, Plan, PlannedProgram, Sysctl
from pbrinit.policy.policy import Allow, Policy
from pbrinit.policy.programs import Program
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.plan_mutants import a_rule, changed, without

EXAMPLE = Path("examples/rooms.toml")
SSHD, UPDATER, RESOLVER = (TABLE_ROOMS + number for number in range(3))
POLICY, PLAN = read_policy(EXAMPLE), load(EXAMPLE)
families = pytest.mark.parametrize("family", Family)


def refuted(policy: Policy, plan: Plan) -> list[Finding]:
    return [f for f in Proof(policy, plan).findings() if f.counterexample is not None]


def packets(plan: Plan) -> list[Conformance]:
    """The packets that refute a plan of the example."""
    found = [finding.counterexample for finding in refuted(POLICY, plan)]
    return [judgement for judgement in found if isinstance(judgement, Conformance)]


def with_range(plan: Plan, name: str, ports: Ports) -> Plan:
    """The plan whose room of this name takes other ports for its clients."""
    return replace(plan, programs=tuple(_with_range(p, ports) if p.program.name == name else p
                                        for p in plan.programs))  # fmt: skip


def _with_range(program: PlannedProgram, ports: Ports) -> PlannedProgram:
    assert program.room is not None
    other = Sysctl(RANGE, f"{ports.first}\t{ports.last}", "another")
    kept = tuple(sysctl for sysctl in program.room.sysctls if sysctl.key != RANGE)
    return replace(program, room=replace(program.room, sysctls=(*kept, other)))


def test_the_example_is_proved_of_which_every_slice_is_its_owners_alone() -> None:
    proof = Proof(POLICY, PLAN)
    findings = list(proof.findings())
    assert all(finding.counterexample is None for finding in findings)
    told = "\n".join(prove.text("rooms", POLICY, proof, findings, 0))
    assert "the ports of clients are nobody else's" in told
    assert "IPv6 from room updater " in told


@pytest.mark.parametrize("name", ["sshd", "updater", "resolver"])
def test_a_room_that_takes_the_ports_of_another_is_refuted_by_a_port(name: str) -> None:
    clients = {run.name: run.client_ports for run in POLICY.programs}
    taken = next(ports for other, ports in clients.items() if other != name)
    (first, *_) = refuted(POLICY, with_range(PLAN, name, taken))
    assert isinstance(first.counterexample, Flaw)
    word, number = first.counterexample.where.split()
    assert word == "port"
    assert Ports(int(number), int(number)) in taken


def test_a_machine_that_takes_the_ports_of_its_rooms_is_refuted() -> None:
    mine = Sysctl(
        RANGE, f"{LOCAL_EPHEMERAL_PORTS.first}\t{LOCAL_EPHEMERAL_PORTS.last}", "all of them"
    )
    found = refuted(POLICY, replace(PLAN, sysctls=(*PLAN.sysctls, mine)))
    assert any("the machine itself" in str(finding.counterexample) for finding in found)


def shared(policy: Policy, first: str, second: str) -> Policy:
    """The policy in which the first room's slice is the second's as well."""
    runs = {run.name: run for run in policy.programs}
    runs[second] = replace(runs[second], client_ports=runs[first].client_ports)

    def meant(run: Program) -> Program:
        return runs[run.name]

    def entry(old: Allow) -> Allow:
        room = meant(old.room) if old.room else None
        return replace(old, room=room, client_ports=room.client_ports if room else old.client_ports)

    between = tuple(replace(b, client=meant(b.client), server=meant(b.server))
                    for b in policy.room_allows)  # fmt: skip
    return replace(
        policy,
        programs=tuple(map(meant, policy.programs)),
        allows=tuple(map(entry, policy.allows)),
        room_allows=between,
        expectations=(),
    )


def test_two_rooms_with_one_slice_are_refuted_whatever_they_ask() -> None:
    """The updater asks for tcp/443 and the resolver for port 53: their answers are told apart."""
    policy = shared(POLICY, "updater", "resolver")
    found = refuted(policy, compile_policy(policy))
    shown = [finding.counterexample for finding in found]
    assert all(isinstance(flaw, Flaw) and flaw.where.startswith("port ") for flaw in shown)
    assert "room resolver, and of room updater" in " ".join(str(f.counterexample) for f in found)


def test_a_service_among_the_ports_of_a_rooms_clients_is_refuted() -> None:
    port = POLICY.rooms[1].client_ports.first
    served = (Service(Protocol.TCP, Ports(port, port)),)
    ssh, *others = POLICY.allows
    policy = replace(POLICY, allows=(replace(ssh, services=served), *others))
    found = [finding.counterexample for finding in refuted(policy, PLAN)]
    assert f"port {port}: it is of the clients of room updater, and of room sshd" in str(found[0])


@families
def test_an_answer_that_is_sent_to_another_room_is_refuted(family: Family) -> None:
    answered = {"family": family, "argument": UPDATER, "iif": "eth0"}
    found = packets(changed(PLAN, {"argument": SSHD}, **answered))
    led = {(judgement.actual, judgement.intended.where) for judgement in found}
    assert ("nowhere" if family is Family.V4 else "room sshd", "room updater") in led


@families
def test_an_answer_that_is_given_to_the_machine_itself_is_refuted(family: Family) -> None:
    plan = changed(PLAN, {"argument": TABLE_LOCAL}, family=family, argument=UPDATER, iif="eth0")
    assert any(judgement.intended.where == "room updater" for judgement in packets(plan))


def source_check(plan: Plan, name: str, family: Family) -> dict[str, object]:
    """Which rule refuses what a room sends from an address that is not its own."""
    door = a_rule(plan, family=family, iif=f"r-{name}", action=Action.GOTO)
    rules = (rule for rule in plan.rules if rule.family is family)
    checks = (r for r in rules if r.note == "not an own source address")
    first = next(r for r in checks if r.preference > (door.argument or 0))
    return {"family": family, "preference": first.preference}


@families
@pytest.mark.parametrize("name", ["sshd", "updater", "resolver"])
def test_a_room_whose_source_is_not_checked_is_refuted_by_a_foreign_source(
    name: str, family: Family
) -> None:
    """In IPv4 the return path, which leads nowhere but to who has the source, stops it as well."""
    found = packets(without(PLAN, **source_check(PLAN, name, family)))
    own = {address.ip for interface in POLICY.interfaces for address in interface.addresses}
    foreign = [j for j in found if j.direction.device == f"r-{name}" and j.packet.source not in own]
    if family is Family.V6:
        assert any(judgement.actual == "wan" for judgement in foreign)
    else:
        assert found == []


def test_what_a_room_may_not_ask_is_refuted_where_the_plan_lets_it() -> None:
    rule = a_rule(PLAN, family=Family.V6, iif="r-updater", action=Action.LOOKUP, argument=254)
    wide = changed(PLAN, {"iif": None}, family=Family.V6, preference=rule.preference)
    assert packets(wide) == []
    asked = a_rule(PLAN, family=Family.V6, destination_ports=Ports(443, 443))
    more = changed(PLAN, {"destination_ports": Ports(443, 444)}, family=Family.V6,
                   preference=asked.preference)  # fmt: skip
    assert packets(more) != []
