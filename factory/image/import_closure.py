"""The modules that a program can import, found without running it.

In: entry modules, a search path, and imports that are known not to be needed.
Out: every module that an import statement reachable from the entry modules names, in functions and
error paths too, which a trial run would miss.  Or, on request, of the library only the modules that
are imported when one of its modules is.
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
    """An import in the library that is not followed, unless the program uses a name in `unless`."""

    importer: str
    imported: str
    reason: str
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Module:
    """A module of the closure; `file` is None where it is built into the interpreter."""

    name: str
    file: Path | None


@dataclass(frozen=True)
class Closure:
    """The modules sorted by name, and the program's own imports that do not exist."""

    modules: tuple[Module, ...]
    missing: tuple[str, ...]


def read_cuts(path: Path) -> tuple[Cut, ...]:
    """The cuts in a TOML file: an array `cut` of importer, imported, reason, unless."""
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
    """The closure of `entries`; `program` is the package whose names cancel a cut.

    A cancelled cut can add more of the program, so this is repeated until no other cut is
    cancelled. `late`: whether imports in functions of the library are followed; those of the
    program always are.
    """
    cuts = list(cuts)
    while True:
        finder = _Finder(entries, program, search, cuts, late)
        standing = [cut for cut in cuts if not cut.unless & finder.names]
        if standing == cuts:
            return finder.closure()
        cuts = standing


class _Finder(modulefinder.ModuleFinder):
    """The standard library's ModuleFinder, which finds import statements in bytecode."""

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
        modules_by_name: dict[str, Any] = self.modules
        modules = tuple(
            Module(name, Path(module.__file__) if module.__file__ else None)
            for name, module in sorted(modules_by_name.items())
        )
        # The library handles missing modules of other platforms; one of ours is an error.
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
        """Whether `name` is an attribute in `from module import attribute`, and not a module.

        The finder does not know the names that a package imports with `*` from its own modules.
        """
        parent, _, attribute = name.rpartition(".")
        module: Any = self.modules.get(parent)
        if module is None:
            return False
        own = (
            namespace
            for other, namespace in self.modules.items()
            if other.startswith(f"{parent}._")
        )
        return any(attribute in namespace.globalnames for namespace in (module, *own))


def _at_once(code: CodeType) -> CodeType:
    """The code that runs when a module is imported: its statements and those of its classes."""
    return code.replace(co_consts=tuple(_not_later(constant) for constant in code.co_consts))


def _not_later(constant: object) -> object:
    """A constant, or None for the code of a function, so that the others keep their places."""
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
