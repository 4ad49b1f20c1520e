"""The kernel's configuration as data: fragments, each option with its reason.

In: `kernel/*.toml` and a finished `.config`.  Out: the text that Kconfig is given, and every
way in which what came out is not what was asked for.  Kconfig itself says nothing where it drops
an option whose dependencies are not met.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Value = str | int

_NAME = re.compile(r"(?!CONFIG_)[A-Z0-9][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Option:
    """One option: `value` is "y", "n" (asked off), an int, a hex number or any other string."""

    name: str
    value: Value
    reason: str
    file: str
    forbidden: bool

    @property
    def line(self) -> str:
        """The option as a `.config` has it."""
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
    """Everything that is wrong with the fragments, one finding an item of `findings`."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = tuple(findings)


def read(directory: Path) -> tuple[Fragment, ...]:
    """The fragments of a directory, in the order of their names.

    Raises FragmentError with all that is wrong in all of them: no TOML, an option without a
    value or a reason, an option named twice.
    """
    findings: list[str] = []
    fragments = [_fragment(path, findings) for path in sorted(directory.glob("*.toml"))]
    if not fragments:
        findings.append(f"{directory}: no fragment here")
    findings += _doubles(option for fragment in fragments for option in fragment.options)
    if findings:
        raise FragmentError(findings)
    return tuple(fragments)


def render(fragments: Iterable[Fragment]) -> str:
    """The fragments as the text that `scripts/kconfig/merge_config.sh` and Kconfig read."""
    lines: list[str] = []
    for fragment in fragments:
        lines += [f"# {fragment.purpose}", *(option.line for option in fragment.options)]
    return "\n".join(lines) + "\n"


def check(fragments: Iterable[Fragment], dotconfig: str, known: Set[str]) -> list[str]:
    """Every deviation of a finished `.config` from the fragments; empty where there is none.

    `known` are the names that this kernel's Kconfig files define: a name that they do not
    define would count as off for ever, and nobody would notice.
    """
    got = _settings(dotconfig)
    deviations = []
    for option in (option for fragment in fragments for option in fragment.options):
        where = f"{option.file}: {option.name}"
        came = got.get(option.name, "n")
        if option.name not in known:
            deviations.append(f"{where}: this kernel has no such option")
        elif option.forbidden and came != "n":
            deviations.append(f"{where} is {came}: forbidden, {option.reason}")
        elif came != _written(option.value):
            deviations.append(
                f"{where}: asked for {_written(option.value)}, came out as {came} ({option.reason})"
            )
    return deviations


def defined_in(source: Path) -> frozenset[str]:
    """The names of all options that the Kconfig files of an x86 kernel source define."""
    entry = re.compile(r"^\s*(?:menu)?config\s+(\w+)", re.MULTILINE)
    names: set[str] = set()
    for path in source.rglob("Kconfig*"):
        parts = path.relative_to(source).parts
        if path.is_file() and (parts[0] != "arch" or parts[1] in ("Kconfig", "x86")):
            names.update(entry.findall(path.read_text(errors="replace")))
    return frozenset(names)


def _fragment(path: Path, findings: list[str]) -> Fragment:
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        findings.append(f"{path.name}: {error}")
        return Fragment(path.name, "", ())
    purpose = data.get("purpose")
    if not isinstance(purpose, str) or not purpose.strip():
        findings.append(f"{path.name}: purpose: one line that says what the options are for")
        purpose = ""
    forbidden = data.get("forbidden", False)
    if not isinstance(forbidden, bool):
        findings.append(f"{path.name}: forbidden: true or false")
    table = data.get("option", {})
    if not isinstance(table, dict):
        findings.append(f"{path.name}: option: a table, [option]")
        table = {}
    for key in data.keys() - {"purpose", "forbidden", "option"}:
        findings.append(f"{path.name}: {key}: unknown; purpose, forbidden and [option] are known")
    options = _options(path.name, table, forbidden is True, findings)
    return Fragment(path.name, purpose, tuple(options))


def _options(
    file: str, table: dict[str, Any], forbidden: bool, findings: list[str]
) -> Iterator[Option]:
    for name, entry in table.items():
        where = f"{file}: option.{name}"
        if not _NAME.fullmatch(name):
            findings.append(f"{where}: write the name as Kconfig does, without CONFIG_")
        elif not isinstance(entry, dict) or entry.keys() != {"value", "reason"}:
            findings.append(f'{where}: write {{ value = "y", reason = "…" }}, both and no more')
        elif isinstance(entry["value"], bool) or not isinstance(entry["value"], Value):
            findings.append(f'{where}.value: "y", "n", a string or a number')
        elif not isinstance(entry["reason"], str) or not entry["reason"].strip():
            findings.append(f"{where}.reason: say why")
        elif forbidden and entry["value"] != "n":
            findings.append(f'{where}.value: what is forbidden has the value "n"')
        else:
            yield Option(name, entry["value"], entry["reason"], file, forbidden)


def _doubles(options: Iterable[Option]) -> Iterator[str]:
    first: dict[str, Option] = {}
    for option in options:
        if other := first.get(option.name):
            yield (
                f"{option.file}: option.{option.name} = {_written(option.value)}: "
                f"{other.file} has it already, as {_written(other.value)}; keep one"
            )
        first.setdefault(option.name, option)


def _written(value: Value) -> str:
    """A value as `.config` has it: y, n and numbers bare, other strings in quotes."""
    text = str(value)
    if isinstance(value, int) or text in ("y", "n") or re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _settings(dotconfig: str) -> dict[str, str]:
    """What a `.config` sets; an option that it does not set, or says is not set, is absent."""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", dotconfig, re.MULTILINE))
