"""Runs the kernel's own tests in the kernel that is shipped.

In: a built kernel, the tests of the same source, Debian's iproute2 in a guest made for them.
Out: the result of each test, and counts.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory import cache, log
from factory.image import cpio, mkosi
from factory.image.build import EPOCH, archive
from factory.image.cpio import Entry
from factory.kernel import cmdline, source
from factory.kernel.build import LLVM, VARIANTS, build_kernel
from factory.vm import qemu

FOLDER = Path(__file__).with_name("selftest")
INSIDE = "tools/testing/selftests/net"
MEMORY = 768
SECONDS = 1800.0


@dataclass(frozen=True)
class Outcome:
    """One test of a script: the checks with the result OK, and those with FAIL."""

    script: str
    test: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]


def run(variant: str = VARIANTS[0]) -> tuple[Outcome, ...]:
    """Boot the variant's kernel with the tests of its own source. Ends the program where the guest
    exits before its tests have ended.
    """
    linux = build_kernel(variant)
    scripts = _scripts(source.choose(os.environ.get("KERNEL", "")))
    with tempfile.TemporaryDirectory(prefix="pbrinit-selftest-") as name:
        initramfs = Path(name) / "initramfs"
        initramfs.write_bytes(_base().read_bytes() + _archive(scripts, Path(name)))
        words = cmdline.line(cmdline.read(variant))
        machine = qemu.Machine(qemu.Direct(linux.image, initramfs, words), memory=MEMORY)
        started = qemu.command(machine, qemu.accelerator())
        log.step("running the kernel's own tests in a guest, some minutes")
        log_file = cache.directory("log") / "selftest.log"
        with log_file.open("wb") as output:
            subprocess.run(
                started, stdin=subprocess.DEVNULL, stdout=output, check=False, timeout=SECONDS
            )
    text = log_file.read_text(errors="replace").replace("\r", "")
    if "=== done" not in text:
        log.die("the guest exited before its tests ended", hint=f"its output is in {log_file}")
    return tuple(outcomes(text))


def outcomes(log_text: str) -> Iterator[Outcome]:
    """The outcomes in the output of a guest, by test (log_test of the scripts). Several runs of a
    test are merged: a check has failed if it failed, and passed in no run.
    """
    runs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for match in re.finditer(r"^=== (\S+) (\S+)\n(.*?)^=== \1 \2 ended", log_text, re.M | re.S):
        script, test, output = match.groups()
        results = re.findall(r"TEST: (.*?) *\[ *(OK|FAIL|XFAIL) *\]", output)
        runs.setdefault((script, test), []).extend(results)
    for (script, test), results in runs.items():
        passed = dict.fromkeys(what for what, how in results if how != "FAIL")
        failed = dict.fromkeys(
            what for what, how in results if how == "FAIL" and what not in passed
        )
        yield Outcome(script, test, tuple(passed), tuple(failed))


def listed() -> list[tuple[str, str]]:
    """Script and test of each run, in order."""
    runs = tomllib.loads((FOLDER / "tests.toml").read_text())["run"]
    return [
        (entry["script"], test)
        for entry in runs
        for _ in range(entry.get("times", 1))
        for test in entry["tests"]
    ]


def left_out() -> list[tuple[str, str, str]]:
    """Script and test of each that is not run, and the feature that it needs and this kernel
    lacks.
    """
    data = tomllib.loads((FOLDER / "tests.toml").read_text())["left_out"]
    return [(entry["script"], test, entry["reason"]) for entry in data for test in entry["tests"]]


def _scripts(origin: source.Source) -> Path:
    """The folder with the tests, unpacked from the source, with its C program compiled."""
    place = cache.directory("selftest") / f"{origin.name}-{origin.version}"
    if place.is_dir():
        return place
    with tempfile.TemporaryDirectory(dir=place.parent) as name:
        tree = Path(name) / "source"
        tree.mkdir()
        origin.unpack(tree, cache.directory("log") / "selftest-source.log", INSIDE)
        net = tree / INSIDE
        # Static: the guest's C library may be older or newer than this host's.
        compiler = [f"clang{LLVM}", "-static", "-O2", "-w"]
        log.run(
            [*compiler, "-o", net / "nettest", net / "nettest.c"],
            what="compiling nettest",
            log=cache.directory("log") / "selftest-nettest.log",
        )
        net.replace(place)
    return place


def _base() -> Path:
    """Debian with iproute2, as an initramfs."""
    maker = mkosi.get(cache.directory("log") / "mkosi-tools.log")
    place = mkosi.cache_folder(f"selftest-{mkosi.key(FOLDER, [FOLDER / 'mkosi.conf'])}")
    initramfs = place / "selftest.cpio.zst"
    if not initramfs.exists():
        log_file = cache.directory("log") / "mkosi-selftest.log"
        mkosi.build(maker, FOLDER, place, what="making a guest for the tests", log_file=log_file)
    return initramfs


def _archive(scripts: Path, folder: Path) -> bytes:
    """An archive with the scripts and the program that runs them, to unpack over the base."""
    files = {path.name: path.read_bytes() for path in scripts.glob("*.sh")}
    files |= {f"lib/sh/{path.name}": path.read_bytes() for path in scripts.glob("lib/sh/*.sh")}
    files["ip"] = (FOLDER / "ip").read_bytes()
    files["nettest"] = (scripts / "nettest").read_bytes()
    files["tests"] = "".join(f"{script} {test}\n" for script, test in listed()).encode()
    packed = folder / "scripts.cpio"
    packed.write_bytes(archive("selftest", {n: d for n, d in files.items() if "/" not in n}))
    deeper = {name.rpartition("/")[2]: data for name, data in files.items() if "/" in name}
    # The kernel takes no other command line than its own, so what is to run first is /init.
    first = Entry("init", stat.S_IFREG | 0o555, (FOLDER / "run.sh").read_bytes())
    more = archive("selftest/lib/sh", deeper) + cpio.pack([first], EPOCH)
    packed.write_bytes(packed.read_bytes() + more)
    zstd = shutil.which("zstd") or log.die("there is no command zstd", hint="`make deps`")
    subprocess.run([zstd, "--quiet", packed], check=True)
    return packed.with_suffix(".cpio.zst").read_bytes()
