"""Archives: what an outside judge unpacks is what went in."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from factory.image import cpio
from factory.image.cpio import Entry

FILE, LINK = stat.S_IFREG, stat.S_IFLNK
ENTRIES = [
    Entry("usr/bin/tool", FILE | 0o755, b"\x7fELF"),
    Entry("etc/secret", FILE | 0o440, b"key", gid=1001),
    Entry("usr/bin/other", LINK | 0o777, b"tool"),
]


def test_files_links_and_their_folders_are_unpacked(tmp_path: Path) -> None:
    tool = shutil.which("cpio") or pytest.fail("this test needs cpio: apt-get install cpio")
    subprocess.run(
        [tool, "--extract", "--quiet", "--no-preserve-owner"],
        input=cpio.pack(cpio.with_folders(ENTRIES), 0),
        cwd=tmp_path,
        check=True,
    )
    assert (tmp_path / "usr/bin/other").readlink() == Path("tool")
    assert (tmp_path / "usr/bin/other").read_bytes() == b"\x7fELF"
    assert stat.S_IMODE((tmp_path / "usr/bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "etc").stat().st_mode) == 0o755


def test_owners_and_dates_are_as_given() -> None:
    tool = shutil.which("cpio") or pytest.fail("this test needs cpio: apt-get install cpio")
    listing = subprocess.run(
        [tool, "--list", "--verbose", "--numeric-uid-gid", "--quiet"],
        input=cpio.pack(ENTRIES, 0),
        check=True,
        capture_output=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    ).stdout.decode()
    line = next(line.split() for line in listing.splitlines() if "secret" in line)
    assert line[0] == "-r--r-----"
    assert line[2:4] == ["0", "1001"]
    assert "1970" in line


def test_the_names_of_archives_that_follow_one_another_are_read() -> None:
    first, second = cpio.pack(ENTRIES[:1], 7), cpio.pack(ENTRIES[1:], 7)
    filled = first + bytes(512 - len(first) % 512) + second
    assert list(cpio.names(filled)) == [entry.name for entry in ENTRIES]


def test_the_same_entries_are_the_same_bytes() -> None:
    assert cpio.pack(ENTRIES, 7) == cpio.pack(ENTRIES, 7)
