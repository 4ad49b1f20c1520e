"""A kernel that is not the one that was reviewed is noticed, fact by fact."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.review import baseline

FACTS = ["source linux 6.12.118-1", "option NET=y", "call accept"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "FOLDER", tmp_path / "reviewed")


def test_what_was_accepted_is_the_same_whatever_its_order() -> None:
    baseline.accept("vm", FACTS)
    assert baseline.differences("vm", reversed(FACTS)) == []


def test_a_new_option_and_a_lost_one_are_told() -> None:
    baseline.accept("vm", FACTS)
    changed = ["option NETFILTER=y", *FACTS[:-1]]
    assert baseline.differences("vm", changed) == ["+ option NETFILTER=y", "- call accept"]


def test_a_kernel_that_nobody_reviewed_is_all_new() -> None:
    assert baseline.differences("pc", FACTS) == [f"+ {fact}" for fact in sorted(FACTS)]


def test_the_file_says_how_it_is_made() -> None:
    baseline.accept("vm", FACTS)
    assert "make review ACCEPT=1" in baseline.path("vm").read_text()
