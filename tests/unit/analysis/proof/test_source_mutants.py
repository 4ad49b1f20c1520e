"""A slip in the compiler, or in what compiler and meaning share, is found by something.

Some mutants by a seed; `make soak` tries a thousand, and `python -m tests.tools.source_mutation`
as many as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.generate.source_mutants import count, mutant
from tests.tools.source_mutation import COMPILER, SHARED, Trial, drawn, modules


@pytest.mark.parametrize("wanted", [6, pytest.param(1000, marks=pytest.mark.soak)])
def test_each_slip_is_without_effect_or_is_found(wanted: int, tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    outcomes = {str(each): trial.outcome(each) for each in drawn(wanted, "sample")}
    assert len(outcomes) == wanted
    missed = {mutant: word for mutant, word in outcomes.items() if word.startswith("MISSED")}
    assert not missed


@pytest.mark.parametrize(
    ("path", "what", "word"),
    [
        ("pbrinit/compiler/sysctls.py", "'2' is '0'", "statements: each setting of the machine"),
        ("pbrinit/net/services.py", "6 is 7", "statements: only TCP and UDP have ports"),
    ],
)
def test_slips_that_were_proved_once_are_found(
    path: str, what: str, word: str, tmp_path: Path
) -> None:
    """rp_filter, and a protocol that is wrong on both sides."""
    every = (mutant(Path(path), number) for number in range(count(Path(path))))
    *_, slip = (each for each in every if each.what == what)
    assert Trial(tmp_path).outcome(slip).startswith(f"refuted by {word}")


def test_a_mutant_is_a_module_that_differs_in_one_place() -> None:
    paths = [*modules(COMPILER), *modules(SHARED)]
    assert len(paths) > 30
    for path in paths[:6]:
        numbers = range(0, count(path), 20)
        made = [mutant(path, number) for number in numbers]
        assert len({each.text for each in made}) == len(made)
        for each in made:
            compile(each.text, str(path), "exec")


def test_the_same_mutants_are_drawn_for_a_seed() -> None:
    assert drawn(6, "a") == drawn(6, "a") != drawn(6, "b")
