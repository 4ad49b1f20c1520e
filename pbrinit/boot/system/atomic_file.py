"""Files that others read meanwhile: whole, or as they were before.

In: a path and bytes.  Out: the file; and of a file its bytes, whatever somebody put in its place.
"""

from __future__ import annotations

import errno
import os
import stat


def atomic_write(path: str, data: bytes) -> None:
    """Put the data there at once; of two who do this at a time, one is the last. Raises OSError."""
    beside = f"{path}.{os.getpid()}"
    try:
        with open(beside, "wb") as file:  # noqa: PTH123  pathlib is not in the image
            file.write(data)
        os.replace(beside, path)  # noqa: PTH105
    except OSError:
        _remove(beside)
        raise


def write_report(path: str, data: bytes) -> bool:
    """The same for what only informs; whether it was written.  A file system that is full must not
    end a process that guards the machine.
    """
    try:
        atomic_write(path, data)
    except OSError:
        return False
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return


def read(path: str, most: int) -> bytes:
    """The first bytes of a file, at most so many. Never waits: a pipe or a device in its place is
    an error, as it is at a path that cannot be read.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", path)
        pieces = []
        while most > 0 and (piece := os.read(descriptor, most)):
            pieces.append(piece)
            most -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)
