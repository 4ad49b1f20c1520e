"""The review on a terminal.

In: a Review.  Out: tables on standard output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from factory.review.review import Review

KINDS = {"kconfig": "options", "cmdline": "command line", "sysctl": "sysctls"}
LARGEST = 12


def show(review: Review) -> None:
    """Print the review."""
    console = Console()
    console.print(
        f"\n[bold]Linux {review.version}[/], variant {review.variant}, from {review.source}, "
        f"{review.size / 1e6:.2f} MB compressed, {review.kernels[0].modules} modules\n"
    )
    console.print(_options(review))
    console.print(_hardening(review))
    console.print(_open(review))
    console.print(_comparison(review))
    console.print(_code(review))
    _verdict(console, review)


def _options(review: Review) -> Table:
    table = _table("Options by purpose, each with its reason in kernel/", ("purpose", "on", "off"))
    for fragment in review.fragments:
        off = sum(option.value == "n" for option in fragment.options)
        on = len(fragment.options) - off
        table.add_row(f"[bold]{fragment.file}[/] {fragment.purpose}", str(on), str(off))
    table.add_row(
        "selected by those, or defaults of Kconfig", str(len(review.selected_options)), ""
    )
    return table


def _hardening(review: Review) -> Table:
    columns = ("checks of kernel-hardening-checker", "met", "explained", "unexplained")
    table = _table("Hardening", columns)
    for kind, title in KINDS.items():
        checks = [check for check in review.checks if check.kind == kind]
        met = sum(check.met for check in checks)
        explained = sum(not check.met and bool(check.reason) for check in checks)
        unexplained = len(checks) - met - explained
        table.add_row(title, str(met), str(explained), str(unexplained))
    return table


def _open(review: Review) -> Table:
    table = Table(title="Open, and why", title_justify="left", show_lines=True)
    table.add_column("check", overflow="fold")
    table.add_column("wanted", overflow="fold")
    table.add_column("reason", ratio=1)
    for check in review.open:
        table.add_row(check.name, check.wanted, check.reason or "[red]none[/]")
    return table


def _comparison(review: Review) -> Table:
    names = [kernel.name for kernel in review.kernels]
    table = _table("Compared", ("", *names))
    for title, row in comparison(review):
        table.add_row(title, *row)
    return table


def comparison(review: Review) -> list[tuple[str, list[str]]]:
    """Each criterion, and the numbers of the kernels as text."""
    kernels, counts = review.kernels, review.cves
    return [
        ("options on", [f"{kernel.options:,}" for kernel in kernels]),
        ("of these as modules", [f"{kernel.modules:,}" for kernel in kernels]),
        ("source files compiled", [f"{len(kernel.files):,}" for kernel in kernels]),
        ("lines of source compiled", [f"{sum(kernel.lines.values()):,}" for kernel in kernels]),
        (
            f"system calls, of {review.syscall_table_size}",
            [str(len(kernel.calls)) for kernel in kernels],
        ),
        ("hardening options met", [str(kernel.checks_met) for kernel in kernels]),
        ("hardening options open", [str(kernel.checks_open) for kernel in kernels]),
        (
            f"CVEs in code that it has, of {counts.total:,}",
            [f"{counts.contained(set(kernel.files)):,}" for kernel in kernels],
        ),
        (
            "of these netfilter's",
            [str(counts.netfilter if _has_netfilter(kernel.files) else 0) for kernel in kernels],
        ),
    ]


def _has_netfilter(files: Sequence[str]) -> bool:
    return any("/netfilter/" in name for name in files)


def _code(review: Review) -> Table:
    total = sum(review.code.values())
    title = f"Code and constants in vmlinux: {total / 1e6:.2f} MB"
    table = _table(title, ("subsystem", "kB", "%"))
    largest = list(review.code.items())[:LARGEST]
    rest = total - sum(size for _, size in largest)
    for name, size in [*largest, ("the others", rest)]:
        table.add_row(name, f"{size / 1e3:,.0f}", f"{100 * size / total:.0f}")
    return table


def _verdict(console: Console, review: Review) -> None:
    for finding in review.findings:
        console.print(f"[red]unexplained:[/] {finding}")
    for difference in review.differences:
        console.print(f"[red]not reviewed:[/] {difference}", highlight=False)
    if review.is_good:
        console.print("[green]0 unexplained, and everything is reviewed.[/]")
    elif review.differences:
        console.print(
            "Read the differences, then run `make review ACCEPT=1` and commit the change."
        )


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table
