"""The kernel: from a source and the fragments of `kernel/` to a bzImage.

In: `kernel/*.toml` and a variant's folder there, a Source, the compiler.  Out: a Kernel in the
cache, which is compiled only where source, fragments or compiler are new.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from factory import cache, log
from factory.cache import held
from factory.kernel import contents, fragments, kconfig_symbols
from factory.kernel.source import Source, choose

FRAGMENTS = Path(__file__).parents[2] / "kernel"
DEVICES = FRAGMENTS / "devices.list"
VARIANTS = ("vm", "pc")

# What clang does for a kernel, gcc does not: the check of each indirect call (CFI). Debian 12
# and 13 have this one under one name; the version is part of the key.
LLVM = "-19"

# What a finished kernel's folder has; one that an older checkout left without is made anew.
PARTS = (
    "bzImage",
    "config",
    "System.map",
    "release",
    "selected.json",
    "anatomy.json",
    "misread.json",
)

# Part of the key: raise it where the way a kernel is made changes, and with it the bytes.
RECIPE = 2


@dataclass(frozen=True)
class Kernel:
    """A finished kernel in the cache: `version` is what `uname -r` says, `key` names its making."""

    variant: str
    source: str
    version: str
    folder: Path
    key: str

    @property
    def image(self) -> Path:
        """The bzImage."""
        return self.folder / "bzImage"

    @property
    def config(self) -> Path:
        """The finished `.config`."""
        return self.folder / "config"


def read_fragments(variant: str) -> tuple[fragments.Fragment, ...]:
    """The fragments of a variant.  Ends the program with all that is wrong in them."""
    try:
        return fragments.read(FRAGMENTS, variant)
    except fragments.FragmentError as error:
        log.die("the kernel fragments cannot be used:\n" + _listed(error.findings))


def build_kernel(variant: str = VARIANTS[0], source_word: str | None = None) -> Kernel:
    """The kernel of this checkout's fragments, compiled where the cache does not have it.

    `source_word` is for `source.choose`, and $KERNEL where it is None.  Ends the program, with
    everything that is wrong, where a fragment cannot be read or an option does not come out as
    asked.
    """
    if variant not in VARIANTS:
        log.die(f"there is no variant {variant!r}", hint=f"VARIANT={' or VARIANT='.join(VARIANTS)}")
    every = read_fragments(variant)
    source = choose(os.environ.get("KERNEL", "") if source_word is None else source_word)
    asked_of = fragments.of_series(every, fragments.series(source.version))
    asked = fragments.render(asked_of)
    key = _key(source, asked, _compiler())
    place = cache.directory("kernel")
    done = place / key
    # A kernel that is there needs no lock: it must not wait for another that is being compiled.
    with nullcontext() if _is_whole(done) else held(place):
        if not _is_whole(done):
            KernelBuild(source, asked_of, asked, key, place / "work").make(variant, done)
    version = (done / "release").read_text().strip()
    return Kernel(variant, f"{source.name} {source.version}", version, done, key)


def _is_whole(done: Path) -> bool:
    """Whether a kernel of the cache is there: its folder gets its name once all is in it."""
    return all((done / part).exists() for part in PARTS)


@dataclass(frozen=True)
class KernelBuild:
    """One compilation, below `work`, which is kept for a look where it fails."""

    source: Source
    fragments: tuple[fragments.Fragment, ...]
    asked: str
    key: str
    work: Path

    def make(self, variant: str, done: Path) -> None:
        """Fill the folder `done`, at once, at the end."""
        shutil.rmtree(self.work, ignore_errors=True)
        tree, output, result = (self.work / name for name in ("source", "output", "result"))
        for directory in (tree, output, result):
            directory.mkdir(parents=True)
        logs = cache.directory("log")
        self.source.unpack(tree, logs / "kernel-source.log")
        _fix_layout(tree, self.key)
        (output / "asked.config").write_text(self.asked)
        shutil.copyfile(DEVICES, output / DEVICES.name)
        environment = _environment(tree)
        make: list[str | Path] = ["make", "-C", tree, f"O={output}", f"LLVM={LLVM}"]
        make.append(f"-j{len(os.sched_getaffinity(0))}")
        # allnoconfig: what no fragment names is off.  Merging into tinyconfig takes the default,
        # mostly on, of each option that a fragment brings into reach: 160 more come out on.
        log.run(
            [*make, f"KCONFIG_ALLCONFIG={output / 'asked.config'}", "allnoconfig"],
            what=f"configuring the kernel ({variant})",
            log=logs / "kernel-config.log",
            env=environment,
        )
        config = output / ".config"
        selected = self.check_configuration(config.read_text(), config, tree)
        (result / "selected.json").write_text(json.dumps(selected, indent=0) + "\n")
        log.step("the kernel is compiled once; five to ten minutes on two cores")
        log.run(
            [*make, "bzImage"],
            what=f"compiling Linux {self.source.version} ({variant})",
            log=logs / f"kernel-compile-{variant}.log",
            env=environment,
        )
        for made, name in (
            ("arch/x86/boot/bzImage", "bzImage"),
            (".config", "config"),
            ("System.map", "System.map"),
            ("include/config/kernel.release", "release"),
        ):
            shutil.copyfile(output / made, result / name)
        inside = contents.contents_of(output, tree, LLVM)
        inside.write(result / "anatomy.json")
        misread = contents.misread(inside, tree, fragments.settings(config.read_text()))
        (result / "misread.json").write_text(json.dumps(misread, indent=0) + "\n")
        shutil.rmtree(done, ignore_errors=True)
        result.replace(done)
        shutil.rmtree(self.work)
        log.step(f"made {done / 'bzImage'}, {log.size(done / 'bzImage')}")

    def check_configuration(
        self, text: str, config: Path, tree: Path
    ) -> dict[str, tuple[str, ...]]:
        """What is on because others are; ends the program where something is not as asked."""
        defined = kconfig_symbols.defined_in(tree)
        deviations = fragments.check(self.fragments, text, defined.keys())
        deviations += fragments.unreasoned(self.fragments, text, defined)
        if deviations:
            log.die(
                "the kernel configuration did not come out as asked:\n" + _listed(deviations),
                hint="an option comes out only where all that it depends on is asked for as well; "
                f"what Kconfig made of it is {config}",
            )
        return fragments.selected(text, defined)


def _fix_layout(tree: Path, key: str) -> None:
    """Derive RANDSTRUCT's seed from the build's key, where the kernel would roll dice.

    (scripts/gen-randstruct-seed.sh; a seed that is only put in its place is made anew.)
    """
    script = tree / "scripts/gen-randstruct-seed.sh"
    text = script.read_text()
    dice = "$(od -A n -t x8 -N 32 /dev/urandom | tr -d ' \\n')"
    if dice not in text:
        log.die(f"{script.name} makes its seed in a way that is new: look, and fix the build")
    script.write_text(text.replace(dice, hashlib.sha256(key.encode()).hexdigest()))


def _environment(tree: Path) -> Mapping[str, str]:
    """What make is run with: nothing of the caller's, and no time or name that varies.

    (Documentation/kbuild/reproducible-builds.rst.)  The time is that of the source itself.
    """
    epoch = int((tree / "Makefile").stat().st_mtime)
    date = datetime.fromtimestamp(epoch, UTC)
    return {
        **_CLEAN,
        "SOURCE_DATE_EPOCH": str(epoch),
        "KBUILD_BUILD_TIMESTAMP": f"{date:%a %b %d %H:%M:%S UTC %Y}",
        "KBUILD_BUILD_USER": "pbrinit",
        "KBUILD_BUILD_HOST": "pbrinit",
        "KBUILD_BUILD_VERSION": "1",
    }


# The system's own compiler, which the key names, and none of the flags that a make around this
# program would hand down.
_CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C", "TZ": "UTC"}


def _compiler() -> str:
    """The versions of what turns source into bytes."""
    try:
        return "\n".join(
            subprocess.run(
                [tool + LLVM, "--version"], capture_output=True, text=True, check=True, env=_CLEAN
            ).stdout.splitlines()[0]
            for tool in ("clang", "ld.lld")
        )
    except (OSError, subprocess.CalledProcessError) as error:
        log.die(
            f"the kernel needs clang and lld, version {LLVM[1:]}: {error}",
            hint="`make deps` installs them",
        )


def _key(source: Source, asked: str, compiler: str) -> str:
    parts = (str(RECIPE), source.name, source.version, asked, DEVICES.read_text(), compiler)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _listed(findings: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"  {finding}" for finding in findings)
