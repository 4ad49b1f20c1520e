"""The types of values in a policy file: what the reader checks, and the schema for editors.

In: a value that tomllib made, and `Problems`.  Out: a problem for each value of another type; and
the type itself as JSON Schema of draft 4, which is the draft that TOML editors support.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pbrinit.policy.problems import Problems

TOP = "it belongs at the beginning of the file, above the first [section]"
INTERFACE = "it belongs in [interface.NAME]"
ENTRY = "it belongs in an entry: [[input]], [[output]], [[forward]] or [[deny]]"
EXPECTED = "it belongs in [[expect]]"

KEY_HINTS: Mapping[str, str] = {
    "hostname": TOP,
    "on-failure": TOP,
    "ephemeral-ports": TOP,
    "device": INTERFACE,
    "mac": INTERFACE,
    "address": INTERFACE,
    "gateway": INTERFACE,
    "route": INTERFACE,
    "arp-from": INTERFACE,
    "file": 'it belongs in [network]: NAME = { file = "…" }',
    "on": ENTRY,
    "in": "it belongs in [[forward]]",
    "out": "it belongs in [[forward]]",
    "from": ENTRY,
    "to": ENTRY,
    "clients": "it belongs in [[output]] or [[forward]]",
    "reject": "it belongs in [[deny]]",
    "log": "it belongs in [[deny]], or at the beginning of the file, above the first [section]",
    "never": EXPECTED,
    "always": EXPECTED,
}


JsonSchema = dict[str, Any]


NAME = re.compile(r"(?!any$)[a-z][a-z0-9_-]{0,31}")


class SchemaType(Protocol):
    """The type of a value."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report where `value`, at the path `key`, is not of this type."""

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""


@dataclass(frozen=True)
class String:
    """One string."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not a string."""
        if not isinstance(value, str):
            problems.report(key, "must be a string in quotes")

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {"type": "string"}


@dataclass(frozen=True)
class StringOrList:
    """One string, or a list of strings, none of them twice."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is neither, and each item that is wrong."""
        if isinstance(value, str):
            return
        if not isinstance(value, list):
            problems.report(key, "must be a string in quotes, or a list of them")
            return
        if not value:
            problems.report(key, "is empty", "name at least one")
        seen = set()
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                problems.report(f"{key}[{number}]", "must be a string in quotes")
            elif item in seen:
                problems.report(f"{key}[{number}]", f"{item} is here twice")
            else:
                seen.add(item)

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        string = String().schema()
        return {"anyOf": [string, {"type": "array", "items": string, "minItems": 1,
                                 "uniqueItems": True}]}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A program and its arguments."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not a list of strings, and each item that is wrong."""
        if not isinstance(value, list) or not value:
            problems.report(key, "must be a list", 'such as ["/usr/bin/program", "--option"]')
            return
        for number, item in enumerate(value, 1):
            if not isinstance(item, str):
                problems.report(f"{key}[{number}]", "must be a string in quotes")
            elif "\0" in item:
                problems.report(f"{key}[{number}]", "has a zero byte, which ends an argument")

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {"type": "array", "items": String().schema(), "minItems": 1}


