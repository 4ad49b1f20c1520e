"""The types that values have in a policy file: what the reader checks, and what editors are told.

In: a value that tomllib made, and `Problems`.  Out: a finding for each value of another type; and
the type itself as JSON Schema, of draft 4, which is the one that TOML editors know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pbrinit.policy.problems import Problems

TOP = "it belongs at the head of the file, above the first [section]"
INTERFACE = "it belongs in [interface.NAME]"
ENTRY = "it belongs in an entry: [[input]], [[output]], [[forward]] or [[deny]]"
EXPECTED = "it belongs in [[expect]]"

HOMES: Mapping[str, str] = {
    "hostname": TOP,
    "on-failure": TOP,
    "device": INTERFACE,
    "mac": INTERFACE,
    "address": INTERFACE,
    "gateway": INTERFACE,
    "route": INTERFACE,
    "file": 'it belongs in [network]: NAME = { file = "…" }',
    "on": ENTRY,
    "in": "it belongs in [[forward]]",
    "out": "it belongs in [[forward]]",
    "from": ENTRY,
    "to": ENTRY,
    "clients": "it belongs in [[forward]]",
    "reject": "it belongs in [[deny]]",
    "log": "it belongs in [[deny]], or at the head of the file, above the first [section]",
    "never": EXPECTED,
    "always": EXPECTED,
}


JsonSchema = dict[str, Any]


NAME = re.compile(r"(?!any$)[a-z][a-z0-9_-]{0,31}")


class Shape(Protocol):
    """What a value must look like, whatever it then means."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note where `value`, found at `key`, looks different."""

    def schema(self) -> JsonSchema:
        """The same for editors."""


@dataclass(frozen=True)
class Text:
    """One text."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no text."""
        if not isinstance(value, str):
            problems.add(key, "must be a text in quotes")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {"type": "string"}


@dataclass(frozen=True)
class Texts:
    """One text, or a list of some, none of them twice."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is neither, and each item that is wrong."""
        if isinstance(value, str):
            return
        if not isinstance(value, list):
            problems.add(key, "must be a text in quotes, or a list of them")
            return
        if not value:
            problems.add(key, "is empty", "name at least one")
        seen = set()
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                problems.add(f"{key}[{number}]", "must be a text in quotes")
            elif item in seen:
                problems.add(f"{key}[{number}]", f"{item} stands here twice")
            else:
                seen.add(item)

    def schema(self) -> JsonSchema:
        """The same for editors."""
        text = Text().schema()
        return {"anyOf": [text, {"type": "array", "items": text, "minItems": 1,
                                 "uniqueItems": True}]}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A program and its arguments."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no list of texts, and each item that is wrong."""
        if not isinstance(value, list) or not value:
            problems.add(key, "must be a list", 'such as ["/usr/bin/program", "--option"]')
            return
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                problems.add(f"{key}[{number}]", "must be a text in quotes")
            elif "\0" in item:
                problems.add(f"{key}[{number}]", "has a zero byte, which ends an argument")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {"type": "array", "items": Text().schema(), "minItems": 1}


@dataclass(frozen=True)
class Pairs:
    """A table of texts whose keys match a pattern; `what` says what such a key is."""

    pattern: str
    what: str

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no table, keys that are none, and values that are no text."""
        if not isinstance(value, dict):
            problems.add(key, "must be a table", f"write [{key}] or {{ … }}")
            return
        for name, inner in value.items():
            if not re.fullmatch(self.pattern, name):
                problems.add(f"{key}.{name}", f"is no {self.what}")
            elif not isinstance(inner, str):
                problems.add(f"{key}.{name}", "must be a text in quotes")
            elif "\0" in inner:
                problems.add(f"{key}.{name}", "has a zero byte")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {f"^{self.pattern}$": Text().schema()},
        }


@dataclass(frozen=True)
class Number:
    """A whole number within bounds."""

    lowest: int
    highest: int

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no number, and what is out of bounds."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and value in range(self.lowest, self.highest + 1)):
            problems.add(key, f"must be a number from {self.lowest} to {self.highest}")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is neither."""
        if not isinstance(value, bool):
            problems.add(key, "must be true or false", "without quotes")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Key:
    """A key of a table: its name, the shape of its value, and what a person is told of it."""

    name: str
    shape: Shape
    about: str
    needed: bool = False


@dataclass(frozen=True)
class Table:
    """A table of known keys; of `just_one` exactly one must be there.

    `elsewhere` says of keys that are known, but not here, why.
    """

    keys: tuple[Key, ...]
    just_one: tuple[str, str] | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no table, unknown and missing keys, and values of the wrong shape."""
        if not isinstance(value, dict):
            problems.add(key, "must be a table", f"write [{key}] or {{ … }}")
            return
        where = f"{key}." if key else ""
        known = {one.name: one for one in self.keys}
        for name, inner in value.items():
            if name in known:
                known[name].shape.check(problems, where + name, inner)
            elif name in self.elsewhere:
                problems.add(where + name, "there is no such key here", self.elsewhere[name])
            else:
                home = HOMES.get(name)
                problems.unknown(where + name, "there is no such key here", name, known, home)
        for one in self.keys:
            if one.needed and one.name not in value:
                problems.add(where + one.name, "is missing", _strayed(one.name, value))
        if self.just_one is not None:
            first, second = self.just_one
            if (first in value) == (second in value):
                problems.add(key, f"needs either {first} or {second}", "one of the two, not both")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        found: JsonSchema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                key.name: {"description": key.about, **key.shape.schema()} for key in self.keys
            },
        }
        needed = [key.name for key in self.keys if key.needed]
        if needed:
            found["required"] = needed
        if self.just_one is not None:
            found["oneOf"] = [{"required": [name]} for name in self.just_one]
        return found


def _strayed(name: str, table: Mapping[str, Any]) -> str | None:
    """Where a key stands that is missing: in TOML it is of the section above it, however far."""
    for section, inner in table.items():
        if isinstance(inner, dict) and name in inner:
            return f"it stands in [{section}]: write it above that"
    return None


@dataclass(frozen=True)
class Named:
    """A table whose keys are names that the policy gives."""

    inner: Shape

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no table, what is no name, and inner values of the wrong shape."""
        if not isinstance(value, dict):
            problems.add(key, "must be a table", f"write [{key}]")
            return
        for name, inner in value.items():
            if NAME.fullmatch(name):
                self.inner.check(problems, f"{key}.{name}", inner)
            else:
                problems.add(
                    f"{key}.{name}",
                    "is no name",
                    'small letters, digits, - and _; at most 32; "any" is taken',
                )

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {f"^{NAME.pattern}$": self.inner.schema()},
        }


@dataclass(frozen=True)
class Entries:
    """A list of tables, each written under its own [[heading]]."""

    inner: Table

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is no list, and entries of the wrong shape."""
        if not isinstance(value, list):
            problems.add(key, "must be a list of entries", f"write [[{key}]]")
            return
        for number, inner in enumerate(value, 1):
            if isinstance(inner, dict):
                self.inner.check(problems, f"{key}[{number}]", inner)
            else:
                problems.add(f"{key}[{number}]", "must be a table", f"write [[{key}]]")

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {"type": "array", "items": self.inner.schema()}


@dataclass(frozen=True)
class TextsOr:
    """Texts, or a table that says where they are."""

    table: Table

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Note what is neither."""
        shape: Shape = self.table if isinstance(value, dict) else Texts()
        shape.check(problems, key, value)

    def schema(self) -> JsonSchema:
        """The same for editors."""
        return {"anyOf": [*Texts().schema()["anyOf"], self.table.schema()]}
