"""What a compiled kernel contains, recorded before its build tree is removed.

In: a build tree with its source.  Out: KernelContents: the objects that were linked with their
sizes, the source files that were read for them, and the system calls that are implemented.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from factory.kernel.makefiles import Built, calls_in, table

ARCHIVES = ("vmlinux.a", "lib/lib.a", "arch/x86/lib/lib.a")


@dataclass(frozen=True)
class KernelContents:
    """Paths are relative to the source. `objects`: bytes of code and constants, and of data, by
    object.

    `lines`: lines of the C and assembler files among the sources, by subsystem. `calls`: the system
    calls that are implemented, of `syscall_table_size` that 64-bit programs have a number for.
    """

    objects: dict[str, tuple[int, int]]
    sources: tuple[str, ...]
    lines: dict[str, int]
    calls: tuple[str, ...]
    syscall_table_size: int

    def write(self, path: Path) -> None:
        """Write a JSON file that `read` reads."""
        values = asdict(self)
        values["numbers"] = values.pop("syscall_table_size")
        path.write_text(json.dumps(values, indent=0) + "\n")


def read(path: Path) -> KernelContents:
    """Read the file that `KernelContents.write` wrote."""
    data = json.loads(path.read_text())
    return KernelContents(
        objects={name: (sizes[0], sizes[1]) for name, sizes in data["objects"].items()},
        sources=tuple(data["sources"]),
        lines=data["lines"],
        calls=tuple(data["calls"]),
        syscall_table_size=data["numbers"],
    )


def contents_of(output: Path, tree: Path, llvm: str) -> KernelContents:
    """The contents of the kernel that was just built in `output` from the source `tree`, with the
    tools of LLVM that have the suffix `llvm`.

    Raises CalledProcessError where a tool fails.
    """
    listed = [
        name
        for archive in ARCHIVES
        for name in _tool([f"llvm-ar{llvm}", "t", archive], output).split()
    ]
    numbers = table(tree)
    strong, weak = _entries((output / "System.map").read_text())
    sources = {source for name in listed for source in _read(output, tree, name)}
    code = [source for source in sources if source.endswith((".c", ".S"))]
    return KernelContents(
        objects=dict(_sizes(_tool([f"llvm-size{llvm}", *listed], output))),
        sources=tuple(sorted(sources)),
        lines=count_lines(tree, code),
        calls=tuple(sorted(name for name, entry in numbers.items() if entry in strong - weak)),
        syscall_table_size=len(numbers),
    )


def misread(inside: KernelContents, tree: Path, settings: Mapping[str, str]) -> tuple[str, ...]:
    """The files and system calls in which our reading of the Makefiles (`makefiles`) and the build
    itself differ.

    Debian's kernels are counted by that reading, since they are not built here.
    """
    built = Built(tree, settings).files
    on = {name for name, value in settings.items() if value in ("y", "m")}
    compiled = {name for name in inside.sources if name.endswith((".c", ".S"))}
    calls = calls_in(tree, built, on) ^ set(inside.calls)
    return tuple(sorted((built ^ compiled) | {f"{name}()" for name in calls}))


def _sizes(listing: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Lines of size(1) in Berkeley's format: text, data, bss, dec, hex, filename."""
    for line in listing.splitlines()[1:]:
        text, data, bss, _, _, name = line.split()
        yield name, (int(text), int(data) + int(bss))


def _read(output: Path, tree: Path, name: str) -> Iterator[str]:
    """The files of the source that the compiler read for an object (scripts/basic/fixdep.c)."""
    place = output / name
    command = place.with_name(f".{place.name}.cmd")
    if not command.exists():
        return
    start = f"{os.path.relpath(tree, output)}/"
    for line in command.read_text().splitlines():
        path = line.removesuffix("\\").rpartition(" := ")[2].strip()
        if path.startswith(start) and path.endswith((".c", ".h", ".S")):
            yield path.removeprefix(start)


def _entries(system_map: str) -> tuple[set[str], set[str]]:
    """The entry points of system calls: the strong symbols, and the weak ones, which just return an
    error (COND_SYSCALL, syscall_wrapper.h).
    """
    symbols = re.findall(r"^\w+ (\w) __x64_(sys_\w+)$", system_map, re.MULTILINE)
    return _of_kind(symbols, "Tt"), _of_kind(symbols, "Ww")


def _of_kind(symbols: Iterable[tuple[str, str]], kinds: str) -> set[str]:
    return {name for kind, name in symbols if kind in kinds}


def _tool(command: list[str], folder: Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout


@dataclass(frozen=True)
class Survey:
    """`lines`: of source, by subsystem; `checks`: of the hardening checker's on options."""

    name: str
    options: int
    modules: int
    files: tuple[str, ...]
    lines: dict[str, int]
    calls: tuple[str, ...]
    checks_met: int
    checks_open: int


def subsystem(path: str) -> str:
    """Where a file belongs, as people speak of the kernel: `net/ipv4`, `drivers/usb`, `mm`.

    The packet filter is one, in whichever folder of the network its files are.
    """
    parts = path.split("/")
    if "netfilter" in parts:
        return "netfilter"
    depth = 2 if parts[0] in ("arch", "drivers", "net") else 1
    return "/".join(parts[: min(depth, len(parts) - 1)]) or parts[0]


def count_lines(tree: Path, files: Iterable[str]) -> dict[str, int]:
    """Lines of the files, by subsystem."""
    found: Counter[str] = Counter()
    for name in files:
        found[subsystem(name)] += (tree / name).read_bytes().count(b"\n")
    return dict(sorted(found.items()))
