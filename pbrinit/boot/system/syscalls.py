"""The system calls that Python has no function for, by their names in the manual.

In: plain values.  Out: nothing, or an OSError that names the call and what it was about.
ctypes is the only way to them that Python's library offers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
EVERY_NAMESPACE = 0x7E020000
"""The flags of clone(2) that make a namespace: mount, cgroup, UTS, IPC, user, PID, network."""

RB_AUTOBOOT = 0x01234567
RB_POWER_OFF = 0x4321FEDC
RB_DISABLE_CAD = 0
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
POWER_OFF, REBOOT = 12, 15
"""What PID 1 is asked to end the machine by: SIGUSR2, SIGTERM (signal(7))."""

MOST_FILES = 4096
"""More than a program of PID 1's may have (supervise.LIMITS)."""

BPF = struct.Struct("=HBBI")
LOAD, EQUAL, NOT_BELOW, COMMON, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, ERROR = 0x7FFF0000, 0x00050000
AUDIT_ARCH_X86_64, X32_CALLS = 0xC000003E, 0x40000000
"""Of classic BPF (linux/filter.h): load a word, skip steps by whether it is equal, is not below, or
has a bit in common, return. Where the parts of a system call are (struct seccomp_data)."""

SOCKET, CLONE, UNSHARE, SETNS, CLONE3 = 41, 56, 272, 308, 435

libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2): a file system of `kind` at `target`."""
    done = libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(done, f"mount {kind} at {target}")


def unmount(target: str) -> None:
    """umount(2)."""
    _check(libc.umount2(target.encode(), 0), f"umount {target}")


def reboot(command: int) -> None:
    """reboot(2): with RB_AUTOBOOT or RB_POWER_OFF it does not return."""
    _check(libc.reboot(ctypes.c_int(command)), "reboot")


def unshare(namespaces: int) -> None:
    """unshare(2): namespaces of its own; a new PID namespace is for children yet to come."""
    _check(libc.unshare(ctypes.c_int(namespaces)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """setns(2): into a namespace of a kind that is open."""
    _check(libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def prctl(option: int, *arguments: int) -> None:
    """prctl(2), with zeros for the arguments that are not given."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(libc.prctl(ctypes.c_int(option), *padded), f"prctl {option}")


def capset(capabilities: int) -> None:
    """capset(2): the capabilities that are kept, a bit each, and no other in any of the sets."""
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    data = struct.pack("=IIIIII", low, low, low, high, high, high)
    _check(libc.capset(header, data), "capset")


def set_parent_death_signal(number: int) -> None:
    """prctl(2), PR_SET_PDEATHSIG: this process gets signal `number` when its parent ends.

    To be another user takes it back (commit_creds, kernel/cred.c).
    """
    prctl(PR_SET_PDEATHSIG, number)


def setresuid_setgroups(uid: int) -> None:
    """Be this user, in no group but the one of the same number, and never more than that, nor
    whatever this process starts (prctl(2), PR_SET_NO_NEW_PRIVS).
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def deny_syscalls(numbers: Iterable[int], families: Iterable[int] = ()) -> None:
    """seccomp(2): from now on these system calls fail with EPERM, in all that comes of this
    process, and so do sockets of these families, and whatever makes or enters a namespace.

    clone3(2) fails with ENOSYS, as its flags cannot be seen: who calls it then calls clone(2).
    Needs PR_SET_NO_NEW_PRIVS. Only x86-64's own calls are left.
    """
    denied = BPF.pack(RETURN, 0, 0, ERROR | errno.EPERM)
    steps = [
        BPF.pack(LOAD, 0, 0, ARCHITECTURE),
        BPF.pack(EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        denied,
        BPF.pack(LOAD, 0, 0, NUMBER),
        BPF.pack(NOT_BELOW, 0, 1, X32_CALLS),
        denied,
        BPF.pack(EQUAL, 0, 1, CLONE3),
        BPF.pack(RETURN, 0, 0, ERROR | errno.ENOSYS),
    ]
    for number in (UNSHARE, SETNS, *numbers):
        steps += [BPF.pack(EQUAL, 0, 1, number), denied]
    steps += _deny_argument(CLONE, COMMON, EVERY_NAMESPACE)
    for family in families:
        steps += _deny_argument(SOCKET, EQUAL, family)
    steps.append(BPF.pack(RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = struct.pack("=H6xQ", len(steps), ctypes.addressof(code))
    _check(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), program, 0, 0), "prctl")


def _deny_argument(call: int, test: int, value: int) -> tuple[bytes, ...]:
    """The steps by which this call fails where its first argument passes the test."""
    return (
        BPF.pack(EQUAL, 0, 4, call),
        BPF.pack(LOAD, 0, 0, FIRST_ARGUMENT),
        BPF.pack(test, 0, 1, value),
        BPF.pack(RETURN, 0, 0, ERROR | errno.EPERM),
        BPF.pack(LOAD, 0, 0, NUMBER),
    )


def close_all_but(keep: Iterable[int], *, first: int = 3) -> None:
    """Close every file from the number `first` on, but these."""
    ends = [first - 1, *sorted(keep), MOST_FILES]
    for number, before in enumerate(ends[:-1]):
        os.closerange(before + 1, ends[number + 1])


def syscall(number: int, *arguments: int) -> int:
    """syscall(2), with zeros for the arguments that are not given."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    result: int = libc.syscall(ctypes.c_long(number), *padded)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def mmap_fixed(address: int) -> None:
    """mmap(2) of one page at a fixed address: PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS."""
    syscall(9, address, 4096, 1, 0x32, 2**64 - 1)


def perf_event_open() -> None:
    """perf_event_open(2) of this process' task clock, without what the kernel does for it."""
    attributes = ctypes.create_string_buffer(128)
    struct.pack_into("=IIQ", attributes, 0, 1, 128, 1)
    struct.pack_into("=Q", attributes, 40, 1 << 5 | 1 << 6)
    syscall(298, ctypes.addressof(attributes), 0, 2**64 - 1, 2**64 - 1)


def _check(result: int, about: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
