"""Which source files a configuration compiles, read from the kernel's own Makefiles.

In: a source tree and what a `.config` sets.  Out: the .c and .S files that it would build, into the
kernel or as modules, and the system calls that they define.  Nothing is compiled, so this also
works for kernels that are not built here. It implements as much of make as the Makefiles of an x86
kernel use (Documentation/kbuild/makefiles.rst); each build here is compared with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

# The lists of the root folder; arch/x86/Makefile adds to them (drivers-y). The root's Makefile has
# only these two in libs-y.
ROOTS = ("Kbuild", "arch/x86/Makefile")
LIBRARIES = ("lib/", "arch/x86/lib/")
TABLE = "arch/x86/entry/syscalls/syscall_64.tbl"
CONDITIONS = ("ifdef", "ifndef", "ifeq", "ifneq")
OBJECT_LISTS = ("obj", "lib", "core", "drivers", "libs", "head")

_ASSIGN = re.compile(r"([\w./$()%-]+|\w+-\$\(subst [^=]*?\)\))\s*(\+|:|\?|)=\s*(.*)")
_CONDITION = r"\$\(CONFIG_\w+(?::m=y)?\)|\$\(subst m,y,\s*\$\(CONFIG_\w+\)\)"
_LIST = re.compile(rf"(\w[\w.+-]*?)-(y|m|objs|{_CONDITION})")
_REFERENCE = re.compile(r"\$\((\w[\w-]*)(?::[^)]*)?\)")
_INCLUDED = re.compile(r'^\s*#\s*include\s+"([^"]+\.c)"', re.MULTILINE)
_DEFINED = re.compile(r"^(?:COMPAT_)?SYSCALL_DEFINE\d\((\w+)", re.MULTILINE)


class _Branch:
    """A chain of conditions: whether the present branch is taken, and whether one was before."""

    def __init__(self, holds: bool) -> None:
        self.active = self._was = holds

    def other(self, holds: bool) -> None:
        """Begin the next branch; it is taken where its condition holds and no branch before was."""
        self.active = holds and not self._was
        self._was = self._was or holds


@dataclass
class _Folder:
    """A Makefile as read with a configuration: its object lists by name."""

    lists: dict[str, list[str]] = field(default_factory=dict)


class Built:
    """The files of one configuration; the constructor computes them."""

    def __init__(self, tree: Path, settings: Mapping[str, str]) -> None:
        self._tree = tree
        self._on = {name for name, value in settings.items() if value in ("y", "m")}
        self._settings = settings
        self.files: set[str] = set()
        self._seen: set[str] = set()
        for root in ROOTS:
            self._read(tree / root)
        for library in LIBRARIES:
            self._descend(Path(library))

    def _read(self, makefile: Path) -> None:
        folder = _Folder()
        self._parse(makefile, folder, {"SRCARCH": "x86", "BITS": "64", "src": str(makefile.parent)})
        top = makefile.parent.relative_to(self._tree)
        base = Path() if str(makefile.relative_to(self._tree)) in ROOTS else top
        for name in OBJECT_LISTS:
            for word in folder.lists.get(name, ()):
                self._take(base, word, folder)

    def _take(self, base: Path, word: str, folder: _Folder) -> None:
        if word.endswith("/"):
            self._descend(base / word)
        elif word.endswith((".o", ".a")):
            self._object(base, word, folder, set())

    def _descend(self, path: Path) -> None:
        name = str(path)
        if name in self._seen:
            return
        self._seen.add(name)
        for kind in ("Kbuild", "Makefile"):
            if (self._tree / path / kind).is_file():
                self._read(self._tree / path / kind)
                return

    def _object(self, base: Path, word: str, folder: _Folder, within: set[str]) -> None:
        stem = word.removesuffix(".o")
        parts = folder.lists.get(stem, []) if word not in within else []
        for part in parts:
            if part.endswith(".o"):
                self._object(base, part, folder, within | {word})
        for suffix in (".c", ".S"):
            path = base / f"{stem}{suffix}"
            if (self._tree / path).is_file():
                self._add(path)

    def _add(self, path: Path) -> None:
        """Add a file, and the .c files that it includes (kernel/sched/build_policy.c)."""
        name = _plain(path)
        if name in self.files:
            return
        self.files.add(name)
        text = (self._tree / name).read_text(errors="replace")
        if not _INCLUDED.search(text):
            return
        for included in _INCLUDED.findall("\n".join(_compiled(text, self._on))):
            if (self._tree / path.parent / included).is_file():
                self._add(path.parent / included)

    def _parse(self, makefile: Path, folder: _Folder, variables: dict[str, str]) -> None:
        """Parse a Makefile: assignments, and conditions on options; the rest is ignored."""
        taken: list[_Branch] = []
        for line in _lines(makefile.read_text(errors="replace")):
            word, _, rest = line.partition(" ")
            if word in CONDITIONS:
                taken.append(_Branch(self._holds(word, rest)))
            elif word == "else" and taken:
                kind, _, condition = rest.strip().partition(" ")
                taken[-1].other(kind not in CONDITIONS or self._holds(kind, condition))
            elif word == "endif" and taken:
                taken.pop()
            elif all(branch.active for branch in taken):
                self._assign(line, makefile, folder, variables)

    def _holds(self, word: str, condition: str) -> bool:
        """Whether `ifdef CONFIG_X`, `ifeq ($(CONFIG_X),y)` or their opposites hold."""
        if word in ("ifdef", "ifndef"):
            return (condition.strip().removeprefix("CONFIG_") in self._on) is (word == "ifdef")
        return self._equal(condition) is (word == "ifeq")

    def _assign(
        self, line: str, makefile: Path, folder: _Folder, variables: dict[str, str]
    ) -> None:
        if line.startswith(("include ", "-include ")):
            for word in line.split()[1:]:
                path = Path(_expand(word, variables).replace("$(srctree)", str(self._tree)))
                path = path if path.is_absolute() else self._tree / path
                if path.is_file() and path.is_relative_to(self._tree / makefile.parent):
                    self._parse(path, folder, variables)
            return
        match = _ASSIGN.match(line)
        if match is None:
            return
        target, how, value = match.groups()
        lists = {f"{name}-y": " ".join(words) for name, words in folder.lists.items()}
        value = _expand(value, {**variables, **lists})
        if listed := _LIST.fullmatch(_expand(target, variables)):
            name, condition = listed.groups()
            if condition in ("y", "m", "objs") or self._is_on(condition):
                words = [self._word(word) for word in value.split()]
                before = folder.lists.get(name, []) if how == "+" else []
                folder.lists[name] = [*before, *filter(None, words)]
        elif re.fullmatch(r"\w[\w-]*", target):
            variables[target] = f"{variables.get(target, '')} {value}".strip()

    def _is_on(self, condition: str) -> bool:
        option = re.search(r"CONFIG_(\w+)", condition)
        return option is not None and option[1] in self._on

    def _word(self, word: str) -> str:
        """A word of a list, with the values of options in it (`foo-$(CONFIG_64BIT).o`)."""
        return re.sub(
            r"\$\(CONFIG_(\w+)\)", lambda match: self._settings.get(match[1], "").strip('"'), word
        )

    def _equal(self, condition: str) -> bool:
        """Whether both sides of `($(CONFIG_X),y)` are equal; other text is compared as it is."""
        match = re.match(r"""[("'](.*?)[,"']\s*["']?(.*?)[)"']?$""", condition.strip())
        if match is None:
            return False
        left, right = (self._values(side) for side in match.groups())
        return left == right

    def _values(self, text: str) -> str:
        text = text.replace("$(BITS)", "64").replace("$(SRCARCH)", "x86").replace("$(ARCH)", "x86")
        text = re.sub(
            r"\$\(CONFIG_(\w+)(?::[^)]*)?\)", lambda m: self._settings.get(m[1], ""), text
        )
        return text.strip(" \"'")


