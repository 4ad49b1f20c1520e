"""The packages and files that the programs of a policy add to the image.

In: a `Policy`, and the names of the files that the image has already.  Out: entries for another
cpio archive, or an error that names the key.  Packages are Debian's, of the base's suite, with
verified signatures; neither their programs nor their scripts are run.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from factory.cache import held
from factory.debian import archive
from factory.image import cpio, mkosi
from factory.image.cpio import Entry
from pbrinit.policy import room_ids
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import PolicyError, Problem
from pbrinit.policy.programs import ROOT, Program

NOT_TAKEN = (
    "usr/share/bash-completion", "usr/share/bug", "usr/share/doc", "usr/share/doc-base",
    "usr/share/fish", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man",
    "usr/share/zsh",
    "etc/cron.d", "etc/default", "etc/init.d", "etc/logrotate.d", "etc/pam.d", "usr/lib/systemd",
    "usr/lib/sysusers.d", "usr/lib/tmpfiles.d", "var",
)  # fmt: skip
"""Parts of packages that are left out: for people, or for a system with another init."""

OURS = ("dev", "etc/pbrinit", "init", "proc", "run", "sys", "tmp")
"""Where a policy cannot put files: PID 1 needs these folders, or each program has its own."""

LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib")
ELF = b"\x7fELF"


def entries(policy: Policy, file: Path, present: Collection[str]) -> list[Entry]:
    """The entries for the programs of `policy`, which is in `file`; an empty list where it has
    none. `present` are the names in the image.

    Raises PolicyError where a program's command does not exist then, or a file cannot be where the
    policy puts it.  Ends the program where the archive cannot be reached or has no such package.
    """
    if not policy.programs:
        return []
    packages = sorted({name for run in policy.programs for name in run.packages})
    entries_by_name = {
        entry.name: entry for entry in _packages(packages) if entry.name not in present
    }
    files: dict[str, Entry] = {}
    problems = []
    for run in policy.programs:
        owner = room_ids.first(policy, run) if run.isolated else ROOT
        for entry, problem in _files(run, owner, files, present, str(file)):
            files[entry.name] = entry
            problems += [problem] if problem else []
    entries_by_name |= files
    for run in policy.programs:
        name = run.command[0].removeprefix("/")
        if name not in present and name not in entries_by_name:
            problems.append(
                Problem(
                    str(file),
                    f"run.{run.name}.command",
                    f"there is no {run.command[0]} in the image",
                    "name the package that has it, or the file for this path",
                )
            )
    if problems:
        raise PolicyError(problems)
    return cpio.with_folders(entries_by_name.values())


def _files(
    run: Program, owner: int, files: dict[str, Entry], present: Collection[str], file: str
) -> Iterator[tuple[Entry, Problem | None]]:
    """The files of one program: they belong to `owner`, who is root in its room, are read by the
    program's group and by nobody else, or by everybody where a program before it has the same, and
    are executed where the source can be.
    """
    for target, source in run.files:
        name = target.removeprefix("/")
        path = Path(source)
        data = path.read_bytes()
        executable = 0o110 if os.access(path, os.X_OK) else 0
        mode = stat.S_IFREG | 0o440 | executable
        entry = Entry(name, mode, data, uid=owner, gid=owner + run.user.uid)
        key = f"run.{run.name}.files.{target}"
        problem = None
        if name in present or any(_is_below(name, place) for place in OURS):
            problem = Problem(file, key, "is the image's own", "choose another path")
        elif name in files:
            if files[name].data != data:
                problem = Problem(file, key, "is another program's file with other contents")
            if files[name].gid != entry.gid or files[name].mode & stat.S_IROTH:
                entry = Entry(name, entry.mode | (entry.mode & 0o050) >> 3, data)
        yield entry, problem


def _packages(names: list[str]) -> Iterator[Entry]:
    """The files of these packages, and the libraries that these need from the packages that they
    depend on.
    """
    if not names:
        return
    trees = {deb.name: _unpacked(deb) for deb in archive.fetch_with_needs(names, mkosi.SUITE)}
    programs = []
    for name in names:
        for path in sorted(trees[name].rglob("*")):
            inside = str(path.relative_to(trees[name]))
            if any(_is_below(inside, place) for place in NOT_TAKEN):
                continue
            if path.is_symlink():
                yield Entry(inside, stat.S_IFLNK | 0o777, str(path.readlink()).encode())
            elif path.is_file():
                data = path.read_bytes()
                programs += [path] if data.startswith(ELF) else []
                yield Entry(inside, stat.S_IFREG | path.stat().st_mode & 0o755, data)
    for tree, library in _libraries(programs, list(trees.values())):
        inside = str(library.relative_to(tree))
        yield Entry(inside, stat.S_IFREG | 0o644, library.read_bytes())


def _libraries(programs: list[Path], trees: list[Path]) -> Iterator[tuple[Path, Path]]:
    """The libraries that the packages' own loader would load for the programs, each with its tree
    (ld.so(8)).
    """
    loader = next((tree / LOADER for tree in trees if (tree / LOADER).exists()), None)
    folders = [str(tree / folder) for tree in trees for folder in LIBRARIES]
    search = ":".join(folder for folder in folders if Path(folder).is_dir())
    needed: set[Path] = set()
    for program in programs if loader else ():
        listing = subprocess.run(
            [str(loader), "--inhibit-cache", "--library-path", search, "--list", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,  # it fails for a static program
            text=True,
        ).stdout
        needed |= {Path(line.split()[2]) for line in listing.splitlines() if "=> /" in line}
    for library in sorted(needed):
        tree = next((tree for tree in trees if library.is_relative_to(tree)), None)
        if tree is not None:
            yield tree, library


def _unpacked(deb: archive.Deb) -> Path:
    """The package's files below a folder of the cache."""
    place = mkosi.cache_folder("programs")
    tree = place / deb.path.stem
    with held(place):
        if not tree.is_dir():
            with tempfile.TemporaryDirectory(dir=place) as partial:
                subprocess.run(["dpkg-deb", "-x", deb.path, f"{partial}/tree"], check=True)
                Path(partial, "tree").replace(tree)
    return tree


def _is_below(name: str, folder: str) -> bool:
    return PurePosixPath(name).is_relative_to(folder)
