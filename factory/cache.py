"""Where downloads, tools and compiled kernels are kept between builds and clones.

In: the environment.  Out: paths below one directory outside the tree.
"""

from __future__ import annotations

import os
from pathlib import Path


def directory(*parts: str) -> Path:
    """A directory of the cache, made where it does not exist.

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
