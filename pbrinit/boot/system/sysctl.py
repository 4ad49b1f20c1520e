"""Sysctls: written, read back, compared.

In: (key, value) pairs, the key with slashes.  Out: nothing, or an OSError or a
`SysctlError` that names the key.
"""

from __future__ import annotations

import contextlib
import os

ROOT = "/proc/sys/"
LONGEST = 4096
"""No sysctl of a plan has more to say."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class SysctlError(Exception):
    """A sysctl that does not have the value that it was given."""


def write(sysctls: Iterable[tuple[str, str]]) -> None:
    """Write each, in order, and see that it is so.

    Raises OSError where the kernel refuses one, SysctlError where it takes another value.
    """
    for key, value in sysctls:
        with open(ROOT + key, "w") as file:  # noqa: PTH123  pathlib is not in the image
            file.write(value + "\n")
        actual = read(key)
        if actual != value:
            raise SysctlError(f"{key} is {actual!r} where it was set to {value!r}")


def write_present(sysctls: Iterable[tuple[str, str]]) -> None:
    """The same, but for those that are not there: the ones of a device come and go with it.

    Raises OSError, SysctlError.
    """
    for entry in sysctls:
        with contextlib.suppress(FileNotFoundError):
            write([entry])


def read(key: str) -> str:
    """The value as the kernel has it, without the line's end."""
    # Without a file's buffers: the guard of a hundred rooms reads 3,000 of them every 0.8 s.
    descriptor = os.open(ROOT + key, os.O_RDONLY)
    try:
        return os.read(descriptor, LONGEST).decode().removesuffix("\n")
    finally:
        os.close(descriptor)


def exists(key: str) -> bool:
    """Whether there is such a sysctl: those of a device go with it."""
    return os.path.exists(ROOT + key)  # noqa: PTH110


def is_readable(key: str) -> bool:
    """Whether who asks may read it: some are root's alone."""
    return os.access(ROOT + key, os.R_OK)


def differences(sysctls: Iterable[tuple[str, str]]) -> list[str]:
    """What is not as it should be, a sentence each."""
    return [
        f"{key} is {found!r} and should be {value!r}"
        for key, value in sysctls
        if (found := read(key)) != value
    ]
