"""The document that a policy file holds, as tables with the path to each.

In: the path of a policy file.  Out: a `TomlTable`, checked against the keys of the language, whose
values are read by type.  A value of another type is reported once, and then counts as absent.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.keys import POLICY
from pbrinit.policy.reader.scalars import ScalarError, listed
from pbrinit.policy.reader.schema_types import NAME

T = TypeVar("T")

MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8. It is removed here, since images have no codec that does it."""

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16 (RFC 2781, section 3.2)."""


def parse_document(path: Path, problems: Problems) -> TomlTable:
    """The document in the file at `path`; values of a wrong type are reported.

    Raises PolicyError where the file is missing or is not TOML.
    """
    try:
        document = tomllib.loads(read_text(path))
    except ScalarError as error:
        problems.report("file", f"cannot be read: {error.what}", error.hint)
        document = {}
    except RecursionError:
        problems.report("file", "cannot be read: it is nested too deeply")
        document = {}
    except ValueError as error:
        problems.report("file", f"cannot be read: {error}")
        document = {}
    problems.raise_if_any()
    POLICY.check(problems, "", document)
    return TomlTable(problems, "", document)


@dataclass(frozen=True)
class TomlString:
    """A string of the file, and its path in the file."""

    key: str
    text: str


@dataclass(frozen=True)
class TomlTable:
    """One table of the document, and its path in the file."""

    problems: Problems
    key: str
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def path(self, name: str) -> str:
        """The path of this key in the file."""
        return f"{self.key}.{name}" if self.key else name

    def strings(self, name: str) -> list[TomlString]:
        """One string or a list of strings, each once."""
        value = self.values.get(name)
        key = self.path(name)
        if isinstance(value, str):
            return [TomlString(key, value)]
        if not isinstance(value, list):
            return []
        words = [
            TomlString(f"{key}[{at}]", v) for at, v in enumerate(value, 1) if isinstance(v, str)
        ]
        return list({word.text: word for word in reversed(words)}.values())[::-1]

    def string(self, name: str) -> TomlString | None:
        """One string."""
        value = self.values.get(name)
        return TomlString(self.path(name), value) if isinstance(value, str) else None

    def arguments(self, name: str) -> tuple[str, ...]:
        """A list of strings as it is, with repetitions."""
        value = self.values.get(name)
        return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()

    def string_map(self, name: str) -> Iterator[tuple[str, str]]:
        """The keys of a table, each with its string."""
        value = self.values.get(name)
        for key, text in value.items() if isinstance(value, dict) else ():
            if isinstance(text, str):
                yield key, text

    def flag(self, name: str) -> bool:
        """True or false; false where the key is left out."""
        return self.values.get(name) is True

    def number(self, name: str) -> int:
        """A whole number; 0 where the key is left out."""
        value = self.values.get(name)
        return value if isinstance(value, int) else 0

    def subtable(self, name: str) -> TomlTable:
        """A table in this one; an empty one where the key is left out."""
        value = self.values.get(name)
        return TomlTable(self.problems, self.path(name), value if isinstance(value, dict) else {})

    def tables(self, name: str) -> Iterator[TomlTable]:
        """The tables of an array of tables."""
        value = self.values.get(name)
        for number, inner in enumerate(value if isinstance(value, list) else [], 1):
            if isinstance(inner, dict):
                yield TomlTable(self.problems, f"{self.path(name)}[{number}]", inner)

    def names(self) -> Iterator[str]:
        """The names that this table defines."""
        return (name for name in self.values if NAME.fullmatch(name))

    def scalars(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """Each string of one key, parsed; what cannot be parsed is reported."""
        parsed = (self._parse_scalar(word, parse, listed(word.text)) for word in self.strings(name))
        return [value for value in parsed if value is not None]

    def scalar(self, name: str, parse: Callable[[str], T]) -> T | None:
        """The string of one key, parsed; None where it cannot be parsed, which is reported."""
        word = self.string(name)
        return self._parse_scalar(word, parse) if word is not None else None

    def _parse_scalar(
        self, word: TomlString, parse: Callable[[str], T], hint: str | None = None
    ) -> T | None:
        try:
            return parse(word.text)
        except ScalarError as error:
            self.problems.report(word.key, error.what, hint or error.hint)
            return None


def read_text(path: Path) -> str:
    """The text in the file at `path`.

    Raises ScalarError where it cannot be read or is not UTF-8.
    """
    try:
        data = path.read_bytes().removeprefix(MARK)
    except (OSError, ValueError) as error:
        raise ScalarError(getattr(error, "strerror", None) or str(error)) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        is_utf_16 = data.startswith(UTF_16)
        what = "it is UTF-16" if is_utf_16 else f"line {line}: byte {data[error.start]:#04x}"
        raise ScalarError(f"{what}, not UTF-8", "save the file as UTF-8") from None
