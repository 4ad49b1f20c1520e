"""Files that others read meanwhile: whole, or as they were before.

In: a path and bytes.  Out: the file.
"""

from __future__ import annotations

import os


def atomic_write(path: str, data: bytes) -> None:
    """Put the data there at once; of two who do this at a time, one is the last. Raises OSError."""
    beside = f"{path}.{os.getpid()}"
    with open(beside, "wb") as file:  # noqa: PTH123  pathlib is not in the image
        file.write(data)
    os.replace(beside, path)  # noqa: PTH105
