"""A process that has nothing but what it is sent: where a policy of a program is compiled.

In: two pipes.  Out: this process as a user of its own, without capabilities or a way to get any,
alone in an empty root directory in memory, without a network, without other descriptors, with a
bound on memory, time, files and bytes, and without the system calls that make sockets or processes
or look into other processes.  Each of these is a wall of its own.
"""

from __future__ import annotations

import os
import resource
import signal

from pbrinit.boot.system import landlock, privileges, syscalls

UID = 65532
"""No policy's user, and none that any other process here runs as."""

ROOT = "/run/empty"
"""Where the empty directory is mounted, in a mount namespace of its own."""

MEBIBYTE = 1 << 20
FILES_MEBIBYTES = 64
LIMITS = (
    (resource.RLIMIT_AS, 384 * MEBIBYTE),
    (resource.RLIMIT_FSIZE, FILES_MEBIBYTES * MEBIBYTE),
    (resource.RLIMIT_NOFILE, 16),
    (resource.RLIMIT_NPROC, 0),
    (resource.RLIMIT_CORE, 0),
)
"""A policy of a mebibyte takes 131 MiB and six seconds."""

CPU_SECONDS, CPU_MORE = 110, 5
"""Until SIGXCPU, and from then until SIGKILL."""

MAKE_REG = 1 << 8
PLACES = (("/", landlock.READ_FILE | landlock.READ_DIR | landlock.WRITE_FILE | MAKE_REG),)

FORBIDDEN = (
    41, 42, 43, 44, 46, 49, 50, 53, 288, 307,  # socket to accept4, sendmmsg
    56, 57, 58, 59, 322, 435,  # clone, fork, vfork, execve, execveat, clone3
    62, 129, 200, 234, 297, 424, 434, 438,  # kill to rt_tgsigqueueinfo, pidfd_*
    101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
    155, 161, 165, 166, 272, 308, 428, 429, 430, 442,  # pivot_root to setns, the new mount calls
    248, 249, 250, 298, 321, 323, 425, 426, 427,  # keys, perf, bpf, userfaultfd, io_uring
)  # fmt: skip
"""System calls, by their numbers in syscall_64.tbl."""


def enter(kept: set[int], parent: int) -> None:
    """Go in, with these descriptors, for good; end with the parent. Raises OSError."""
    privileges.go_first()
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    os.makedirs(ROOT, exist_ok=True)  # noqa: PTH103
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    options = f"mode=700,uid={UID},gid={UID},size={FILES_MEBIBYTES}m"
    syscalls.mount("tmpfs", ROOT, "tmpfs", flags, options)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    syscalls.close_all_but(kept)
    os.chroot(ROOT)
    os.chdir("/")
    for what, most in LIMITS:
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + CPU_MORE))
    os.environ.clear()
    privileges.give_up(UID, 0, PLACES)
    syscalls.deny_syscalls(FORBIDDEN)
    if os.getppid() != parent:
        os._exit(0)


def ended_by(status: int) -> str:
    """Why a process in here has ended without an answer, by its exit status."""
    if status == -signal.SIGXCPU:
        return "it takes more time than a policy may"
    if status < 0:
        return f"the compiler was ended by {signal.Signals(-status).name}: memory may be short"
    return f"the compiler ended with status {status}"
