"""The source of a kernel: a Debian package, or a tar archive of kernel.org.

In: one word, $KERNEL.  Out: a Source: its name, its version, and a way to unpack it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from factory import log
from factory.debian import archive

DEFAULT = "linux-source-6.12@trixie"
HINT = (
    "KERNEL=linux-source-VERSION@SUITE takes a source package of Debian, "
    "KERNEL=FILE@sha256:DIGEST a tar archive of kernel.org"
)

_PACKAGE = re.compile(r"(linux-source-[\d.]+)@([a-z-]+)")
_TARBALL = re.compile(r"(.+)@sha256:([0-9a-f]{64})")
_VERSION = re.compile(r"linux-(\d+\.\d+(?:\.\d+)?(?:-rc\d+)?)\.tar\.(?:xz|gz|zst|bz2)")


@dataclass(frozen=True)
class Source:
    """A verified source on this host; `file` is its package or archive."""

    name: str
    version: str
    file: Path

    def unpack(self, tree: Path, log_file: Path, part: str | None = None) -> None:
        """Unpack the kernel's source, or its folder `part`, into the empty folder `tree`."""
        packed = self.file
        if packed.suffix == ".deb":
            package = tree.parent / "package"
            what = f"unpacking {packed.name}"
            log.run(["dpkg-deb", "-x", packed, package], what=what, log=log_file)
            packed = package / "usr/src" / f"{self.name}.tar.xz"
        only = ["--wildcards", f"*/{part}"] if part else []
        log.run(
            ["tar", "-xf", packed, "-C", tree, "--strip-components=1", "--no-same-owner", *only],
            what=f"unpacking {packed.name}",
            log=log_file,
        )


def choose(word: str) -> Source:
    """The source that `word` names; DEFAULT where it is empty.

    A package is the newest of its name in the suite, with a verified signature.  Ends the program
    where the word names neither, where there is no such file, or where the digest differs.
    """
    word = word or DEFAULT
    if package := _PACKAGE.fullmatch(word):
        name, suite = package.groups()
        deb = archive.fetch_deb(name, (suite,))
        return Source(name, deb.version, deb.path)
    if tarball := _TARBALL.fullmatch(word):
        return _tarball(Path(tarball[1]), tarball[2])
    return log.die(f"{word!r} names no kernel source", hint=HINT)


def _tarball(file: Path, digest: str) -> Source:
    version = _VERSION.fullmatch(file.name)
    if version is None:
        log.die(
            f"{file.name} does not have a name of kernel.org, such as linux-6.12.60.tar.xz",
            hint=HINT,
        )
    if not file.is_file():
        log.die(f"there is no file {file}")
    with file.open("rb") as opened:
        actual = hashlib.file_digest(opened, "sha256").hexdigest()
    if actual != digest:
        log.die(
            f"{file} has the SHA-256 {actual}, not the one in $KERNEL",
            hint="kernel.org lists those of its releases in sha256sums.asc, signed",
        )
    return Source("linux", version[1], file)
