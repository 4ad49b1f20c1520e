"""With --json, whatever goes wrong, one JSON document says it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pbrinit.cli import build, main
from pbrinit.compiler.compile import compile_policy
from pbrinit.compiler.layout import INPUT, INPUT_SIZE, TAIL
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy

HOST = Path("examples/host.toml")
QUESTION = "in wan tcp 198.51.100.9:40000 > 192.0.2.2:22"
COMMANDS = {
    "check": ["check", "POLICY"],
    "show": ["show", "POLICY"],
    "explain": ["explain", "POLICY", QUESTION],
    "holes": ["explain", "POLICY", "--holes"],
    "prove": ["prove", "POLICY"],
    "diff": ["diff", "POLICY", str(HOST)],
}
MANY = (TAIL - INPUT) // INPUT_SIZE + 1
COMPILING = [name for name in COMMANDS if name not in ("holes", "diff")]


def problems(
    capsys: pytest.CaptureFixture[str], command: list[str], policy: Path, status: int = 2
) -> list[dict[str, Any]]:
    """What a command that fails says, as one document."""
    words = [str(policy) if word == "POLICY" else word for word in command]
    assert main.main([*words, "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(policy)
    told: list[dict[str, Any]] = found["problems"]
    assert all(list(one) == ["file", "key", "what", "hint"] for one in told)
    return told


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_policy_with_mistakes_is_refused_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(HOST.read_text().replace('from    = "mgmt"', 'from = "mgtm"'))
    (found,) = problems(capsys, command, path)
    assert (found["key"], found["hint"]) == ("input[1].from", 'did you mean "mgmt"?')


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_policy_that_cannot_be_read_is_refused_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (found,) = problems(capsys, command, tmp_path / "none.toml")
    assert found["what"] == "cannot be read: No such file or directory"


@pytest.mark.parametrize("name", COMPILING)
def test_a_policy_that_makes_no_plan_is_refused_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "policy.toml"
    one = '[interface.i{0}]\ndevice = "eth{0}"\naddress = "10.{1}.{2}.1/24"\n'
    many = "".join(one.format(n, *divmod(n, 256)) for n in range(MANY))
    path.write_text(f'hostname = "a"\n{many}')
    (found,) = problems(capsys, COMMANDS[name], path)
    assert found["key"] == "policy"
    assert found["what"].startswith("there are more than")


@pytest.mark.parametrize("words", [["in nothing"], ["out tcp > 192.0.2.9"], []])
def test_a_question_that_is_none_is_refused_in_json_and_in_words(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    command = ["explain", str(HOST), *words]
    assert main.main(command) == 2
    error = capsys.readouterr().err
    (found,) = problems(capsys, command, HOST)
    assert found["key"] == "question"
    assert error == f"error: {found['what']}\n hint: {found['hint']}\n"


def test_what_is_not_decided_is_told_in_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a plan whose rules ask for no protocol and no ports: fragments of IPv6 show none."""

    def blind(_: Path, policy: Policy) -> Plan:
        plan = compile_policy(policy)
        blinded = (
            replace(rule, protocol=None, source_ports=None, destination_ports=None)
            if rule.family is Family.V6
            else rule
            for rule in plan.rules
        )
        return replace(plan, rules=tuple(blinded))

    monkeypatch.setattr(build, "compiled", blind)
    (found,) = problems(capsys, COMMANDS["prove"], HOST, status=1)
    assert found["key"] == "proof"
    assert "no rule for what arrives asks for a protocol" in found["what"]
