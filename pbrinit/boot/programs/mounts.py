"""What a program sees of the machine's files: all of them to read, and a place of its own to write.

In: the user of a program, and the folder of its broker.  Out: this process in a mount namespace
of its own, in which nothing can be written but /tmp and /run, both empty at first and gone with
the program.
"""

from __future__ import annotations

import os

from pbrinit.boot.system import syscalls
from pbrinit.boot.system.privileges import go_first

OWN = "/run"
BROKERS = "/run/brokers"
"""Where the machine has a folder for each program that may ask the broker, with its socket."""

BROKER, SOCKET = "/run/broker", "socket"
"""Where a program sees its own of these."""

MEGABYTES = 16
"""What a program may keep in /tmp and /run, in memory."""

DEVICES = ("full", "null", "random", "urandom", "zero")
LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"),
         ("shm", "/tmp"))  # noqa: S108  its own  # fmt: skip
SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def enter(uid: int, broker: str | None = None) -> None:
    """Go into a mount namespace with a /proc of this process' own PID namespace, a /dev without
    hardware, no /sys, a /tmp and a /run that are the user's, and all else as it is, to read only.
    The folder `broker` is seen as BROKER, where there is one.

    Raises OSError.
    """
    go_first()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    nodes = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
    asking = None if broker is None else os.open(broker, os.O_PATH)
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
        here = f"{OWN}{BROKER}"
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


def broker_folder(name: str) -> str:
    """Where the socket of the program `name` stands; made where it is not there. Raises OSError."""
    path = f"{BROKERS}/{name}"
    os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103  pathlib is not in the image
    return path


def _bind(source: str, target: str, flags: int, *, again: bool = False) -> None:
    """What is at `source` also at `target`, there with these flags."""
    if not again:
        syscalls.mount(source, target, "", syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.mount("", target, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)
