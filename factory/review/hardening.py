"""The results of kernel-hardening-checker, and the reasons for checks that are not met.

In: a `.config`, a command line, sysctls; `hardening_exceptions.toml`.  Out: a Check for each of its
checks, and a finding for each that is open without a reason, or explained without need.
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
"""Each version checks other things under other names, so a new one has to be read first."""

EXPLAINED = Path(__file__).with_name("hardening_exceptions.toml")
MAIN = "from kernel_hardening_checker import main; main()"


@dataclass(frozen=True)
class Check:
    """One check; `kind` is kconfig, cmdline or sysctl. `reason` is ours, for a check that is not
    met.
    """

    kind: str
    name: str
    wanted: str
    source: str
    found: str
    met: bool
    reason: str = ""


@dataclass(frozen=True)
class Explanation:
    """The reason why a check is not met; it only counts while the option `off` is off."""

    name: str
    wanted: str | None
    reason: str
    off: str | None

    def applies_to(self, check: Check) -> bool:
        """Whether it is the reason for this check."""
        return self.name == check.name and self.wanted in (None, check.wanted)


def checker() -> Path:
    """The folder of the pinned checker's Python modules, fetched where the cache does not have
    it.
    """
    deb = archive.fetch_deb(PACKAGE, (SUITE,))
    if not deb.version.startswith(PINNED):
        log.die(
            f"Debian has {PACKAGE} {deb.version}; this review is of {PINNED}x",
            hint=f"read its changes, then raise PINNED in {__file__}",
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
    """The result of every check, without reasons. `sysctls` are keys with slashes, and values.

    An empty command line is not checked, and neither are no sysctls.
    """
    home = checker()
    with tempfile.TemporaryDirectory(prefix="pbrinit-check-") as name:
        folder = Path(name)
        files: list[str | Path] = ["-c", config]
        lines = "".join(f"{key.replace('/', '.')} = {value}\n" for key, value in sysctls)
        for option, text in (("-l", cmdline), ("-s", lines)):
            if text:
                (folder / option).write_text(text.rstrip() + "\n")
                files += [option, folder / option]
        output = subprocess.run(
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
        for item in json.loads(output)
    )


def explanations(variant: str, series: fragments.Series) -> tuple[Explanation, ...]:
    """The reasons in `hardening_exceptions.toml` for a variant and a series of kernels."""
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
    """The checks with their reasons, and a finding for each check without a valid reason, and for
    each reason without a check.

    `config` has the values that the `.config` sets: a reason does not count if its option is on.
    """
    findings: list[str] = []
    result = []
    used: set[Explanation] = set()
    for check in checks:
        fitting = [
            explanation
            for explanation in explained
            if not check.met and explanation.applies_to(check)
        ]
        used.update(fitting)
        for explanation in fitting:
            if explanation.off and config.get(explanation.off, "n") != "n":
                findings.append(
                    f"{check.name}: the reason says that {explanation.off} is off; it is on"
                )
        if not check.met and not fitting:
            findings.append(
                f"{check.name}: {check.source} wants {check.wanted}; {check.found}; no reason given"
            )
        result.append(
            replace(check, reason=" ".join(explanation.reason for explanation in fitting))
        )
    findings += [
        f"{explanation.name}: explained in {EXPLAINED.name}, but met or not checked: remove it"
        for explanation in explained
        if explanation not in used
    ]
    return tuple(result), findings
