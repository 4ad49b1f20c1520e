"""The examples are sound, say what they are for, and are quickly read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pbrinit.cli.build import check_policy

EXAMPLES = sorted(Path("examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_says_what_it_is_for_and_what_must_hold(path: Path) -> None:
    _, comment, *_ = path.read_text().splitlines()
    assert comment.startswith("# A ")
    reading = check_policy(path)
    assert reading.remarks == ()
    assert {expectation.always for expectation in reading.policy.expectations} == {True, False}


def test_a_list_of_100_000_prefixes_is_read_in_less_than_two_seconds() -> None:
    before = time.process_time()
    check_policy(Path("examples/blocklist.toml"))
    assert time.process_time() - before < 2
