"""The document that a policy file holds, as tables with the path to each.

In: the path of a policy file.  Out: a `Node` that was held against the language's keys, whose
values are taken out by type; what has another shape is noted once, and then not there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.keys import POLICY
from pbrinit.policy.reader.scalars import AtomError, listed
from pbrinit.policy.reader.schema_types import NAME

T = TypeVar("T")

MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark. Taken off here, since images have no codec that does it."""

WIDE = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16 (RFC 2781, section 3.2)."""


def parsed(path: Path, problems: Problems) -> Node:
    """The document in the file at `path`; all that has a wrong shape is noted.

    Raises PolicyError where the file is not there or is not TOML.
    """
    try:
        document = tomllib.loads(read_text(path))
    except AtomError as error:
        problems.add("file", f"cannot be read: {error.what}", error.hint)
        document = {}
    except RecursionError:
        problems.add("file", "cannot be read: it is nested too deeply")
        document = {}
    except ValueError as error:
        problems.add("file", f"cannot be read: {error}")
        document = {}
    problems.stop()
    POLICY.check(problems, "", document)
    return Node(problems, "", document)


@dataclass(frozen=True)
class Word:
    """A text of the file, and where it stands."""

    key: str
    text: str


@dataclass(frozen=True)
class Node:
    """One table of the document."""

    problems: Problems
    key: str
    table: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def path(self, name: str) -> str:
        """Where the value of this key stands in the file."""
        return f"{self.key}.{name}" if self.key else name

    def texts(self, name: str) -> list[Word]:
        """One text or a list of them."""
        value = self.table.get(name)
        key = self.path(name)
        if isinstance(value, str):
            return [Word(key, value)]
        if not isinstance(value, list):
            return []
        words = [Word(f"{key}[{at}]", v) for at, v in enumerate(value, 1) if isinstance(v, str)]
        return list({word.text: word for word in reversed(words)}.values())[::-1]

    def text(self, name: str) -> Word | None:
        """One text."""
        value = self.table.get(name)
        return Word(self.path(name), value) if isinstance(value, str) else None

    def arguments(self, name: str) -> tuple[str, ...]:
        """Texts as they stand, also one that stands there twice."""
        value = self.table.get(name)
        return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()

    def pairs(self, name: str) -> Iterator[tuple[str, str]]:
        """The keys of a table with the text of each."""
        value = self.table.get(name)
        for key, text in value.items() if isinstance(value, dict) else ():
            if isinstance(text, str):
                yield key, text

    def flag(self, name: str) -> bool:
        """Yes or no; no where nothing is said."""
        return self.table.get(name) is True

    def number(self, name: str) -> int:
        """A whole number."""
        value = self.table.get(name)
        return value if isinstance(value, int) else 0

    def node(self, name: str) -> Node:
        """A table in this one; an empty one where there is none."""
        value = self.table.get(name)
        return Node(self.problems, self.path(name), value if isinstance(value, dict) else {})

    def nodes(self, name: str) -> Iterator[Node]:
        """The tables in a list."""
        value = self.table.get(name)
        for number, inner in enumerate(value if isinstance(value, list) else [], 1):
            if isinstance(inner, dict):
                yield Node(self.problems, f"{self.path(name)}[{number}]", inner)

    def names(self) -> Iterator[str]:
        """The names that the policy gives in this table."""
        return (name for name in self.table if NAME.fullmatch(name))

    def atoms(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """Each text of one key, parsed; what cannot be is noted."""
        atoms = (self._atom(word, parse, listed(word.text)) for word in self.texts(name))
        return [atom for atom in atoms if atom is not None]

    def atom(self, name: str, parse: Callable[[str], T]) -> T | None:
        """The text of one key, parsed; None where that cannot be, which is noted."""
        word = self.text(name)
        return self._atom(word, parse) if word is not None else None

    def _atom(self, word: Word, parse: Callable[[str], T], hint: str | None = None) -> T | None:
        try:
            return parse(word.text)
        except AtomError as error:
            self.problems.add(word.key, error.what, hint or error.hint)
            return None


def read_text(path: Path) -> str:
    """The text in the file at `path`.

    Raises AtomError where it cannot be read or is not UTF-8.
    """
    try:
        data = path.read_bytes().removeprefix(MARK)
    except (OSError, ValueError) as error:
        raise AtomError(getattr(error, "strerror", None) or str(error)) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wide = data.startswith(WIDE)
        found = "it is UTF-16" if wide else f"line {line}: byte {data[error.start]:#04x}"
        raise AtomError(f"{found}, not UTF-8", "save the file as UTF-8") from None
