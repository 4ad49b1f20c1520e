"""What is wrong with a policy file, gathered so that all of it is said at once.

In: findings, each with the key it is about.  Out: `PolicyError`, whose text a person reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 10
"""How many findings of one set are said one by one."""

LONGEST = 400
"""How much of one text of a policy is said again."""


@dataclass(frozen=True)
class Problem:
    """One finding: `key` is the path in the file (`input[2].from`), `hint` the way out."""

    file: str
    key: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}: {self.key}: {self.what}{hint}"


class PolicyError(Exception):
    """A policy that cannot be compiled, with every reason found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def as_json(problems: Sequence[Problem]) -> dict[str, Any]:
    """What every command says to a program instead of its answer, the first file for its name."""
    return {"file": problems[0].file, "problems": [vars(problem) for problem in problems]}


class Problems:
    """Collects the findings of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Problem] = []
        self._known: set[Problem] = set()

    def add(self, key: str, what: str, hint: str | None = None) -> None:
        """Take note of one finding and go on; what two checks find of one cause is said once."""
        hint = _plain(hint) if hint else None
        problem = Problem(self.file, _plain(key), _plain(what), hint)
        if problem not in self._known:
            self._known.add(problem)
            self.found.append(problem)

    def unknown(
        self, key: str, what: str, word: str, known: Iterable[str], meant: str | None = None
    ) -> None:
        """Take note of a word that names nothing, with what was likely meant."""
        known = sorted(known)
        near = difflib.get_close_matches(word[:LONGEST], known, n=1)
        if meant:
            hint = meant
        elif near:
            hint = f'did you mean "{near[0]}"?'
        else:
            hint = f"there is {', '.join(known)}" if known else "there is none"
        self.add(key, what, hint)

    def stop(self) -> None:
        """Raise where anything was found.

        Raises PolicyError with all findings.
        """
        if self.found:
            raise PolicyError(self.found)


def _plain(text: str) -> str:
    """The text on one line that does nothing to a terminal, its middle left out if it is long."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
