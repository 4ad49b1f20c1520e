"""`pbrctl prove` says what is proved, and shows a packet where something is not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit.analysis.conformance import Conformance
from pbrinit.analysis.proof.prover import Finding, Proof, UndecidedError
from pbrinit.cli import build, prove
from pbrinit.cli.main import main
from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Ingress
from pbrinit.plan.plan import TABLE_LOCAL, Action, Plan, Rule
from pbrinit.policy.policy import Policy
from pbrinit.semantics import exchange
from pbrinit.semantics.decision import DROPPED, LOCAL
from tests.support.generate.plan_mutants import first_of_all, without
from tests.support.policy_text import ROOMS, ROUTER, written

LAN = """
hostname = "inner"
[interface.lan]
device = "eth0"
address = ["10.0.0.1/16", "fd00:10::1/64"]
[network]
desk = ["10.0.5.0/24", "fd00:10::5:0/112"]
[service]
ssh = ["tcp/22"]
[user]
admin = 1000
[[input]]
from = "desk"
service = "ssh"
user = "admin"
"""
"""Reached from a part of its link alone, which knows no gateway."""

OPEN = Rule(Family.V6, 1, Action.LOOKUP, TABLE_LOCAL, iif="eth0", note="too much")
"""In IPv4 the return path would still stop what it lets in."""


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    return tmp_path / "inner.toml"


def refuted(plan: Plan, policy: Policy) -> list[Finding]:
    return [f for f in Proof(policy, plan).findings() if f.counterexample is not None]


def test_a_policy_that_its_plan_keeps_is_proved(
    policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy_file.write_text(LAN)
    assert main(["prove", str(policy_file)]) == 0
    told = capsys.readouterr().out
    assert "IPv4 in by lan" in told
    assert f"{policy_file}: proved for every packet" in told
    assert "NOT" not in told


def test_an_expectation_that_does_not_hold_is_shown_by_a_packet(
    policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy_file.write_text(LAN + '[[expect]]\nnever = { from = "desk", service = "ssh" }\n')
    assert main(["prove", "--quiet", str(policy_file)]) == 1
    told = capsys.readouterr().out
    assert "IPv4 expect[1].never, a counter-example:" in told
    assert "the policy: delivered to this machine; named by input[1]" in told
    assert "rule add pref" in told
    assert "NOT PROVED: 2 of" in told


@pytest.mark.parametrize(
    ("expected", "packet", "named"),
    [
        ('never = { from = "not mgmt" }', "in wan tcp 203.0.113.9:443 > 192.0.2.2:40000",
         "output[1] as an answer"),
        ('never = { from = "mgmt", service = "ssh" }',
         "in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", "input[1]"),
        ('never = { user = "updater", service = "web" }',
         "out tcp 192.0.2.2:40000 > 203.0.113.9:443 as updater", "output[1]"),
        ('always = { in = "lan", service = "ssh" }',
         "in lan tcp 10.0.0.11:40000 > 203.0.113.9:22", "no entry"),
        ('never = { to = "any", service = "ping" }',
         "out icmp/8/0 192.0.2.2 > 203.0.113.9 as updater", "output[1]"),
    ],
)  # fmt: skip
def test_a_counter_example_is_as_ordinary_a_packet_as_there_is(
    expected: str, packet: str, named: str
) -> None:
    policy = written(
        '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\n'
        '[[output]]\non = "wan"\nservice = ["web", "ping"]\n'
        f"[[expect]]\n{expected}\n"
    )
    proof = Proof(policy, compile_policy(policy))
    told = "\n".join(prove.verdict("router", policy, proof, list(proof.findings()), 0.1))
    assert f"  {packet}\n" in told
    assert f"; named by {named}\n" in told


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        ('never = { from = "not desk", service = "ssh" }', True),
        ('never = { from = "any" }', False),
        ('never = { to = "any" }', False),
        ('never = { user = "admin", service = "ssh" }', False),
        ('never = { user = "admin", service = "ssh", answers = true }', True),
        ('always = { from = "desk", service = "ssh" }', True),
        ('always = { from = "any", service = "ssh" }', False),
        ('always = { to = "desk", service = "ssh" }', False),
    ],
)
def test_expectations_hold_of_every_packet_or_do_not(expected: str, *, holds: bool) -> None:
    policy = written(f"[[expect]]\n{expected}\n", LAN)
    assert (refuted(compile_policy(policy), policy) == []) == holds


@pytest.mark.parametrize(
    ("names", "entries", "expected", "answering", "packet"),
    [
        (ROUTER, '[[input]]\nfrom = "mgmt"\nservice = "ssh"\n',
         'to = "any", service = "web"', "input[1]", "out tcp 192.0.2.2:22 > 198.51.100.9:80 "),
        (ROUTER, '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\nclients = "1-79"\n',
         'in = "wan", out = "lan", service = "ssh"', "forward[1]",
         "in wan tcp 203.0.113.9:443 > 10.0.0.11:22"),
        (ROOMS, '[[input]]\nfrom = "mgmt"\nservice = "ssh"\nrun = "sshd"\n',
         'run = "sshd", service = ["ssh", "web"]', "input[1]",
         "out run=sshd tcp 192.0.2.2:22 > 198.51.100.9:22"),
        (ROUTER, '[[output]]\non = "wan"\nto = "mgmt"\nservice = "web"\n',
         'from = "mgmt", service = "ssh"', None, None),
    ],
)  # fmt: skip
def test_never_is_about_every_source_port_and_answers_that_pass_are_named(
    names: str, entries: str, expected: str, answering: str | None, packet: str | None
) -> None:
    """Of these the first three were proved: who answers reached the ports of the service."""

    def told(more: str) -> str:
        policy = written(f"{entries}[[expect]]\nnever = {{ {expected}{more} }}\n", names)
        proof = Proof(policy, compile_policy(policy))
        return "\n".join(prove.verdict("p", policy, proof, list(proof.findings()), 0.1))

    if answering is None:
        assert "NOT PROVED" not in told("")
        return
    assert f"{answering} as an answer" in told("")
    assert packet is not None
    assert packet in told("")
    named = told(", answers = true")
    assert "NOT PROVED" not in named
    assert f"p: expect[1].never leaves out answers, by {answering}" in named


def test_a_request_from_any_port_is_none_of_the_answers_that_pass() -> None:
    """From the ports of clients it is one, and with `answers` too."""
    entry = '[[output]]\non = "wan"\nto = "mgmt"\nservice = "web"\n'
    expected = '[[expect]]\nnever = { to = "mgmt", service = "web", answers = true }\n'
    policy = written(entry + expected)
    found = {str(finding.obligation) for finding in refuted(compile_policy(policy), policy)}
    assert found == {"IPv4 expect[1].never", "IPv6 expect[1].never"}


def test_json_has_each_case_and_the_packet(
    policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy_file.write_text(LAN + '[[expect]]\nnever = { from = "desk", service = "ssh" }\n')
    assert main(["prove", "--json", str(policy_file)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["proved"] is False
    found = [case for case in told["cases"] if not case["proved"]]
    assert {case["claim"] for case in found} == {
        "IPv4 expect[1].never",
        "IPv6 expect[1].never",
    }
    packet = found[0]["counterexample"]
    assert packet["names"] == ["input[1]"]
    assert packet["answers"] == []
    assert main(["explain", str(policy_file), packet["packet"]]) == 0
    assert capsys.readouterr().out.startswith("allowed")


def test_a_policy_with_mistakes_is_refused_as_by_check(
    policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy_file.write_text(LAN.replace('from = "desk"', 'from = "desc"'))
    assert main(["prove", str(policy_file)]) == 2
    assert 'did you mean "desk"?' in capsys.readouterr().err


def test_a_plan_that_lets_too_much_in_is_refuted_by_such_a_packet() -> None:
    policy = written("", LAN)
    plan = compile_policy(policy)
    (finding, *_) = refuted(first_of_all(plan, OPEN), policy)
    judgement = finding.counterexample
    assert isinstance(judgement, Conformance)
    assert isinstance(judgement.direction, Ingress)
    assert (judgement.actual, judgement.intended.where) == (LOCAL, DROPPED)


def test_a_plan_that_lets_too_little_in_is_refuted_too() -> None:
    policy = written("", LAN)
    plan = compile_policy(policy)
    served = next(rule for rule in plan.rules if "input[1]" in rule.note)
    found = refuted(without(plan, preference=served.preference, family=served.family), policy)
    shown = [f.counterexample for f in found if isinstance(f.counterexample, Conformance)]
    assert any(judgement.intended.keys for judgement in shown)


def test_a_refuted_plan_is_told_packet_by_packet() -> None:
    policy = written("", LAN)
    plan = compile_policy(policy)
    proof = Proof(policy, first_of_all(plan, OPEN))
    told = "\n".join(prove.text("inner", policy, proof, list(proof.findings()), 0.1))
    assert "# too much" in told
    assert "the policy: dropped; named by no entry" in told


def test_nothing_but_the_proof_loads_z3() -> None:
    """Neither what boots nor what only looks at a policy."""
    files = [path for room in ("boot", "wire") for path in Path("pbrinit", room).rglob("*.py")]
    names = [".".join(path.with_suffix("").parts) for path in files]
    assert "pbrinit.boot.guard.guard" in names
    imports = "".join(f"import {name.removesuffix('.__init__')}\n" for name in names)
    program = f"import sys, pbrinit.cli.main\n{imports}assert 'z3' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_who_may_ask_by_tcp_may_be_looked_up_without_a_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were it not so in the meaning, the proof would say so."""
    policy = written('[[output]]\nto = "desk"\nservice = "ssh"\n', LAN)
    claim = "IPv4 out by lan, the look-up before a connection"
    assert claim not in {str(f.obligation) for f in refuted(compile_policy(policy), policy)}
    monkeypatch.setattr(exchange, "NO_PORT", ())
    assert claim in {str(f.obligation) for f in refuted(compile_policy(policy), policy)}


