"""What a program sees of the machine's files: its own, and what is there for all, to read only; and
a place of its own to write.

In: a program, the files of the others, and how much it may keep.  Out: this process in a mount
namespace of its own, with a root that has nothing else and in which nothing can be written but /tmp
and /run, both empty at first and gone with the program.
"""

from __future__ import annotations

import os

from pbrinit.boot.system import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.bootplan import ProgramPlan

BROKERS = "/run/brokers"
"""Where the machine has a folder for each program that may ask the broker, with its socket."""

BROKER, SOCKET = "/run/broker", "socket"
"""Where a program sees its own of these."""

NEW = "/tmp"  # noqa: S108  the machine's own, where nothing is; in this namespace alone
"""Where the new root is made."""

NOT_SHOWN = ("/dev", "/etc/pbrinit", "/init", "/proc", "/run", "/sys", "/tmp")  # noqa: S108
"""What PID 1 lives on, and what a program has of its own."""

DEVICES = ("full", "null", "random", "urandom", "zero")
LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"),
         ("shm", "/tmp"))  # noqa: S108  its own  # fmt: skip
SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
TO_READ = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV


def enter(program: ProgramPlan, hidden: Iterable[str], size: int) -> None:
    """Go into a mount namespace with a /proc of this process' own PID namespace, a /dev without
    hardware, an empty /sys, a /tmp and a /run of `size` bytes together that are the user's, and
    all else of the machine to read only, without what is `hidden`. Where the program may ask the
    broker it sees its socket's folder as BROKER.

    Folders that it does not see all of belong to root of its room. Raises OSError.
    """
    root = program.room.ids[0] if program.room else 0
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", NEW, "tmpfs", SAFE, f"mode=755,uid={root},gid={root}")
    _show("", _Sight(hidden, program.files, root))
    for name in ("dev", "proc", "run", "sys", "tmp"):
        os.mkdir(f"{NEW}/{name}")  # noqa: PTH102
    _make_devices()
    _make_own(program, size)
    syscalls.mount("proc", f"{NEW}/proc", "proc", syscalls.MS_RDONLY | SAFE, "hidepid=invisible")
    os.chdir(NEW)
    syscalls.mount(NEW, "/", "", syscalls.MS_MOVE)
    os.chroot(".")
    os.chdir("/")
    _remount("/", TO_READ)


class _Sight:
    """What is not shown, and what is shown for this program alone; `root` has the folders that
    lead there.
    """

    def __init__(self, hidden: Iterable[str], own: Iterable[str], root: int) -> None:
        self.hidden = frozenset((*NOT_SHOWN, *hidden))
        self.root = root
        self._apart = {folder for path in (*self.hidden, *own) for folder in _folders(path)}

    def is_whole(self, folder: str) -> bool:
        """Whether it is shown with all that is in it."""
        return folder not in self._apart


def _folders(path: str) -> list[str]:
    """The folders that a path leads through: those of /a/b/c are /a and /a/b."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def _show(folder: str, sight: _Sight) -> None:
    """What is in a folder of the machine also in the new root; "" is the root's own."""
    for name in os.listdir(folder or "/"):  # noqa: PTH208
        here = f"{folder}/{name}"
        there = NEW + here
        if here in sight.hidden:
            continue
        if os.path.islink(here):  # noqa: PTH114
            os.symlink(os.readlink(here), there)  # noqa: PTH115, PTH211
        elif not os.path.isdir(here):  # noqa: PTH112
            os.close(os.open(there, os.O_CREAT | os.O_WRONLY, 0o444))
            _bind(here, there, TO_READ)
        else:
            os.mkdir(there)  # noqa: PTH102
            if sight.is_whole(here):
                _bind(here, there, TO_READ)
            else:
                os.chmod(there, os.stat(here).st_mode & 0o777)  # noqa: PTH101, PTH116
                os.chown(there, sight.root, sight.root)
                _show(here, sight)
                if not os.listdir(there):  # noqa: PTH208
                    os.rmdir(there)  # noqa: PTH106


def _make_devices() -> None:
    for name in DEVICES:
        os.close(os.open(f"{NEW}/dev/{name}", os.O_CREAT | os.O_WRONLY))
        syscalls.mount(f"/dev/{name}", f"{NEW}/dev/{name}", "", syscalls.MS_BIND)
        _remount(f"{NEW}/dev/{name}", syscalls.MS_NOSUID | syscalls.MS_NOEXEC)
    for name, target in LINKS:
        os.symlink(target, f"{NEW}/dev/{name}")  # noqa: PTH211


def _make_own(program: ProgramPlan, size: int) -> None:
    """What it may write: one file system, which it sees as two folders."""
    tmp, run = f"{NEW}/tmp", f"{NEW}/run"  # noqa: S108  its own
    syscalls.mount("tmpfs", tmp, "tmpfs", SAFE, f"mode=755,size={size}")
    for name, mode in (("tmp", 0o1777), ("run", 0o755)):
        os.mkdir(f"{tmp}/{name}")  # noqa: PTH102
        os.chmod(f"{tmp}/{name}", mode)  # noqa: PTH101
    os.chown(f"{tmp}/run", program.uid, program.uid)
    if program.control:
        os.mkdir(f"{tmp}{BROKER}")  # noqa: PTH102
    _bind(f"{tmp}/run", run, SAFE)
    _bind(f"{tmp}/tmp", tmp, SAFE)  # noqa: S108
    if program.control:
        _bind(broker_folder(program.name), NEW + BROKER, syscalls.MS_RDONLY | SAFE)


def broker_folder(name: str) -> str:
    """Where the socket of the program `name` stands; made where it is not there. Raises OSError."""
    path = f"{BROKERS}/{name}"
    os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103  pathlib is not in the image
    return path


def _bind(source: str, target: str, flags: int) -> None:
    """What is at `source` also at `target`, there with these flags."""
    syscalls.mount(source, target, "", syscalls.MS_BIND | syscalls.MS_REC)
    _remount(target, flags)


def _remount(target: str, flags: int) -> None:
    syscalls.mount("", target, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)
