"""What kernel-hardening-checker says of a kernel, and why what is open is open.

In: a `.config`, a command line, sysctls; `explained.toml`.  Out: a Check for each of its checks,
and a finding for each that is open without a reason or explained without need.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from factory import cache, log
from factory.debian import archive
from factory.kernel import fragments

PACKAGE = "kernel-hardening-checker"
SUITE = "sid"
PINNED = "0.6.17."
"""What it checks, and what it calls it, is new with each version, and is to be read then."""

EXPLAINED = Path(__file__).with_name("hardening_exceptions.toml")
MAIN = "from kernel_hardening_checker import main; main()"


@dataclass(frozen=True)
class Check:
    """One check; `kind` is kconfig, cmdline or sysctl. `reason` is ours, where it is not met."""

    kind: str
    name: str
    wanted: str
    source: str
    found: str
    met: bool
    reason: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why a check is not met, and the option that must be off for that to be true."""

    name: str
    wanted: str | None
    reason: str
    off: str | None

    def fits(self, check: Check) -> bool:
        """Whether it is about this check."""
        return self.name == check.name and self.wanted in (None, check.wanted)


def checker() -> Path:
    """Where the pinned checker's Python modules are, fetched where the cache has them not."""
    deb = archive.fetch_deb(PACKAGE, (SUITE,))
    if not deb.version.startswith(PINNED):
        log.die(
            f"Debian has {PACKAGE} {deb.version}; this review is of {PINNED}x",
            hint=f"read what is new in it, then raise PINNED in {__file__}",
        )
    home = cache.directory("checker") / deb.version
    if not home.is_dir():
        with tempfile.TemporaryDirectory(dir=home.parent) as partial:
            subprocess.run(["dpkg-deb", "-x", deb.path, f"{partial}/checker"], check=True)
            Path(partial, "checker").replace(home)
    return home / "usr/lib/python3/dist-packages"


def ask(
    config: Path, cmdline: str = "", sysctls: Iterable[tuple[str, str]] = ()
) -> tuple[Check, ...]:
    """Every check's result, none explained yet. `sysctls` are keys with slashes, and values.

    What is not given is not checked.
    """
    home = checker()
    with tempfile.TemporaryDirectory(prefix="pbrinit-check-") as name:
        given = Path(name)
        files: list[str | Path] = ["-c", config]
        lines = "".join(f"{key.replace('/', '.')} = {value}\n" for key, value in sysctls)
        for option, text in (("-l", cmdline), ("-s", lines)):
            if text:
                (given / option).write_text(text.rstrip() + "\n")
                files += [option, given / option]
        told = subprocess.run(
            [sys.executable, "-c", MAIN, "-m", "json", *files],
            env={"PYTHONPATH": str(home)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    return tuple(
        Check(
            kind=item["type"],
            name=item["option_name"],
            wanted=item["desired_val"],
            source=item["decision"],
            found=item["check_result"].removeprefix("OK: ").removeprefix("FAIL: "),
            met=item["check_result_bool"],
        )
        for item in json.loads(told)
    )


def explanations(variant: str, series: fragments.Series) -> tuple[Explanation, ...]:
    """Those of `explained.toml` that are about a variant and a series of kernels."""
    always = ("0.0", "1000000.0")
    return tuple(
        Explanation(entry["name"], entry.get("wanted"), entry["reason"], entry.get("off"))
        for entry in tomllib.loads(EXPLAINED.read_text())["check"]
        if variant in entry.get("variants", [variant])
        and fragments.series(entry.get("since", always[0]))
        <= series
        < fragments.series(entry.get("until", always[1]))
    )


def explain(
    checks: Iterable[Check], explained: Sequence[Explanation], config: dict[str, str]
) -> tuple[tuple[Check, ...], list[str]]:
    """The checks with their reasons, and a finding for each that is wrong about them.

    `config` is what the `.config` sets: an explanation whose option is on there is none.
    """
    findings: list[str] = []
    result = []
    used: set[Explanation] = set()
    for check in checks:
        fitting = [one for one in explained if not check.met and one.fits(check)]
        used.update(fitting)
        for one in fitting:
            if one.off and config.get(one.off, "n") != "n":
                findings.append(f"{check.name}: the reason says that {one.off} is off; it is on")
        if not check.met and not fitting:
            findings.append(
                f"{check.name}: {check.source} wants {check.wanted}; {check.found}; no reason given"
            )
        result.append(replace(check, reason=" ".join(one.reason for one in fitting)))
    findings += [
        f"{one.name}: explained in {EXPLAINED.name}, and met or not asked: take it out"
        for one in explained
        if one not in used
    ]
    return tuple(result), findings
