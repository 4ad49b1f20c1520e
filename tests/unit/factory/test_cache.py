"""Two builds do not work in one directory at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from factory.cache import held


def test_a_second_build_says_that_it_waits_and_goes_on_after_the_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def second() -> None:
        with held(tmp_path):
            order.append("second")

    waiting = threading.Thread(target=second)
    with held(tmp_path):
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    assert "waiting for another build" in capfd.readouterr().err


def test_a_build_that_fails_lets_the_next_one_in(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), held(tmp_path):
        raise SystemExit(1)
    with held(tmp_path):
        pass
