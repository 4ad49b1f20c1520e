"""The kernel's own tests, run inside the kernel that is shipped: a judge from outside.

In: a built kernel, the tests of the same source, Debian's iproute2 in a guest made for them.
Out: what each test said, and counts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory import cache, log
from factory.image import mkosi
from factory.image.build import archive
from factory.kernel import source
from factory.kernel.build import LLVM, VARIANTS, build_kernel
from factory.vm import qemu

FOLDER = Path(__file__).with_name("selftest")
INSIDE = "tools/testing/selftests/net"
MEMORY = 768
SECONDS = 1800.0


@dataclass(frozen=True)
class Outcome:
    """One test of one script: the lines that say OK, and those that say FAIL."""

    script: str
    test: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]


def run(variant: str = VARIANTS[0]) -> tuple[Outcome, ...]:
    """Boot the variant's kernel with the tests of its own source. Ends the program if it hangs."""
    linux = build_kernel(variant)
    scripts = _scripts(source.choose(os.environ.get("KERNEL", "")))
    with tempfile.TemporaryDirectory(prefix="pbrinit-selftest-") as name:
        initramfs = Path(name) / "initramfs"
        initramfs.write_bytes(_base().read_bytes() + _archive(scripts, Path(name)))
        command = "console=ttyS0,115200 quiet panic=-1 rdinit=/bin/bash -- /selftest/run.sh"
        machine = qemu.Machine(qemu.Direct(linux.image, initramfs, command), memory=MEMORY)
        words = qemu.command(machine, qemu.accelerator())
        log.step("running the kernel's own tests in a guest, some minutes")
        log_file = cache.directory("log") / "selftest.log"
        with log_file.open("wb") as output:
            subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=output, check=False, timeout=SECONDS
            )
    told = log_file.read_text(errors="replace").replace("\r", "")
    if "=== done" not in told:
        log.die("the guest ended before its tests did", hint=f"what it said is {log_file}")
    return tuple(outcomes(told))


def outcomes(told: str) -> Iterator[Outcome]:
    """What a guest said, test by test (log_test of the scripts); several runs of one are joined.

    A check has failed where it failed and in no run passed.
    """
    runs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for match in re.finditer(r"^=== (\S+) (\S+)\n(.*?)^=== \1 \2 ended", told, re.M | re.S):
        script, test, output = match.groups()
        said = re.findall(r"TEST: (.*?) *\[ *(OK|FAIL|XFAIL) *\]", output)
        runs.setdefault((script, test), []).extend(said)
    for (script, test), said in runs.items():
        passed = dict.fromkeys(what for what, how in said if how != "FAIL")
        failed = dict.fromkeys(what for what, how in said if how == "FAIL" and what not in passed)
        yield Outcome(script, test, tuple(passed), tuple(failed))


def listed() -> list[tuple[str, str]]:
    """Script and test of each that is run, in order, as often as it is run."""
    runs = tomllib.loads((FOLDER / "tests.toml").read_text())["run"]
    return [
        (one["script"], test)
        for one in runs
        for _ in range(one.get("times", 1))
        for test in one["tests"]
    ]


def left_out() -> list[tuple[str, str, str]]:
    """Script and test of each that is not run, and what of this kernel's gaps it asks for."""
    data = tomllib.loads((FOLDER / "tests.toml").read_text())["left_out"]
    return [(one["script"], test, one["reason"]) for one in data for test in one["tests"]]


def _scripts(origin: source.Source) -> Path:
    """The folder of the tests, unpacked from the source, with its C program compiled."""
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
    place = mkosi.place(f"selftest-{mkosi.key(FOLDER, [FOLDER / 'mkosi.conf'])}")
    made = place / "selftest.cpio.zst"
    if not made.exists():
        log_file = cache.directory("log") / "mkosi-selftest.log"
        mkosi.build(maker, FOLDER, place, what="making a guest for the tests", log_file=log_file)
    return made


def _archive(scripts: Path, folder: Path) -> bytes:
    """Scripts and what runs them, packed, to follow the base."""
    files = {path.name: path.read_bytes() for path in scripts.glob("*.sh")}
    files |= {f"lib/sh/{path.name}": path.read_bytes() for path in scripts.glob("lib/sh/*.sh")}
    files |= {name: (FOLDER / name).read_bytes() for name in ("run.sh", "ip")}
    files["nettest"] = (scripts / "nettest").read_bytes()
    files["tests"] = "".join(f"{script} {test}\n" for script, test in listed()).encode()
    packed = folder / "scripts.cpio"
    packed.write_bytes(archive("selftest", {n: d for n, d in files.items() if "/" not in n}))
    deeper = {name.rpartition("/")[2]: data for name, data in files.items() if "/" in name}
    packed.write_bytes(packed.read_bytes() + archive("selftest/lib/sh", deeper))
    zstd = shutil.which("zstd") or log.die("there is no command zstd", hint="`make deps`")
    subprocess.run([zstd, "--quiet", packed], check=True)
    return packed.with_suffix(".cpio.zst").read_bytes()
