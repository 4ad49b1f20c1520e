"""The files that a policy is read from, as values, so that it is read again when they are gone.

In: a policy's file.  Out: bytes by name; and from these a file again, for a while.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.document import parse_document


class SourceError(Exception):
    """A file that does not stand beside its policy; the text says which."""


def lists(path: Path) -> Iterator[tuple[str, str]]:
    """The names of its networks that are files, and which files.

    Raises PolicyError.
    """
    networks = parse_document(path, Problems(str(path))).subtable("network")
    for name in networks.names():
        file = networks.subtable(name).string("file")
        if file is not None:
            yield name, file.text


def policy_and_lists(path: Path, called: str = "", taken: Iterable[str] = ()) -> dict[str, bytes]:
    """The policy, `called` by another name perhaps, and the files of its networks, itself first;
    none of these may have a name that is `taken`.

    Raises SourceError, PolicyError, OSError.
    """
    found = {called or path.name: path.read_bytes()}
    for name, file in lists(path):
        if Path(file).name != file or file in {called or path.name, *taken}:
            raise SourceError(f"network.{name}.file: {file} is not beside the policy")
        found[file] = (path.parent / file).read_bytes()
    return found


@contextmanager
def unfolded(files: Mapping[str, bytes]) -> Iterator[Path]:
    """The first of these files, the others beside it. Raises OSError."""
    folder = Path(f"/run/policy.{os.getpid()}")
    folder.mkdir(0o700)
    try:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        yield folder / next(iter(files))
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
