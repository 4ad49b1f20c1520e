"""The garbage collector, kept from what takes hundreds of thousands of values and has no cycles.

In: nothing.  Out: `paused`, a context in which no cycles are looked for.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Look for no cycles meanwhile: a plan has none in its hundred thousands of values, and the
    search takes as long as all the rest.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
