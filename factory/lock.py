"""One holder at a time for a directory of the cache.

In: a directory.  Out: a context in which no other process of the factory works there.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory import log


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
