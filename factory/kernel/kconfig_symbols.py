"""The options that a kernel's Kconfig files define: which have a prompt, and which select others.

In: a kernel source.  Out: a Definition for each option of an x86 kernel.  Conditions are ignored:
this says what is possible, and a finished `.config` what is set.
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
    """An option: whether it has a prompt, and the options that it selects or implies."""

    has_prompt: bool
    selects: frozenset[str]


def defined_in(source: Path) -> dict[str, Definition]:
    """All options that the Kconfig files of an x86 kernel source define, by name.

    (Documentation/kbuild/kconfig-language.rst.)
    """
    definitions: dict[str, Definition] = {}
    for path in source.rglob("Kconfig*"):
        parts = path.relative_to(source).parts
        if path.is_file() and (parts[0] != "arch" or parts[1] in ("Kconfig", "x86")):
            for name, definition in _definitions(path.read_text(errors="replace")):
                merged = definitions.get(name, Definition(has_prompt=False, selects=frozenset()))
                definitions[name] = Definition(
                    merged.has_prompt or definition.has_prompt, merged.selects | definition.selects
                )
    return definitions


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
    """The lines, stripped, without help texts: these are indented deeper than what follows them."""
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