def test_who_is_rejected_must_be_told_and_nobody_else() -> None:
    policy = written(
        '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
        '[[deny]]\nfrom = "bad"\nto = "mgmt"\nreject = true\n'
    )
    plan = compile_policy(policy)
    assert refuted(plan, policy) == []
    silent = with_action(plan, "eth1", Action.PROHIBIT, Action.BLACKHOLE)
    claims = {f"IPv{version} in by lan, who is told" for version in (4, 6)}
    assert {str(f.obligation) for f in refuted(silent, policy)} == claims
    proof = Proof(policy, silent)
    told = "\n".join(prove.verdict("inner", policy, proof, list(proof.findings()), 0.1))
    assert "its sender: is not told, and should be" in told
    all_told = with_action(plan, None, Action.BLACKHOLE, Action.PROHIBIT)
    assert "IPv4 in by wan, who is told" in {str(f.obligation) for f in refuted(all_told, policy)}


def with_action(plan: Plan, iif: str | None, old: Action, new: Action) -> Plan:
    """The plan with another action in all rules that have the one, for a device or for all."""
    return replace(
        plan,
        rules=tuple(
            replace(rule, action=new) if rule.action is old and iif in (None, rule.iif) else rule
            for rule in plan.rules
        ),
    )


def test_a_plan_with_which_the_kernel_reads_no_protocols_is_not_proved() -> None:
    policy = written("", LAN)
    plan = compile_policy(policy)
    blind = replace(plan, rules=tuple(_without_protocol(rule) for rule in plan.rules))
    with pytest.raises(UndecidedError, match="IPv6"):
        refuted(blind, policy)


def _without_protocol(rule: Rule) -> Rule:
    """The rule about every protocol; what led to rules for one leads no more."""
    return replace(rule, protocol=None, source_ports=None, destination_ports=None)


def test_a_plan_that_is_not_well_formed_is_told_in_words(
    policy_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy_file.write_text(LAN)

    def of_any_protocol(path: Path, policy: Policy) -> Plan:
        plan = compiled(path, policy)
        return replace(plan, rules=tuple(replace(rule, protocol=0) if rule.protocol else rule
                                         for rule in plan.rules))  # fmt: skip

    compiled = build.compiled
    monkeypatch.setattr(build, "compiled", of_any_protocol)
    assert main(["prove", "--quiet", str(policy_file)]) == 1
    told = capsys.readouterr().out
    assert "each protocol of a rule is from 1 to 255, a counter-example:" in told
    assert "protocol 0 is any protocol to the kernel" in told
    assert "the plan is not well-formed" in told
    assert main(["prove", "--json", str(policy_file)]) == 1
    (first, *_) = (c for c in json.loads(capsys.readouterr().out)["cases"] if not c["proved"])
    assert first["counterexample"]["why"] == "protocol 0 is any protocol to the kernel"
