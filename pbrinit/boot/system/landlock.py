"""Landlock: what this process, and all that it starts, may do with files, signals and sockets.

In: nothing.  Out: this process restricted, as far as the kernel can.  A second wall behind
what `mounts` leaves out.  Source: Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import struct

from pbrinit.boot.system import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH = 1, 1

RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights of files each version knows, beginning with LANDLOCK_ACCESS_FS_EXECUTE."""

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK, TRUNCATE, IOCTL_DEV = 1 << 6, 1 << 11, 1 << 14, 1 << 15
SCOPES, SCOPED = 6, 0b11
"""From this version on: abstract Unix sockets and signals of others are out of reach."""

LOOK = EXECUTE | READ_FILE | READ_DIR
PLACES = (
    ("/", LOOK),
    ("/dev", READ_FILE | WRITE_FILE | READ_DIR | IOCTL_DEV),
    ("/tmp", ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)),  # noqa: S108  a program's own
    ("/run", ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)),
)
"""What may be done beneath a folder, besides what may beneath the folders above it."""


def abi_version() -> int:
    """What the kernel knows of it; 0 where it knows nothing."""
    try:
        return syscalls.syscall(CREATE_RULESET, 0, 0, VERSION_FLAG)
    except OSError:
        return 0


def restrict(places: Iterable[tuple[str, int]] = PLACES) -> None:
    """Restrict this process to these places, for good; no-new-privileges must be set. Raises
    OSError.
    """
    known = abi_version()
    if known == 0:
        return
    handled = (1 << max(count for since, count in RIGHTS.items() if since <= known)) - 1
    rules = struct.pack("=QQQ", handled, 0, SCOPED if known >= SCOPES else 0)
    ruleset = syscalls.syscall(CREATE_RULESET, _address(rules), len(rules), 0)
    for path, rights in places:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        beneath = struct.pack("=Qi", rights & handled, folder)
        syscalls.syscall(ADD_RULE, ruleset, PATH_BENEATH, _address(beneath), 0)
        os.close(folder)
    syscalls.syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
