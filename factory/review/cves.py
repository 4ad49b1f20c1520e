"""How many of the kernel's CVEs are in code that a kernel contains.

In: `cves.txt`, which names its source, and the files that a kernel is built from.  Out: counts.  A
CVE counts as contained if the kernel has any of the files or folders that its fix touches.
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
    """`groups`: how many fixes touch exactly these files and folders (a folder ends in a slash)."""

    source: str
    date: str
    years: str
    groups: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def total(self) -> int:
        """The number of all CVEs."""
        return sum(number for number, _ in self.groups)

    @property
    def netfilter(self) -> int:
        """Those of the packet filter: a path that the fix touches contains netfilter."""
        return sum(
            number for number, places in self.groups if any(NETFILTER in place for place in places)
        )

    def contained(self, files: Set[str]) -> int:
        """The CVEs that a kernel built from `files` contains."""
        folders = {f"{name.rpartition('/')[0]}/" for name in files}
        return sum(
            number
            for number, places in self.groups
            if any(_is_in(place, files, folders) for place in places)
        )


def read() -> CveCounts:
    """The counts in `cves.txt`."""
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
    """Whether a kernel has a file or folder; headers and other files count as in every kernel."""
    if place.endswith("/"):
        return place in folders or _is_headers(place)
    return place in files or not place.endswith(CODE)


def _is_headers(folder: str) -> bool:
    return folder.startswith("include/") or "/include/" in folder