def calls_in(tree: Path, files: Iterable[str], on: Set[str]) -> set[str]:
    """The system calls that files define, without those in conditions on options that are off."""
    defined: set[str] = set()
    for name in files:
        if name.endswith(".c"):
            text = (tree / name).read_text(errors="replace")
            if "SYSCALL_DEFINE" in text:
                defined |= set(_DEFINED.findall("\n".join(_compiled(text, on))))
    return {name for name, entry in table(tree).items() if entry.removeprefix("sys_") in defined}


def table(tree: Path) -> dict[str, str]:
    """Name and entry point of each system call that 64-bit programs have a number for."""
    entry_points = {}
    for line in (tree / TABLE).read_text().splitlines():
        match line.split("#")[0].split():
            case [_, "common" | "64", name, entry, *_] if entry != "sys_ni_syscall":
                entry_points[name] = entry
    return entry_points


def _compiled(text: str, on: Set[str]) -> Iterator[str]:
    """The lines that the preprocessor keeps, as far as conditions on options (`#ifdef CONFIG_X`)
    decide.
    """
    states: list[bool | None] = []
    for line in text.splitlines():
        directive = re.match(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b\s*(.*)", line)
        if directive is None:
            if all(state is not False for state in states):
                yield line
            continue
        word, condition = directive.groups()
        if word == "endif":
            if states:
                states.pop()
        elif word == "else":
            if states:
                states[-1] = None if states[-1] is None else not states[-1]
        elif word == "elif":
            if states:
                states[-1] = (
                    None if states[-1] is None else not states[-1] and _holds(condition, on)
                )
        else:
            text_ = f"defined({condition.split()[0]})" if word != "if" else condition
            holds = _holds(text_, on)
            states.append(holds if word != "ifndef" or holds is None else not holds)


def _holds(condition: str, on: Set[str]) -> bool | None:
    """Whether a condition on options holds; None where it is not only about options."""
    text = re.sub(r"/\*.*?\*/", "", condition)
    text = re.sub(
        r"(?:defined|IS_ENABLED|IS_BUILTIN)\s*\(?\s*CONFIG_(\w+)\s*\)?",
        lambda match: str(match[1] in on),
        text,
    )
    text = text.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
    if re.fullmatch(r"(?:\s|True|False|and|or|not|\(|\))+", text) is None:
        return None
    return bool(eval(text, {"__builtins__": {}}))  # noqa: S307  only the words matched above


def _expand(text: str, variables: Mapping[str, str]) -> str:
    return _REFERENCE.sub(
        lambda match: (
            match[0] if match[1].startswith("CONFIG_") else variables.get(match[1], match[0])
        ),
        text,
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.split("#")[0].strip()
        if stripped:
            yield stripped


def _plain(path: Path) -> str:
    """The path as text without `..`, which some lists have."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
