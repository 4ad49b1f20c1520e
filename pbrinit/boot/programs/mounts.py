"""What a program sees of the machine's files: all of them to read, and a place of its own to write.

In: the user of a program, and its desk.  Out: this process in a mount namespace of its own, in
which nothing can be written but /tmp and /run, both empty at first and gone with the program.
"""

from __future__ import annotations

import os

from pbrinit.boot.control import broker_protocol
from pbrinit.boot.system import syscalls

OWN = "/run"
MEGABYTES = 16
"""What a program may keep in /tmp and /run, in memory."""

DEVICES = ("full", "null", "random", "urandom", "zero")
LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"),
         ("shm", "/tmp"))  # noqa: S108  its own  # fmt: skip
SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
OOM_SCORE = "/proc/self/oom_score_adj"
FIRST_TO_GO = "500"
"""Where memory runs out a program is ended, and not what guards the machine
(Documentation/filesystems/proc.rst, oom_score_adj)."""


def go_first() -> None:
    """Have this process, and all that it starts, ended first. Raises OSError."""
    with open(OOM_SCORE, "w") as file:  # noqa: PTH123  pathlib is not in the image
        file.write(FIRST_TO_GO)


def enter(uid: int, desk: str | None = None) -> None:
    """Go into a mount namespace with a /proc of this process' own PID namespace, a /dev without
    hardware, no /sys, a /tmp and a /run that are the user's, and all else as it is, to read only.
    The folder `desk` is one in /run, where there is one.

    Raises OSError.
    """
    go_first()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    nodes = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
    asking = None if desk is None else os.open(desk, os.O_PATH)
    syscalls.mount("tmpfs", OWN, "tmpfs", SAFE, f"mode=755,size={MEGABYTES}m")
    for name, mode in (("dev", 0o755), ("sys", 0o755), ("tmp", 0o1777), ("run", 0o755)):
        os.mkdir(f"{OWN}/{name}")  # noqa: PTH102
        os.chmod(f"{OWN}/{name}", mode)  # noqa: PTH101
    os.chown(f"{OWN}/run", uid, uid)
    for name, node in nodes.items():
        os.close(os.open(f"{OWN}/dev/{name}", os.O_CREAT | os.O_WRONLY))
        syscalls.mount(f"/proc/self/fd/{node}", f"{OWN}/dev/{name}", "", syscalls.MS_BIND)
        os.close(node)
    if asking is not None:
        here = f"{OWN}{broker_protocol.FOLDER}"
        os.mkdir(here)  # noqa: PTH102
        _bind(f"/proc/self/fd/{asking}", here, syscalls.MS_RDONLY | SAFE)
        os.close(asking)
    for name, target in LINKS:
        os.symlink(target, f"{OWN}/dev/{name}")  # noqa: PTH211
    _bind(f"{OWN}/dev", "/dev", syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NOEXEC)
    _bind(f"{OWN}/sys", "/sys", syscalls.MS_RDONLY | SAFE)
    _bind(f"{OWN}/tmp", "/tmp", SAFE)  # noqa: S108
    _bind("/", "/", syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV, again=True)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_RDONLY | SAFE, "hidepid=invisible")
    _bind(f"{OWN}/run", OWN, SAFE)


def _bind(source: str, target: str, flags: int, *, again: bool = False) -> None:
    """What is at `source` also at `target`, there with these flags."""
    if not again:
        syscalls.mount(source, target, "", syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.mount("", target, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)
