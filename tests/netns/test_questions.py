"""`explain` and real sockets are of one mind, and it shows where they are not.

The long run is `make questions`.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from pbrinit.analysis import explain
from pbrinit.cli.build import loaded
from pbrinit.compiler.compile import compile_policy
from pbrinit.net.packet import Egress, Packet
from pbrinit.net.services import Protocol
from pbrinit.policy.assigned import with_example_assignments
from pbrinit.policy.reader.reader import read_policy
from tests.support import source_example
from tests.support.explain_vs_kernel import AskedMachine
from tests.support.generate.packets import seeded
from tests.support.generate.questions import Asked, Questions
from tests.tools import questions

QUESTIONS = 1000
DRAWN = 6
EXAMPLES = sorted(Path("examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_sockets_do_what_explain_says_of_the_examples(path: Path) -> None:
    policy = with_example_assignments(read_policy(path))
    plan = compile_policy(policy)
    source = seeded(f"questions.{path.stem}")
    machine = AskedMachine(policy, plan)
    try:
        asked = [*itertools.islice(Questions(policy, plan, source), QUESTIONS)]
        found = machine.contradictions(asked, source)
    finally:
        machine.close()
    assert not found, questions.told(found[0])
    kinds = {questions.kind(each) for each in asked}
    assert kinds >= {"in", "out bound", "out unbound", "out by a port"}


@pytest.mark.parametrize("number", range(DRAWN))
def test_sockets_do_what_explain_says_of_drawn_policies(number: int) -> None:
    """Others in every run; the seed is told where one fails."""
    seed = f"{random.SystemRandom().randrange(1 << 32)}.{number}"
    text, asked, found = questions.one(seed, QUESTIONS)
    assert len(asked) == QUESTIONS
    assert not found, f"questions.one({seed!r}, {QUESTIONS})\n{text}\n{questions.told(found[0])}"


def test_an_answer_that_takes_no_heed_of_the_source_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.toml"
    path.write_text(source_example.POLICY)
    policy, plan = loaded(path)
    answer = Packet(Protocol.TCP, ip_address("192.0.2.2"), ip_address("198.51.100.9"), 80, 50000)
    asked = [Asked("out tcp 192.0.2.2:80 > 198.51.100.9:50000", answer, Egress(0, bound=True))]
    asked += itertools.islice(Questions(policy, plan, seeded("heedless")), QUESTIONS)
    parse = explain.parse

    def heedless(*given: Any) -> explain.Question:
        question = parse(*given)
        if isinstance(question.direction, Egress):
            return replace(question, direction=replace(question.direction, bound=False))
        return question

    machine = AskedMachine(policy, plan)
    try:
        assert machine.contradictions(asked, seeded("1")) == []
        monkeypatch.setattr(explain, "parse", heedless)
        found = machine.contradictions(asked, seeded("1"))
    finally:
        machine.close()
    assert asked[0].text in [each.text for each in found]
    assert len(found) > 1
