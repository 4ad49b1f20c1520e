"""What is wrong with a policy file, collected so that all of it is reported at once.

In: problems, each with the key that it is about.  Out: `PolicyError`, whose text a person reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 10
"""How many problems of one set are reported one by one."""

LONGEST = 400
"""How many characters of a text of the policy are quoted."""


@dataclass(frozen=True)
class Problem:
    """One problem: `key` is the path in the file (`input[2].from`), `hint` a way to mend it."""

    file: str
    key: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}: {self.key}: {self.what}{hint}"


class PolicyError(Exception):
    """A policy that cannot be compiled, with all of its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def as_json(problems: Sequence[Problem]) -> dict[str, Any]:
    """The JSON that every command prints instead of its result; `file` is that of the first."""
    return {"file": problems[0].file, "problems": [vars(problem) for problem in problems]}


class Problems:
    """Collects the problems of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.reported: list[Problem] = []
        self._seen: set[Problem] = set()

    def report(self, key: str, what: str, hint: str | None = None) -> None:
        """Add one problem; what two checks report with the same words is added once."""
        hint = _plain(hint) if hint else None
        problem = Problem(self.file, _plain(key), _plain(what), hint)
        if problem not in self._seen:
            self._seen.add(problem)
            self.reported.append(problem)

    def report_unknown(
        self, key: str, what: str, name: str, defined: Iterable[str], hint: str | None = None
    ) -> None:
        """Add a problem with a name that is not defined; without a hint, the closest name that is
        defined becomes the hint.
        """
        defined = sorted(defined)
        close = difflib.get_close_matches(name[:LONGEST], defined, n=1)
        if hint is None and close:
            hint = f'did you mean "{close[0]}"?'
        elif hint is None:
            hint = f"there is {', '.join(defined)}" if defined else "there is none"
        self.report(key, what, hint)

    def raise_if_any(self) -> None:
        """Raise PolicyError with all problems, if there are any."""
        if self.reported:
            raise PolicyError(self.reported)


def _plain(text: str) -> str:
    """The text on one line and without control characters, shortened in the middle if long."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
