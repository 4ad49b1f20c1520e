"""Where downloads, tools and compiled kernels are kept between builds and clones.

In: the environment.  Out: paths below one directory outside the tree.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory import log


def directory(*parts: str) -> Path:
    """A directory of the cache; it is created if it does not exist.

    The cache is $PBRINIT_CACHE, else $XDG_CACHE_HOME/pbrinit, else ~/.cache/pbrinit
    (XDG Base Directory Specification).
    """
    base = os.environ.get("PBRINIT_CACHE")
    if base is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = str(Path(home) / "pbrinit")
    path = Path(base).absolute().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the lock of `directory`, after waiting for whoever has it (flock(2)).

    The kernel drops the lock with the process, so a killed build leaves nothing to clean up.
    """
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.step(f"waiting for another build that works in {directory}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
