"""How many of the kernel's known flaws were in code that a kernel does not contain.

In: `cves.txt`, which says where its numbers are from, and the files that a kernel is built
from.  Out: counts.  A flaw counts as contained where any place that its fix touches is.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("cves.txt")
CODE = (".c", ".S", ".rs")
NETFILTER = "netfilter"


@dataclass(frozen=True)
class CveCounts:
    """`groups`: how many flaws touch exactly these places (a folder ends in a slash)."""

    source: str
    date: str
    years: str
    groups: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(number for number, _ in self.groups)

    @property
    def netfilter(self) -> int:
        """Those of the packet filter: a place of theirs has netfilter in its path."""
        return sum(
            number for number, places in self.groups if any(NETFILTER in place for place in places)
        )

    def contained(self, files: Set[str]) -> int:
        """Those of which a kernel built from `files` has a part."""
        folders = {f"{name.rpartition('/')[0]}/" for name in files}
        return sum(
            number
            for number, places in self.groups
            if any(_is_in(place, files, folders) for place in places)
        )


def read() -> CveCounts:
    """The numbers of `cves.txt`."""
    head: dict[str, str] = {}
    groups = []
    for line in DATA.read_text().splitlines():
        if line.startswith("#"):
            key, equals, value = line.removeprefix("# ").partition(" = ")
            if equals:
                head[key] = value
        else:
            number, *places = line.split()
            groups.append((int(number), tuple(places)))
    return CveCounts(head["source"], head["date"], head["years"], tuple(groups))


def _is_in(place: str, files: Set[str], folders: Set[str]) -> bool:
    """Headers and the like are taken to be in every kernel."""
    if place.endswith("/"):
        return place in folders or _is_headers(place)
    return place in files or not place.endswith(CODE)


def _is_headers(folder: str) -> bool:
    return folder.startswith("include/") or "/include/" in folder
