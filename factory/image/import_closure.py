"""Which modules a program can ever import, found without running it.

In: entry modules, a search path, the imports that are known not to be needed.
Out: every module that an import statement reachable from them names, those inside functions
and error paths too; a program that is only tried out does not show these.  Or, where that is
asked, of the library only what is imported along with it.
"""

from __future__ import annotations

import inspect
import modulefinder
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any


@dataclass(frozen=True)
class Cut:
    """An import of the library that is not followed, unless a program has a name of `unless`."""

    importer: str
    imported: str
    reason: str
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Module:
    """A module of the closure; `file` is None where it is part of the interpreter."""

    name: str
    file: Path | None


@dataclass(frozen=True)
class Closure:
    """The modules by name in order, and the program's own imports that lead nowhere."""

    modules: tuple[Module, ...]
    missing: tuple[str, ...]


def read_cuts(path: Path) -> tuple[Cut, ...]:
    """The cuts of a TOML file: an array `cut` of importer, imported, reason, unless."""
    entries = tomllib.loads(path.read_text())["cut"]
    return tuple(Cut(**entry | {"unless": frozenset(entry.get("unless", ()))}) for entry in entries)


def find(
    entries: Sequence[str],
    program: str,
    search: Sequence[Path],
    cuts: Iterable[Cut],
    *,
    late: bool = True,
) -> Closure:
    """The closure of `entries`; `program` is the package whose own names void a cut.

    A cut that falls can bring in more of the program, so this goes round until none falls.
    `late`: whether imports inside the library's functions are followed; the program's always are.
    """
    cuts = list(cuts)
    while True:
        finder = _Finder(entries, program, search, cuts, late)
        standing = [cut for cut in cuts if not cut.unless & finder.names]
        if standing == cuts:
            return finder.closure()
        cuts = standing


class _Finder(modulefinder.ModuleFinder):
    """ModuleFinder of the standard library, which reads import statements from bytecode."""

    def __init__(
        self,
        entries: Sequence[str],
        program: str,
        search: Sequence[Path],
        cuts: Sequence[Cut],
        late: bool,
    ) -> None:
        super().__init__(path=[str(path) for path in search])
        self.program = program
        self.late = late
        self.names: set[str] = set()
        self.cut = {(cut.importer, cut.imported) for cut in cuts}
        for entry in entries:
            self.import_hook(entry)

    def import_hook(
        self,
        name: str,
        caller: Any = None,
        fromlist: list[str] | None = None,
        level: int = -1,
    ) -> Any:
        if caller is not None and (caller.__name__, name) in self.cut:
            return None
        return super().import_hook(name, caller, fromlist, level)

    def scan_code(self, co: CodeType, m: Any) -> None:
        if self._is_of_program(m.__name__):
            self.names.update(_names(co))
        elif not self.late:
            co = _at_once(co)
        super().scan_code(co, m)

    def closure(self) -> Closure:
        known: dict[str, Any] = self.modules
        modules = tuple(
            Module(name, Path(module.__file__) if module.__file__ else None)
            for name, module in sorted(known.items())
        )
        # In the library a missing module is one of another platform, and it knows; ours is a slip.
        missing = tuple(
            f"{caller} imports {name}"
            for name, callers in sorted(self.badmodules.items())
            for caller in sorted(callers)
            if self._is_of_program(caller) and not self._is_attribute(name)
        )
        return Closure(modules, missing)

    def _is_of_program(self, name: str) -> bool:
        return name == self.program or name.startswith(f"{self.program}.")

    def _is_attribute(self, name: str) -> bool:
        """Whether `name` is what `from module import attribute` left behind, not a module.

        Where a package takes all names of its own modules, the finder does not know them.
        """
        parent, _, attribute = name.rpartition(".")
        module: Any = self.modules.get(parent)
        if module is None:
            return False
        own = (known for other, known in self.modules.items() if other.startswith(f"{parent}._"))
        return any(attribute in known.globalnames for known in (module, *own))


def _at_once(code: CodeType) -> CodeType:
    """What runs when a module is imported: its own statements and those of its classes."""
    return code.replace(co_consts=tuple(_not_later(constant) for constant in code.co_consts))


def _not_later(constant: object) -> object:
    """A constant, without the code of functions: what is left keeps its place."""
    if not isinstance(constant, CodeType):
        return constant
    return None if constant.co_flags & inspect.CO_OPTIMIZED else _at_once(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, tuple):
            # The names of `from module import name`.
            yield from (item for item in constant if isinstance(item, str))
