"""Every policy that compiles is proved: here some that are drawn, by a seed.

`python -m tests.tools.prove_random --count N --seed S` draws as many as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.policy.reader.reader import read_policy
from tests.tools.prove_random import crowd, drawn, refuted

EXAMPLES = sorted(path for path in Path("examples").glob("*.toml") if path.stem != "blocklist")
DRAWN = 20


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_proved(path: Path) -> None:
    assert refuted(read_policy(path), load(path)) == []


@pytest.mark.parametrize("number", range(DRAWN))
def test_a_drawn_policy_is_proved(number: int) -> None:
    text, policy, plan = drawn(f"policies.{number}")
    assert refuted(policy, plan) == [], text


def test_a_dozen_rooms_that_serve_and_ask_and_ask_each_other_are_proved() -> None:
    _, policy, plan = crowd(12)
    assert len(policy.rooms) == 12
    assert refuted(policy, plan) == []


def test_a_list_of_a_hundred_thousand_prefixes_does_not_stop_it() -> None:
    path = Path("examples/blocklist.toml")
    assert refuted(read_policy(path), load(path)) == []
