"""The kernel's configuration as data: fragments, each option with its reason.

In: `kernel/*.toml`, those of a variant's folder, and a finished `.config`.  Out: the input for
Kconfig, and each difference of the result from what was asked for.  Kconfig itself drops an option
whose dependencies are not met without a message.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from factory.kernel.kconfig_symbols import Definition

Value = str | int
Series = tuple[int, int]
"""A kernel series: (6, 12)."""

_NAME = re.compile(r"(?!CONFIG_)[A-Z0-9][A-Za-z0-9_]*")
_NEEDED = {"value", "reason"}
_BOUNDS = {"since", "until"}


@dataclass(frozen=True)
class Option:
    """One option: `value` is "y", "n" (must be off), an int, a hex number or any other string.

    It applies to kernels from series `since` on and before series `until`.
    """

    name: str
    value: Value
    reason: str
    file: str
    forbidden: bool
    since: Series = (0, 0)
    until: Series = (10**6, 0)

    @property
    def line(self) -> str:
        """The option as a line of a `.config`."""
        if self.value == "n":
            return f"# CONFIG_{self.name} is not set"
        return f"CONFIG_{self.name}={_written(self.value)}"


@dataclass(frozen=True)
class Fragment:
    """The options of one purpose."""

    file: str
    purpose: str
    options: tuple[Option, ...]


class FragmentError(Exception):
    """All errors in the fragments, each an item of `findings`."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = tuple(findings)


def read(directory: Path, variant: str | None = None) -> tuple[Fragment, ...]:
    """The fragments of a directory and of its folder `variant`, in the order of their names.

    Raises FragmentError with all errors of all of them: invalid TOML, an option without a value or
    a reason, an option that is named twice.
    """
    findings: list[str] = []
    fragments = []
    for folder in (directory, *([directory / variant] if variant else [])):
        paths = sorted(folder.glob("*.toml"))
        if not paths:
            findings.append(f"{folder}: no fragment here")
        names = ((path, str(path.relative_to(directory))) for path in paths)
        fragments += [_fragment(path, name, findings) for path, name in names]
    findings += _doubles(option for fragment in fragments for option in fragment.options)
    if findings:
        raise FragmentError(findings)
    return tuple(fragments)


def of_series(fragments: Iterable[Fragment], series: Series) -> tuple[Fragment, ...]:
    """The fragments with only the options that apply to a kernel of `series`."""
    return tuple(
        replace(
            fragment,
            options=tuple(o for o in fragment.options if o.since <= series < o.until),
        )
        for fragment in fragments
    )


def render(fragments: Iterable[Fragment]) -> str:
    """The fragments as a text that `scripts/kconfig/merge_config.sh` and Kconfig read."""
    lines: list[str] = []
    for fragment in fragments:
        lines += [f"# {fragment.purpose}", *(option.line for option in fragment.options)]
    return "\n".join(lines) + "\n"


def check_config(fragments: Iterable[Fragment], dotconfig: str, defined: Set[str]) -> list[str]:
    """Each deviation of a finished `.config` from the fragments; empty where there is none.

    `defined` are the names that this kernel's Kconfig files define: a name that they do not define
    would always count as off, and this would go unnoticed.
    """
    values = settings(dotconfig)
    deviations = []
    for option in (option for fragment in fragments for option in fragment.options):
        where = f"{option.file}: {option.name}"
        actual = values.get(option.name, "n")
        if option.name not in defined:
            deviations.append(f"{where}: this kernel has no such option")
        elif option.forbidden and actual != "n":
            deviations.append(f"{where} is {actual}: forbidden, {option.reason}")
        elif actual != _written(option.value):
            deviations.append(
                f"{where}: asked for {_written(option.value)}, but is {actual} ({option.reason})"
            )
    return deviations


def selected(dotconfig: str, defined: Mapping[str, Definition]) -> dict[str, tuple[str, ...]]:
    """Each option that is on because others select it, with the names of those."""
    values = settings(dotconfig)
    by: dict[str, list[str]] = {}
    for name in sorted(name for name, value in values.items() if value == "y" and name in defined):
        for target in defined[name].selects:
            if target in values:
                by.setdefault(target, []).append(name)
    return {target: tuple(names) for target, names in sorted(by.items())}


