"""The kernel: from Debian's source package and the fragments of `kernel/` to a bzImage.

In: `kernel/*.toml`, the newest `linux-source-6.12`, the host's compiler.  Out: a Kernel in the
cache, which is compiled only where source, fragments or compiler are new.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from factory import archive, cache, kconfig, lock, say

PACKAGE = "linux-source-6.12"
SUITES = ("trixie",)
FRAGMENTS = Path(__file__).parent.parent / "kernel"
DEVICES = FRAGMENTS / "devices.list"

# Part of the key: raise it where the way a kernel is made changes, and with it the bytes.
RECIPE = 1


@dataclass(frozen=True)
class Kernel:
    """A finished kernel in the cache: `version` is what `uname -r` says, `key` names its making."""

    version: str
    image: Path
    config: Path
    key: str


def build() -> Kernel:
    """The kernel of this checkout's fragments, compiled where the cache does not have it.

    Ends the program, with everything that is wrong, where a fragment cannot be read or an option
    does not come out as asked.
    """
    try:
        fragments = kconfig.read(FRAGMENTS)
    except kconfig.FragmentError as error:
        say.die("the kernel fragments cannot be used:\n" + _listed(error.findings))
    source = archive.fetch_deb(PACKAGE, SUITES)
    asked = kconfig.render(fragments)
    key = _key(source.version, asked, _compiler())
    place = cache.directory("kernel")
    done = place / key
    with lock.held(place):
        if not done.is_dir():
            _make(source, fragments, asked, work=place / "work", done=done)
    version = (done / "release").read_text().strip()
    return Kernel(version, done / "bzImage", done / "config", key)


def _make(
    source: archive.Deb,
    fragments: tuple[kconfig.Fragment, ...],
    asked: str,
    *,
    work: Path,
    done: Path,
) -> None:
    """Compile below `work`, which is kept for a look where it fails, and fill `done` at once."""
    shutil.rmtree(work, ignore_errors=True)
    tree, output, result = work / "source", work / "output", work / "result"
    for directory in (tree, output, result):
        directory.mkdir(parents=True)
    logs = cache.directory("log")
    _unpack(source, tree, logs / "kernel-source.log")
    (output / "asked.config").write_text(asked)
    shutil.copyfile(DEVICES, output / DEVICES.name)
    environment = _environment(tree)
    # allnoconfig: what no fragment names is off.  Merging into tinyconfig takes the default,
    # mostly on, of each option that a fragment brings into reach: 160 more come out on.
    make: list[str | Path] = [
        "make",
        "-C",
        tree,
        f"O={output}",
        f"-j{len(os.sched_getaffinity(0))}",
    ]
    say.run(
        [*make, f"KCONFIG_ALLCONFIG={output / 'asked.config'}", "allnoconfig"],
        what="configuring the kernel",
        log=logs / "kernel-config.log",
        env=environment,
    )
    _insist(fragments, output / ".config", tree)
    say.step("the kernel is compiled once; five to eight minutes on two cores")
    say.run(
        [*make, "bzImage"],
        what=f"compiling Linux {source.version}",
        log=logs / "kernel-compile.log",
        env=environment,
    )
    shutil.copyfile(output / "arch/x86/boot/bzImage", result / "bzImage")
    shutil.copyfile(output / ".config", result / "config")
    shutil.copyfile(output / "System.map", result / "System.map")
    shutil.copyfile(output / "include/config/kernel.release", result / "release")
    result.replace(done)
    shutil.rmtree(work)
    say.step(f"made {done / 'bzImage'}, {say.size(done / 'bzImage')}")


def _unpack(source: archive.Deb, tree: Path, log: Path) -> None:
    """The kernel tree of the package's tar archive, as `tree`."""
    package = tree.parent / "package"
    archived = package / "usr/src" / f"{PACKAGE}.tar.xz"
    say.run(
        ["dpkg-deb", "-x", source.path, package],
        what=f"unpacking {source.path.name}",
        log=log,
    )
    say.run(
        ["tar", "-xf", archived, "-C", tree, "--strip-components=1", "--no-same-owner"],
        what=f"unpacking {archived.name}",
        log=log,
    )


def _insist(fragments: tuple[kconfig.Fragment, ...], config: Path, tree: Path) -> None:
    deviations = kconfig.check(fragments, config.read_text(), kconfig.defined_in(tree))
    if deviations:
        say.die(
            "the kernel configuration did not come out as asked:\n" + _listed(deviations),
            hint="an option comes out only where all that it depends on is asked for as well; "
            f"what Kconfig made of it is {config}",
        )


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
                [tool, "--version"], capture_output=True, text=True, check=True, env=_CLEAN
            ).stdout.splitlines()[0]
            for tool in ("gcc", "ld")
        )
    except (OSError, subprocess.CalledProcessError) as error:
        say.die(f"the kernel needs gcc and ld: {error}", hint="`make deps` installs them")


def _key(version: str, asked: str, compiler: str) -> str:
    text = "\0".join((str(RECIPE), version, asked, DEVICES.read_text(), compiler))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _listed(findings: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"  {finding}" for finding in findings)