@dataclass(frozen=True)
class StringMap:
    """A table of strings whose keys match a pattern; `what` says what such a key is."""

    pattern: str
    what: str

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not a table, keys that do not match, and values that are not strings."""
        if not isinstance(value, dict):
            problems.report(key, "must be a table", f"write [{key}] or {{ … }}")
            return
        for name, inner in value.items():
            if not re.fullmatch(self.pattern, name):
                problems.report(f"{key}.{name}", f"is not {self.what}")
            elif not isinstance(inner, str):
                problems.report(f"{key}.{name}", "must be a string in quotes")
            elif "\0" in inner:
                problems.report(f"{key}.{name}", "has a zero byte")

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {f"^{self.pattern}$": String().schema()},
        }


@dataclass(frozen=True)
class Number:
    """A whole number within bounds."""

    lowest: int
    highest: int

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not a number, and what is out of bounds."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not (is_number and value in range(self.lowest, self.highest + 1)):
            problems.report(key, f"must be a number from {self.lowest} to {self.highest}")

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is neither."""
        if not isinstance(value, bool):
            problems.report(key, "must be true or false", "without quotes")

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Key:
    """A key of a table: its name, the type of its value, and its description for editors."""

    name: str
    type: SchemaType
    description: str
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table with these keys; of `exactly_one_of` exactly one must be there.

    `key_hints` has a hint for keys of other tables that do not belong here.
    """

    keys: tuple[Key, ...]
    exactly_one_of: tuple[str, str] | None = None
    key_hints: Mapping[str, str] = field(default_factory=dict)

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not a table, unknown and missing keys, and values of the wrong type."""
        if not isinstance(value, dict):
            problems.report(key, "must be a table", f"write [{key}] or {{ … }}")
            return
        path = f"{key}." if key else ""
        keys = {known.name: known for known in self.keys}
        for name, inner in value.items():
            if name in keys:
                keys[name].type.check(problems, path + name, inner)
            elif name in self.key_hints:
                problems.report(path + name, "there is no such key here", self.key_hints[name])
            else:
                hint = KEY_HINTS.get(name)
                problems.report_unknown(path + name, "there is no such key here", name, keys, hint)
        for known in self.keys:
            if known.required and known.name not in value:
                problems.report(path + known.name, "is missing", _misplaced(known.name, value))
        if self.exactly_one_of is not None:
            first, second = self.exactly_one_of
            if (first in value) == (second in value):
                problems.report(
                    key, f"needs either {first} or {second}", "one of the two, not both"
                )

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        schema: JsonSchema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                key.name: {"description": key.description, **key.type.schema()} for key in self.keys
            },
        }
        required = [key.name for key in self.keys if key.required]
        if required:
            schema["required"] = required
        if self.exactly_one_of is not None:
            schema["oneOf"] = [{"required": [name]} for name in self.exactly_one_of]
        return schema


def _misplaced(name: str, table: Mapping[str, Any]) -> str | None:
    """A hint if a missing key is in a section: in TOML a key belongs to the section above it."""
    for section, inner in table.items():
        if isinstance(inner, dict) and name in inner:
            return f"it is in [{section}]: write it above that"
    return None


@dataclass(frozen=True)
class NamedTables:
    """A table whose keys are names that the policy defines."""

    inner: SchemaType

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not a table, keys that are not names, and values of the wrong type."""
        if not isinstance(value, dict):
            problems.report(key, "must be a table", f"write [{key}]")
            return
        for name, inner in value.items():
            if NAME.fullmatch(name):
                self.inner.check(problems, f"{key}.{name}", inner)
            else:
                problems.report(
                    f"{key}.{name}",
                    "is not a name",
                    'small letters, digits, - and _; at most 32; "any" is reserved',
                )

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {f"^{NAME.pattern}$": self.inner.schema()},
        }


@dataclass(frozen=True)
class TableArray:
    """An array of tables, each written under its own [[heading]]."""

    inner: Table

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is not an array, and tables of the wrong type."""
        if not isinstance(value, list):
            problems.report(key, "must be a list of entries", f"write [[{key}]]")
            return
        for number, inner in enumerate(value, 1):
            if isinstance(inner, dict):
                self.inner.check(problems, f"{key}[{number}]", inner)
            else:
                problems.report(f"{key}[{number}]", "must be a table", f"write [[{key}]]")

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {"type": "array", "items": self.inner.schema()}


@dataclass(frozen=True)
class StringsOrTable:
    """One string or a list of strings, or a table that says where they are."""

    table: Table

    def check(self, problems: Problems, key: str, value: object) -> None:
        """Report what is neither."""
        expected: SchemaType = self.table if isinstance(value, dict) else StringOrList()
        expected.check(problems, key, value)

    def schema(self) -> JsonSchema:
        """This type as JSON Schema."""
        return {"anyOf": [*StringOrList().schema()["anyOf"], self.table.schema()]}
