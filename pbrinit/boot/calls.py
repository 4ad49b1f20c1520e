"""The system calls that Python has no function for, by their names in the manual.

In: plain values.  Out: nothing, or an OSError that names the call and what it was about.
ctypes is the only way to them that Python's library offers.
"""

from __future__ import annotations

import ctypes
import os

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
RB_AUTOBOOT = 0x01234567
RB_POWER_OFF = 0x4321FEDC
RB_DISABLE_CAD = 0
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2): a file system of `kind` at `target`."""
    done = libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(done, f"mount {kind} at {target}")


def reboot(command: int) -> None:
    """reboot(2): with RB_AUTOBOOT or RB_POWER_OFF it does not return."""
    _check(libc.reboot(ctypes.c_int(command)), "reboot")


def die_with_parent(signal: int) -> None:
    """prctl(2), PR_SET_PDEATHSIG: this process gets `signal` when its parent ends."""
    _check(libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0), "prctl")


def syscall(number: int) -> None:
    """syscall(2) with zeros for arguments."""
    zero = ctypes.c_ulong(0)
    if libc.syscall(ctypes.c_long(number), zero, zero, zero, zero, zero, zero) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _check(result: int, about: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
