"""What a reviewer decides by: a kernel's options with reasons, its checks, its size, compared.

In: a variant, whose kernel is built where the cache has it not.  Out: a Review, as a table, as
JSON and as a page; an exit status that is not 0 where something is open or was not reviewed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from factory import log
from factory.kernel import build, cmdline, contents
from factory.kernel import fragments as kconfig
from factory.kernel.cmdline import Parameter
from factory.kernel.contents import Anatomy
from factory.kernel.fragments import Fragment
from factory.review import baseline, cves, debian_kernels, hardening, table
from factory.review import page as review_page
from factory.review.cves import Flaws
from factory.review.debian_kernels import Survey
from factory.review.hardening import Check
from pbrinit.boot.system.hardening import HARDENING
from pbrinit.compiler import sysctls

# Of the files that a kernel is built from; more would make the numbers of the others doubtful.
MISREAD = 0.01

# What the compiler of the day makes of Kconfig's questions about itself is no decision of ours.
OF_TOOLS = ("CC_", "GCC", "CLANG_", "AS_", "LD_", "LLD_", "RUSTC", "PAHOLE", "TOOLS_", "HAVE_KMSAN")


@dataclass(frozen=True)
class Review:
    """Everything that table, JSON and page show."""

    variant: str
    source: str
    version: str
    size: int
    fragments: tuple[Fragment, ...]
    follows: dict[str, tuple[str, ...]]
    parameters: tuple[Parameter, ...]
    sysctls: tuple[tuple[str, str, str], ...]
    checks: tuple[Check, ...]
    code: dict[str, int]
    kernels: tuple[Survey, ...]
    numbers: int
    flaws: Flaws
    findings: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing is unexplained and nothing unreviewed."""
        return not self.findings and not self.differences

    @property
    def open(self) -> tuple[Check, ...]:
        """The checks that are not met."""
        return tuple(check for check in self.checks if not check.met)


def main(variant: str, *, as_json: bool, accept: bool) -> int:
    """Show the review of a variant; 1 where it is not good."""
    made = of(variant, accept=accept)
    page = Path("build") / (
        "review.html" if variant == build.VARIANTS[0] else f"review-{variant}.html"
    )
    page.parent.mkdir(exist_ok=True)
    page.write_text(review_page.page(made))
    if as_json:
        print(json.dumps(_data(made), indent=2))
    else:
        table.show(made)
    log.step(f"the page is {page}")
    return 0 if made.is_good else 1


def of(variant: str, *, accept: bool = False) -> Review:
    """The review of a variant's kernel; `accept` takes its state for reviewed."""
    made = build.build(variant)
    series = kconfig.series(made.version)
    fragments = kconfig.of_series(build.fragments(variant), series)
    settings = kconfig.settings(made.config.read_text())
    inside = contents.read(made.folder / "anatomy.json")
    selected: dict[str, tuple[str, ...]] = json.loads((made.folder / "selected.json").read_text())
    parameters = cmdline.read(variant)
    given = HARDENING + tuple((one.key, one.value, one.note) for one in sysctls.machine())
    checks, findings = hardening.explain(
        hardening.ask(
            made.config, cmdline.line(parameters), [(key, value) for key, value, _ in given]
        ),
        hardening.explanations(variant, series),
        settings,
    )
    misread: list[str] = json.loads((made.folder / "misread.json").read_text())
    if len(misread) > MISREAD * len(inside.sources):
        findings.append(
            f"{len(misread)} files and system calls of this kernel are read wrongly from its "
            f"Makefiles, so Debian's are too; the first is {misread[0]}"
        )
    facts = _facts(made, settings, parameters, checks, inside)
    if accept:
        baseline.accept(variant, facts)
    named = {option.name for fragment in fragments for option in fragment.options}
    return Review(
        variant=variant,
        source=made.source,
        version=made.version,
        size=made.image.stat().st_size,
        fragments=fragments,
        follows={
            name: tuple(selected.get(name, ()))
            for name, value in sorted(settings.items())
            if value == "y" and name not in named
        },
        parameters=parameters,
        sysctls=given,
        checks=checks,
        code=_code(inside),
        kernels=(_own(made, settings, checks, inside), *debian_kernels.debian()),
        numbers=inside.numbers,
        flaws=cves.read(),
        findings=tuple(findings),
        differences=tuple(baseline.differences(variant, facts)),
    )


def _own(
    made: build.Kernel, settings: dict[str, str], checks: tuple[Check, ...], inside: Anatomy
) -> Survey:
    options = [check for check in checks if check.kind == "kconfig"]
    return Survey(
        name=f"pbrinit {made.variant}",
        options=sum(value in ("y", "m") for value in settings.values()),
        modules=sum(value == "m" for value in settings.values()),
        files=tuple(name for name in inside.sources if name.endswith((".c", ".S"))),
        lines=inside.lines,
        calls=inside.calls,
        checks_met=sum(check.met for check in options),
        checks_open=sum(not check.met for check in options),
    )


def _code(inside: Anatomy) -> dict[str, int]:
    """Bytes of code and constants by subsystem, the largest first."""
    found: Counter[str] = Counter()
    for name, (text, _) in inside.objects.items():
        found[debian_kernels.subsystem(name)] += text
    return dict(found.most_common())


def _facts(
    made: build.Kernel,
    settings: dict[str, str],
    parameters: tuple[Parameter, ...],
    checks: tuple[Check, ...],
    inside: Anatomy,
) -> list[str]:
    """What a reviewer has seen, a line each."""
    facts = [f"source {made.source}"]
    facts += [f"parameter {parameter.text}" for parameter in parameters]
    facts += [
        f"option {name}={value}"
        for name, value in settings.items()
        if not name.startswith(OF_TOOLS)
    ]
    facts += [f"open {check.name} {check.wanted}" for check in checks if not check.met]
    facts += [f"call {name}" for name in inside.calls]
    return facts


def _data(made: Review) -> dict[str, object]:
    """The review as JSON has it; the lists of files are left out, and counts stand for them."""
    data = asdict(made)
    data["flaws"] = {
        "source": made.flaws.source,
        "date": made.flaws.date,
        "total": made.flaws.total,
        "netfilter": made.flaws.netfilter,
    }
    data["kernels"] = [
        {
            **{key: value for key, value in asdict(one).items() if key != "files"},
            "files": len(one.files),
            "flaws": made.flaws.contained(set(one.files)),
        }
        for one in made.kernels
    ]
    return data
