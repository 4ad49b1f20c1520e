"""The review as an HTML page that needs no network.

In: a Review.  Out: HTML, in one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from factory.review.table import KINDS, comparison

if TYPE_CHECKING:
    from factory.kernel.fragments import Option
    from factory.review.review import Review

STYLE = Path(__file__).with_name("page.css")
LARGEST = 16
ALWAYS = {"net/core", "net/ipv4", "net/ipv6", "netfilter", "net/sched", "net/bluetooth"}
"""Subsystems that are compared even if they are small."""

SECTIONS = {
    "compared": "Compared with Debian",
    "hardening": "Hardening",
    "code": "Code by subsystem",
    "calls": "System calls",
    "flaws": "Known vulnerabilities",
    "options": "What is on, and why",
    "off": "What is off, and why",
    "given": "Command line and sysctls",
    "follows": "Selected by others",
}


def page(review: Review) -> str:
    """The page."""
    title = f"Linux {review.version}, variant {review.variant}"
    parts = {
        "compared": _compared(review),
        "hardening": _hardening(review),
        "code": _code(review),
        "calls": _calls(review),
        "flaws": _cves(review),
        "options": _options(review, on=True),
        "off": _options(review, on=False),
        "given": _given(review),
        "follows": _selected_options(review),
    }
    links = "".join(f'<a href="#{name}">{text}</a>' for name, text in SECTIONS.items())
    sections = "".join(
        f'<h2 id="{name}">{text}</h2>{parts[name]}' for name, text in SECTIONS.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text()}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>From {escape(review.source)}. Everything here is read from "
        "the kernel that was built and from its source; <code>make review</code> makes it.</p>"
        f"{_findings(review)}{_cards(review)}<nav>{links}</nav>{sections}</body></html>\n"
    )


def _findings(review: Review) -> str:
    lines = [f"Unexplained: {finding}" for finding in review.findings]
    lines += [f"Not reviewed: {difference}" for difference in review.differences]
    return "".join(f'<p class="bad">{escape(line)}</p>' for line in lines)


def _cards(review: Review) -> str:
    own, counts = review.kernels[0], review.cves
    absent = 1 - counts.contained(set(own.files)) / counts.total
    explained = sum(bool(check.reason) for check in review.open)
    cards = (
        (str(len(review.findings)), "checks unexplained", "bad" if review.findings else "good"),
        (f"{len(review.checks) - len(review.open)}", f"checks met, {explained} explained", ""),
        (f"{review.size / 1e6:.2f} MB", f"compressed, {own.modules} modules", ""),
        (f"{len(own.calls)}", f"system calls of {review.syscall_table_size}", ""),
        (f"{absent:.0%}", f"of {counts.total:,} CVEs are in code it does not have", ""),
    )
    body = "".join(
        f'<div class="card {kind}"><b>{number}</b><span>{text}</span></div>'
        for number, text, kind in cards
    )
    return f'<div class="cards">{body}</div>'


def _compared(review: Review) -> str:
    names = [kernel.name for kernel in review.kernels]
    rows = [(title, *values) for title, values in comparison(review)]
    return (
        "<p>Debian's configurations of the stable release, on Debian's source. Files, lines and "
        "system calls of Debian's are counted from the source by its Makefiles; ours are those "
        f"that the compiler read.</p>{_numbers(('', *names), rows)}{_lines(review)}"
    )


def _lines(review: Review) -> str:
    """Lines of source of each kernel, by subsystem, on one scale."""
    largest = sorted(
        {name for kernel in review.kernels for name in kernel.lines},
        key=lambda name: -max(kernel.lines.get(name, 0) for kernel in review.kernels),
    )
    largest = [name for place, name in enumerate(largest) if place < LARGEST or name in ALWAYS]
    top = max(kernel.lines.get(name, 0) for kernel in review.kernels for name in largest)
    body = []
    for name in largest:
        body.append(f'<b class="head">{escape(name)}</b>')
        for place, kernel in enumerate(review.kernels):
            lines = kernel.lines.get(name, 0)
            body.append(_bar(kernel.name, lines, top, f"{lines:,}", ours=place == 0))
    what = "Lines of source compiled, of the largest subsystems and of the network:"
    return f'<p>{what}</p><div class="bars">{"".join(body)}</div>'


def _hardening(review: Review) -> str:
    rows = []
    for kind, title in KINDS.items():
        checks = [check for check in review.checks if check.kind == kind]
        met = sum(check.met for check in checks)
        explained = sum(not check.met and bool(check.reason) for check in checks)
        rows.append((title, str(met), str(explained), str(len(checks) - met - explained)))
    numbers = _numbers(("kernel-hardening-checker", "met", "explained", "unexplained"), rows)
    reasons = _reasons(
        ("open", "reason"),
        (
            (f"<code>{escape(check.name)}</code> wanted {escape(check.wanted)}", check.reason)
            for check in review.open
        ),
    )
    return numbers + reasons


def _code(review: Review) -> str:
    total = sum(review.code.values())
    shown = list(review.code.items())[:LARGEST]
    rest = total - sum(size for _, size in shown)
    top = max(review.code.values())
    body = "".join(
        _bar(name, size, top, f"{size / 1e3:,.0f} kB", ours=True)
        for name, size in [*shown, ("the others", rest)]
    )
    return (
        f"<p>{total / 1e6:.2f} MB of code and constants in vmlinux, by the objects that were "
        f'linked.</p><div class="bars">{body}</div>'
    )


def _calls(review: Review) -> str:
    own = set(review.kernels[0].calls)
    other = set(review.kernels[1].calls)
    missing = " ".join(sorted(other - own))
    present = " ".join(sorted(own))
    return (
        f"<p>{len(other - own)} that Debian's kernel has and this one has not:</p>"
        f"<p><code>{escape(missing)}</code></p>"
        f"<details><summary>{len(own)} that it has</summary><p><code>{escape(present)}</code></p>"
        "</details>"
    )


def _cves(review: Review) -> str:
    counts = review.cves
    share = counts.netfilter / counts.total
    rows = [
        (kernel.name, counts.contained(set(kernel.files)), counts.total)
        for kernel in review.kernels
    ]
    body = "".join(
        _bar(name, number, top, f"{number:,}", ours=place == 0)
        for place, (name, number, top) in enumerate(rows)
    )
    return (
        f"<p>Of {counts.total:,} CVEs, {escape(counts.source)}, {escape(counts.date)}, those whose "
        "fix touches code that the kernel has. A folder or a header that is used counts as "
        f"a whole.</p>"
        f'<div class="bars">{body}</div>'
        f"<p>Netfilter's own share is {counts.netfilter}, {share:.1%}. What else its absence "
        "changes, and what the absence of other code changes, is the difference "
        f"of the bars.</p><p>By year of the identifier: {escape(counts.years)}.</p>"
    )


def _options(review: Review, *, on: bool) -> str:
    body = []
    for fragment in review.fragments:
        options = [option for option in fragment.options if (option.value != "n") is on]
        if options:
            rows = ((_option(option), option.reason) for option in options)
            body.append(
                f"<details><summary>{escape(fragment.purpose)} "
                f"<span>{len(options)}, {escape(fragment.file)}</span></summary>"
                f"{_reasons(('option', 'reason'), rows)}</details>"
            )
    return "".join(body)


def _option(option: Option) -> str:
    value = "" if option.value in ("y", "n") else f" = {option.value}"
    return f"<code>{escape(option.name + value)}</code>"


def _given(review: Review) -> str:
    words = ((f"<code>{escape(word.text)}</code>", word.reason) for word in review.parameters)
    sysctls = (
        (f"<code>{escape(key)} = {escape(value)}</code>", reason)
        for key, value, reason in review.sysctls
    )
    return _reasons(("command line", "reason"), words) + _reasons(("sysctl", "reason"), sysctls)


def _selected_options(review: Review) -> str:
    rows = (
        (
            f"<code>{name}</code>",
            f"selected by {', '.join(by)}" if by else "by a default of Kconfig",
        )
        for name, by in review.selected_options.items()
    )
    count = len(review.selected_options)
    return (
        f"<details><summary>{count} options that nobody chooses: they are on because "
        f"others are</summary>{_reasons(('option', 'why'), rows)}</details>"
    )


def _bar(name: str, value: float, top: float, text: str, *, ours: bool) -> str:
    kind = ' class="ours"' if ours else ""
    return (
        f'<b>{escape(name)}</b><i{kind} style="width:{100 * value / top:.1f}%"></i>'
        f"<span>{text}</span>"
    )


def _numbers(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(kind: str, row: Iterable[str]) -> Iterator[str]:
        for place, text in enumerate(row):
            number = ' class="number"' if place else ""
            yield f"<{kind}{number}>{escape(text)}</{kind}>"

    lines = "".join(f"<tr>{''.join(cells('td', row))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(cells("th", head))}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _reasons(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns, the first is HTML; one above the other on a narrow screen."""
    body = "".join(f"<tr><td>{what}</td><td>{escape(why)}</td></tr>" for what, why in rows)
    return (
        f'<table class="reasons"><thead><tr><th>{head[0]}</th><th>{head[1]}</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
