"""`make review`: asks everything about one kernel, and prints it as a table, JSON and a page.

In: a variant of the kernel.  Out: a `Review`, on standard output and in build/; exit status 1
where a check is unexplained or something was not reviewed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from factory import log
from factory.kernel import cmdline, contents, fragments
from factory.kernel.build import VARIANTS, Kernel, build_kernel, read_fragments
from factory.kernel.cmdline import Parameter
from factory.kernel.contents import KernelContents, Survey, subsystem
from factory.review import baseline, cves, debian_kernels, hardening, page, table
from factory.review.hardening import Check
from factory.review.review import Review
from pbrinit.boot.system.hardening import HARDENING
from pbrinit.compiler import sysctls

# Of the files that a kernel is built from; more would make the numbers of the others doubtful.
MISREAD = 0.01


# What the compiler of the day makes of Kconfig's questions about itself is no decision of ours.
OF_TOOLS = ("CC_", "GCC", "CLANG_", "AS_", "LD_", "LLD_", "RUSTC", "PAHOLE", "TOOLS_", "HAVE_KMSAN")


JSON_KEYS = {"selected_options": "follows", "syscall_table_size": "numbers", "cves": "flaws"}
"""What a field is called in JSON, where that is another name."""


def main(variant: str, *, as_json: bool, accept: bool) -> int:
    """Show the review of a variant; 1 where it is not good."""
    review = review_kernel(variant, accept=accept)
    path = Path("build") / ("review.html" if variant == VARIANTS[0] else f"review-{variant}.html")
    path.parent.mkdir(exist_ok=True)
    path.write_text(page.page(review))
    if as_json:
        print(json.dumps(_data(review), indent=2))
    else:
        table.show(review)
    log.step(f"the page is {path}")
    return 0 if review.is_good else 1


def review_kernel(variant: str, *, accept: bool = False) -> Review:
    """The review of a variant's kernel; `accept` takes its state for reviewed."""
    kernel = build_kernel(variant)
    series = fragments.series(kernel.version)
    applicable = fragments.of_series(read_fragments(variant), series)
    settings = fragments.settings(kernel.config.read_text())
    inside = contents.read(kernel.folder / "anatomy.json")
    selected: dict[str, tuple[str, ...]] = json.loads((kernel.folder / "selected.json").read_text())
    parameters = cmdline.read(variant)
    given = HARDENING + tuple((one.key, one.value, one.note) for one in sysctls.machine())
    checks, findings = hardening.explain(
        hardening.ask(
            kernel.config, cmdline.line(parameters), [(key, value) for key, value, _ in given]
        ),
        hardening.explanations(variant, series),
        settings,
    )
    misread: list[str] = json.loads((kernel.folder / "misread.json").read_text())
    if len(misread) > MISREAD * len(inside.sources):
        findings.append(
            f"{len(misread)} files and system calls of this kernel are read wrongly from its "
            f"Makefiles, so Debian's are too; the first is {misread[0]}"
        )
    facts = _facts(kernel, settings, parameters, checks, inside)
    if accept:
        baseline.accept(variant, facts)
    named = {option.name for fragment in applicable for option in fragment.options}
    return Review(
        variant=variant,
        source=kernel.source,
        version=kernel.version,
        size=kernel.image.stat().st_size,
        fragments=applicable,
        selected_options={
            name: tuple(selected.get(name, ()))
            for name, value in sorted(settings.items())
            if value == "y" and name not in named
        },
        parameters=parameters,
        sysctls=given,
        checks=checks,
        code=_code(inside),
        kernels=(_ours(kernel, settings, checks, inside), *debian_kernels.debian()),
        syscall_table_size=inside.syscall_table_size,
        cves=cves.read(),
        findings=tuple(findings),
        differences=tuple(baseline.differences(variant, facts)),
    )


def _ours(
    kernel: Kernel,
    settings: dict[str, str],
    checks: tuple[Check, ...],
    inside: KernelContents,
) -> Survey:
    options = [check for check in checks if check.kind == "kconfig"]
    return Survey(
        name=f"pbrinit {kernel.variant}",
        options=sum(value in ("y", "m") for value in settings.values()),
        modules=sum(value == "m" for value in settings.values()),
        files=tuple(name for name in inside.sources if name.endswith((".c", ".S"))),
        lines=inside.lines,
        calls=inside.calls,
        checks_met=sum(check.met for check in options),
        checks_open=sum(not check.met for check in options),
    )


def _code(inside: KernelContents) -> dict[str, int]:
    """Bytes of code and constants by subsystem, the largest first."""
    found: Counter[str] = Counter()
    for name, (text, _) in inside.objects.items():
        found[subsystem(name)] += text
    return dict(found.most_common())


def _facts(
    kernel: Kernel,
    settings: dict[str, str],
    parameters: tuple[Parameter, ...],
    checks: tuple[Check, ...],
    inside: KernelContents,
) -> list[str]:
    """What a reviewer has seen, a line each."""
    facts = [f"source {kernel.source}"]
    facts += [f"parameter {parameter.text}" for parameter in parameters]
    facts += [
        f"option {name}={value}"
        for name, value in settings.items()
        if not name.startswith(OF_TOOLS)
    ]
    facts += [f"open {check.name} {check.wanted}" for check in checks if not check.met]
    facts += [f"call {name}" for name in inside.calls]
    return facts


def _data(review: Review) -> dict[str, object]:
    """The review as JSON has it; the lists of files are left out, and counts stand for them."""
    data = {JSON_KEYS.get(name, name): value for name, value in asdict(review).items()}
    data["flaws"] = {
        "source": review.cves.source,
        "date": review.cves.date,
        "total": review.cves.total,
        "netfilter": review.cves.netfilter,
    }
    data["kernels"] = [
        {
            **{key: value for key, value in asdict(one).items() if key != "files"},
            "files": len(one.files),
            "flaws": review.cves.contained(set(one.files)),
        }
        for one in review.kernels
    ]
    return data
