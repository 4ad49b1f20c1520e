"""The state of a kernel that somebody reviewed, and how the built one differs from it.

In: facts about a kernel, a line each; `kernel/reviewed/VARIANT`.  Out: the lines that are new
and those that are gone. A kernel update is a change of that file, which a person reads.
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
    """Where the state of a variant is kept."""
    return FOLDER / variant


def differences(variant: str, facts: Iterable[str]) -> list[str]:
    """`+ fact` for each that nobody reviewed, `- fact` for each that is no longer so."""
    kept = path(variant).read_text().splitlines() if path(variant).exists() else []
    reviewed = {line for line in kept if line and not line.startswith("#")}
    built = set(facts)
    return [f"+ {fact}" for fact in sorted(built - reviewed)] + [
        f"- {fact}" for fact in sorted(reviewed - built)
    ]


def accept(variant: str, facts: Iterable[str]) -> None:
    """Take the facts for reviewed."""
    FOLDER.mkdir(exist_ok=True)
    path(variant).write_text(HEAD + "".join(f"{fact}\n" for fact in sorted(set(facts))))
