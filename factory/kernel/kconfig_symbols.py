"""What a kernel's Kconfig files define: its options, which can be chosen, which pull in others.

In: a kernel source.  Out: a Definition for each option of an x86 kernel.  Conditions are not
read: this says what could be, and a finished `.config` what is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"(?:menu)?config\s+(\w+)$")
_OTHER = re.compile(r"(?:choice|endchoice|menu|endmenu|if|endif|source|comment|mainmenu)\b")
_PROMPT = re.compile(r"(?:bool|tristate|int|hex|string|prompt)\s+[\"']")
_SELECT = re.compile(r"(?:select|imply)\s+(\w+)")


@dataclass(frozen=True)
class Definition:
    """An option: whether a person can choose it, and what it switches on with itself."""

    has_prompt: bool
    selects: frozenset[str]


def defined_in(source: Path) -> dict[str, Definition]:
    """All options that the Kconfig files of an x86 kernel source define, by name.

    (Documentation/kbuild/kconfig-language.rst.)
    """
    found: dict[str, Definition] = {}
    for path in source.rglob("Kconfig*"):
        parts = path.relative_to(source).parts
        if path.is_file() and (parts[0] != "arch" or parts[1] in ("Kconfig", "x86")):
            for name, definition in _definitions(path.read_text(errors="replace")):
                known = found.get(name, Definition(has_prompt=False, selects=frozenset()))
                found[name] = Definition(
                    known.has_prompt or definition.has_prompt, known.selects | definition.selects
                )
    return found


def _definitions(text: str) -> Iterator[tuple[str, Definition]]:
    name: str | None = None
    has_prompt, selects = False, set[str]()
    for line in [*_without_help(text.replace("\\\n", "")), "endmenu"]:
        entry = _ENTRY.match(line)
        if entry or _OTHER.match(line):
            if name is not None:
                yield name, Definition(has_prompt, frozenset(selects))
            name = entry[1] if entry else None
            has_prompt, selects = False, set()
        elif _PROMPT.match(line):
            has_prompt = True
        elif select := _SELECT.match(line):
            selects.add(select[1])


def _without_help(text: str) -> Iterator[str]:
    """The lines, stripped, but for help texts: those are indented deeper than what follows them."""
    margin: int | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped:
            continue
        wide = line.expandtabs()
        indent = len(wide) - len(wide.lstrip())
        if margin is not None:
            margin = margin or indent
            if indent >= margin > 0:
                continue
            margin = None
        if stripped == "help":
            margin = 0
        else:
            yield stripped
