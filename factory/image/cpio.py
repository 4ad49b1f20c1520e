"""cpio archives, which the kernel unpacks one over the other into its first root file system.

In: entries, or an archive.  Out: an archive in the `newc` format, or the names in one.
Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

MAGIC = b"070701"
HEADER_SIZE = 110
END = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """A file, a folder or a symbolic link; the `data` of a link is its target, `mode` has the type.

    `name` is the path without its first slash.
    """

    name: str
    mode: int
    data: bytes = b""
    uid: int = 0
    gid: int = 0


def pack(entries: Iterable[Entry], time: int) -> bytes:
    """An archive of the entries, in this order, all with the same date in seconds since 1970."""
    parts = [_entry(number, entry, time) for number, entry in enumerate(entries, 1)]
    return b"".join([*parts, _entry(0, Entry(END, 0), 0)])


def with_folders(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted by name, with entries for all folders, each before its contents."""
    by_name = {entry.name: entry for entry in entries}
    for entry in list(by_name.values()):
        for parent in list(PurePosixPath(entry.name).parents)[:-1]:
            by_name.setdefault(str(parent), Entry(str(parent), stat.S_IFDIR | 0o755))
    return [by_name[name] for name in sorted(by_name)]


def names(data: bytes) -> Iterator[str]:
    """The names in all archives in `data`, which follow one another."""
    at = 0
    while at + HEADER_SIZE <= len(data):
        if data[at : at + len(MAGIC)] != MAGIC:
            at += 4  # padding at the end of an archive
            continue
        size, length = (int(data[at + n : at + n + 8], 16) for n in (54, 94))
        name = data[at + HEADER_SIZE : at + HEADER_SIZE + length - 1].decode()
        at = _aligned(_aligned(at + HEADER_SIZE + length) + size)
        if name != END:
            yield name.removeprefix("./")


def _entry(inode: int, entry: Entry, time: int) -> bytes:
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    path = entry.name.encode() + b"\0"
    size = len(entry.data)
    fields = (inode, entry.mode, entry.uid, entry.gid, links, time, size, 0, 0, 0, 0, len(path), 0)
    header = MAGIC + b"".join(b"%08X" % field for field in fields) + path
    return _padded(header) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(_aligned(len(data)) - len(data))


def _aligned(size: int) -> int:
    return (size + 3) & ~3
