"""Builds the kernel: from a source and the fragments of `kernel/` to a bzImage.

In: `kernel/*.toml` and a variant's folder there, a Source, the compiler.  Out: a Kernel in the
cache. It is compiled only where source, fragments or compiler have changed.
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
from factory.kernel import cmdline, contents, fragments, kconfig_symbols
from factory.kernel.source import Source, choose

FRAGMENTS = Path(__file__).parents[2] / "kernel"
DEVICES = FRAGMENTS / "devices.list"
VARIANTS = ("vm", "pc")

# clang checks each indirect call of the kernel (CFI), gcc does not. Debian 12 and 13 have this
# version under the same name; the version is part of the key.
LLVM = "-19"

# The files of a finished kernel; one that lacks a file, from an older checkout, is made again.
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
RECIPE = 3

# Objects that were compiled once, of all sources and variants. One variant has about 60 MB of them.
CCACHE_SIZE = "1G"


@dataclass(frozen=True)
class Kernel:
    """A finished kernel in the cache: `version` is that of `uname -r`, `key` identifies its
    inputs.
    """

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
    """The fragments of a variant, with one for its command line.  Ends the program with all errors
    in them.
    """
    try:
        return (*fragments.read(FRAGMENTS, variant), _command_line(variant))
    except fragments.FragmentError as error:
        log.die("the kernel fragments cannot be used:\n" + _listed(error.findings))


def _command_line(variant: str) -> fragments.Fragment:
    """The command line that is built into the kernel (CONFIG_CMDLINE, setup_arch() of x86)."""
    built_in = fragments.Option(
        name="CMDLINE",
        value=cmdline.line(cmdline.read(variant)),
        reason="the parameters of cmdline.toml, each with its reason",
        file="cmdline.toml",
        forbidden=False,
    )
    return fragments.Fragment("cmdline.toml", "The kernel's command line", (built_in,))


def build_kernel(variant: str = VARIANTS[0], source_word: str | None = None) -> Kernel:
    """The kernel of this checkout's fragments, compiled where the cache does not have it.

    `source_word` is for `source.choose`; where it is None, $KERNEL is.  Ends the program with all
    errors where a fragment cannot be read, or an option does not get the value that is asked for.
    """
    if variant not in VARIANTS:
        log.die(f"there is no variant {variant!r}", hint=f"VARIANT={' or VARIANT='.join(VARIANTS)}")
    every = read_fragments(variant)
    source = choose(os.environ.get("KERNEL", "") if source_word is None else source_word)
    asked_of = fragments.of_series(every, fragments.series(source.version))
    asked = fragments.render(asked_of)
    compiler = _compiler()
    key = _key(source, asked, compiler)
    place = cache.directory("kernel")
    done = place / key
    # A kernel that is there needs no lock: it must not wait for another that is being compiled.
    with nullcontext() if _is_whole(done) else held(place):
        if not _is_whole(done):
            KernelBuild(source, asked_of, asked, compiler, place / "work").make(variant, done)
    version = (done / "release").read_text().strip()
    return Kernel(variant, f"{source.name} {source.version}", version, done, key)


def _is_whole(done: Path) -> bool:
    """Whether a kernel of the cache is there: its folder gets its name once all is in it."""
    return all((done / part).exists() for part in PARTS)


@dataclass(frozen=True)
class KernelBuild:
    """One compilation in the folder `work`, which is kept for inspection where it fails."""

    source: Source
    fragments: tuple[fragments.Fragment, ...]
    asked: str
    compiler: str
    work: Path

    def make(self, variant: str, done: Path) -> None:
        """Compile the kernel, then move its files to the folder `done`, all at once."""
        shutil.rmtree(self.work, ignore_errors=True)
        # Below the source, so that make names every file relative to the output: no command has
        # the name of this folder in it, and one that was compiled in another folder is found.
        tree, result = self.work / "source", self.work / "result"
        output = tree / "output"
        for directory in (output, result):
            directory.mkdir(parents=True)
        logs = cache.directory("log")
        self.source.unpack(tree, logs / "kernel-source.log")
        seed = _layout_seed(self.source)
        _fix_layout(tree, seed)
        (output / "asked.config").write_text(self.asked)
        shutil.copyfile(DEVICES, output / DEVICES.name)
        environment = {**_environment(tree), **_ccache(self.compiler, seed)}
        make: list[str | Path] = ["make", "-C", tree, f"O={output}", f"LLVM={LLVM}"]
        make += [f"{name}=ccache clang{LLVM}" for name in ("CC", "HOSTCC")]
        make.append(f"-j{len(os.sched_getaffinity(0))}")
        # allnoconfig: what no fragment names is off.  To merge into tinyconfig would take the
        # default, mostly on, of each option that a fragment makes visible: 160 more options would
        # be on.
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
        for source, name in (
            ("arch/x86/boot/bzImage", "bzImage"),
            (".config", "config"),
            ("System.map", "System.map"),
            ("include/config/kernel.release", "release"),
        ):
            shutil.copyfile(output / source, result / name)
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
        """The options that are on because others select them. Ends the program where an option does
        not have the value that is asked for.
        """
        defined = kconfig_symbols.defined_in(tree)
        deviations = fragments.check_config(self.fragments, text, defined.keys())
        deviations += fragments.unreasoned(self.fragments, text, defined)
        if deviations:
            log.die(
                "the kernel configuration is not as asked for:\n" + _listed(deviations),
                hint="an option is set only where all that it depends on is asked for as well; "
                f"the result of Kconfig is {config}",
            )
        return fragments.selected(text, defined)


def _layout_seed(source: Source) -> str:
    """RANDSTRUCT's seed, 64 hexadecimal digits.  It is the same for every configuration of a
    source, or no object of one could be used for another.
    """
    return hashlib.sha256(f"{RECIPE} {source.name} {source.version}".encode()).hexdigest()


def _fix_layout(tree: Path, seed: str) -> None:
    """Give the kernel its seed, where it would roll dice.

    (scripts/gen-randstruct-seed.sh; the build would overwrite a seed file.)
    """
    script = tree / "scripts/gen-randstruct-seed.sh"
    text = script.read_text()
    dice = "$(od -A n -t x8 -N 32 /dev/urandom | tr -d ' \\n')"
    if dice not in text:
        log.die(f"{script.name} makes its seed in a way that is new: look, and fix the build")
    script.write_text(text.replace(dice, seed))


def _environment(tree: Path) -> Mapping[str, str]:
    """The environment of make: nothing from the caller, and no time or name that varies.

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


def _ccache(compiler: str, seed: str) -> Mapping[str, str]:
    """How ccache(1) is run: with a folder and settings of our own, and none of the caller's.

    It knows an object by its preprocessed source, its command and the words given here. The name
    of the seed's file is in the command, what is in that file is not: so the seed is here.
    """
    return {
        "CCACHE_DIR": str(cache.directory("ccache")),
        "CCACHE_CONFIGPATH": os.devnull,
        "CCACHE_MAXSIZE": CCACHE_SIZE,
        "CCACHE_COMPILERCHECK": f"string:{compiler} {seed}",
        "CCACHE_NOHASHDIR": "1",
    }


# The system's own compiler, which the key names, and none of the flags that a make around this
# program would hand down.
_CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C", "TZ": "UTC"}


def _compiler() -> str:
    """The versions of compiler and linker, as text. Ends the program where there are none."""
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
