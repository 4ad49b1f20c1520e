"""The reviewed state of a kernel, and how the built kernel differs from it.

In: facts about a kernel, a line each; `kernel/reviewed/VARIANT`.  Out: the lines that are new, and
those that are gone. A kernel update changes that file, and a person reads the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from factory.kernel.build import FRAGMENTS

FOLDER = FRAGMENTS / "reviewed"
HEAD = """\
# What was reviewed of this kernel: its source, its command line, each option with a value, each
# check that is open, each system call. `make review` fails where the kernel differs;
# `make review ACCEPT=1` writes this file anew, and the change of it is what is to be read.
"""


def path(variant: str) -> Path:
    """The file with the reviewed state of a variant."""
    return FOLDER / variant


def differences(variant: str, facts: Iterable[str]) -> list[str]:
    """`+ fact` for each fact that was not reviewed, `- fact` for each that no longer holds."""
    lines = path(variant).read_text().splitlines() if path(variant).exists() else []
    reviewed = {line for line in lines if line and not line.startswith("#")}
    built = set(facts)
    return [f"+ {fact}" for fact in sorted(built - reviewed)] + [
        f"- {fact}" for fact in sorted(reviewed - built)
    ]


def accept(variant: str, facts: Iterable[str]) -> None:
    """Make these facts the reviewed state."""
    FOLDER.mkdir(exist_ok=True)
    path(variant).write_text(HEAD + "".join(f"{fact}\n" for fact in sorted(set(facts))))
