"""Which source a kernel is made from, by one word."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from factory.debian import archive
from factory.kernel import source


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """What the archive was asked for."""
    found: list[tuple[str, tuple[str, ...]]] = []

    def fetch(package: str, suites: tuple[str, ...]) -> archive.Deb:
        found.append((package, tuple(suites)))
        return archive.Deb(package, "6.12.118-1", Path("/cache/the.deb"))

    monkeypatch.setattr(archive, "fetch_deb", fetch)
    return found


def tarball(folder: Path, name: str = "linux-6.18.3.tar.xz") -> tuple[Path, str]:
    """A tar archive as kernel.org makes them, with its digest."""
    (folder / "linux-6.18.3").mkdir()
    (folder / "linux-6.18.3/Makefile").write_text("VERSION = 6\n")
    subprocess.run(["tar", "-cJf", folder / name, "-C", folder, "linux-6.18.3"], check=True)
    return folder / name, hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_nothing_named_means_the_stable_releases_long_term_series(
    asked: list[tuple[str, tuple[str, ...]]],
) -> None:
    assert source.choose("").version == "6.12.118-1"
    assert asked == [("linux-source-6.12", ("trixie",))]


def test_a_newer_package_is_named_with_its_suite(
    asked: list[tuple[str, tuple[str, ...]]],
) -> None:
    source.choose("linux-source-7.2@trixie-backports")
    assert asked == [("linux-source-7.2", ("trixie-backports",))]


def test_a_kernel_org_archive_is_taken_by_its_digest_and_unpacked(tmp_path: Path) -> None:
    file, digest = tarball(tmp_path)
    found = source.choose(f"{file}@sha256:{digest}")
    assert (found.name, found.version) == ("linux", "6.18.3")
    tree = tmp_path / "tree"
    tree.mkdir()
    found.unpack(tree, tmp_path / "log")
    assert (tree / "Makefile").read_text() == "VERSION = 6\n"


def test_an_archive_of_another_digest_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, digest = tarball(tmp_path)
    with pytest.raises(SystemExit):
        source.choose(f"{file}@sha256:{'0' * 64}")
    assert f"has the SHA-256 {digest}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "word",
    ["6.18", "linux-source-6.12", "linux-6.18.tar.xz", "linux-image-6.12@trixie"],
)
def test_a_word_that_names_no_source_is_explained(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        source.choose(word)
    assert caught.value.code == 2
    assert "KERNEL=linux-source-VERSION@SUITE" in capsys.readouterr().err


def test_an_archive_that_is_not_named_by_its_version_is_refused(tmp_path: Path) -> None:
    file, digest = tarball(tmp_path, "kernel.tar.xz")
    with pytest.raises(SystemExit):
        source.choose(f"{file}@sha256:{digest}")