def unreasoned(
    fragments: Iterable[Fragment], dotconfig: str, defined: Mapping[str, Definition]
) -> list[str]:
    """Each option that is on and has a prompt, but is neither named nor selected by one that is on.

    These are defaults of Kconfig for which no fragment gives a reason.
    """
    named = {option.name for fragment in fragments for option in fragment.options}
    explained = named | selected(dotconfig, defined).keys()
    return [
        f"{name} is on, and no fragment gives a reason"
        for name, value in sorted(settings(dotconfig).items())
        if value == "y" and name in defined and defined[name].has_prompt and name not in explained
    ]


def _fragment(path: Path, name: str, findings: list[str]) -> Fragment:
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        findings.append(f"{name}: {error}")
        return Fragment(name, "", ())
    purpose = data.get("purpose")
    if not isinstance(purpose, str) or not purpose.strip():
        findings.append(f"{name}: purpose: one line that says what the options are for")
        purpose = ""
    forbidden = data.get("forbidden", False)
    if not isinstance(forbidden, bool):
        findings.append(f"{name}: forbidden: true or false")
    table = data.get("option", {})
    if not isinstance(table, dict):
        findings.append(f"{name}: option: a table, [option]")
        table = {}
    for key in data.keys() - {"purpose", "forbidden", "option"}:
        findings.append(f"{name}: {key}: unknown; purpose, forbidden and [option] are known")
    options = _options(name, table, forbidden is True, findings)
    return Fragment(name, purpose, tuple(options))


def _options(
    file: str, table: dict[str, Any], forbidden: bool, findings: list[str]
) -> Iterator[Option]:
    for name, entry in table.items():
        where = f"{file}: option.{name}"
        if not _NAME.fullmatch(name):
            findings.append(f"{where}: write the name as Kconfig does, without CONFIG_")
        elif not isinstance(entry, dict) or entry.keys() - _BOUNDS != _NEEDED:
            findings.append(
                f'{where}: write {{ value = "y", reason = "…" }}, both; since and until may follow'
            )
        elif isinstance(entry["value"], bool) or not isinstance(entry["value"], Value):
            findings.append(f'{where}.value: "y", "n", a string or a number')
        elif not isinstance(entry["reason"], str) or not entry["reason"].strip():
            findings.append(f"{where}.reason: say why")
        elif forbidden and entry["value"] != "n":
            findings.append(f'{where}.value: what is forbidden has the value "n"')
        elif (bounds := _bounds(entry)) is None:
            findings.append(f'{where}: since and until are series of kernels, "6.18"')
        else:
            value, reason = entry["value"], entry["reason"]
            yield Option(name, value, reason, file, forbidden, **bounds)


def _bounds(entry: dict[str, Any]) -> dict[str, Series] | None:
    given = {key: entry[key] for key in _BOUNDS & entry.keys()}
    try:
        return {key: series(text) for key, text in given.items()}
    except (TypeError, ValueError):
        return None


def series(version: str) -> Series:
    """The series of a version: "6.12.118-1" is (6, 12).  Raises ValueError, TypeError."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        raise ValueError(version)
    return int(match[1]), int(match[2])


def _doubles(options: Iterable[Option]) -> Iterator[str]:
    """Options that two fragments have for the same series; other series may have another value."""
    before: dict[str, list[Option]] = {}
    for option in options:
        for other in before.setdefault(option.name, []):
            if other.since < option.until and option.since < other.until:
                yield (
                    f"{option.file}: option.{option.name} = {_written(option.value)}: "
                    f"{other.file} has it already, as {_written(other.value)}; keep one"
                )
                break
        before[option.name].append(option)


def _written(value: Value) -> str:
    """A value as in a `.config`: y, n and numbers as they are, other strings in quotes."""
    text = str(value)
    if isinstance(value, int) or text in ("y", "n") or re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def settings(dotconfig: str) -> dict[str, str]:
    """The values that a `.config` sets, by name; options that are not set are absent."""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", dotconfig, re.MULTILINE))
