"""What this kernel is said not to have, or not to give, each tried.

In: nothing.  Out: for each, whether it is refused.  A claim that a person can check at the
console of the very machine is worth more than one in a document.
"""

from __future__ import annotations

import errno
import os
import socket

from pbrinit.boot.system import privileges, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNPRIVILEGED_UID = 65534
IPT_SO_GET_INFO = 64
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PTRACE_ATTACH = 16
SYSLOG_ACTION_READ_ALL = 3
GETPID, PTRACE, SYSLOG, UNSHARE = 39, 101, 103, 272

SYSCALLS = {
    "bpf": 321,
    "init_module": 175,
    "finit_module": 313,
    "io_uring_setup": 425,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "userfaultfd": 323,
    "iopl": 172,
    "ioperm": 173,
    "modify_ldt": 154,
    "swapon": 167,
    "acct": 163,
    "quotactl": 179,
    "add_key": 248,
    "keyctl": 250,
    "kcmp": 312,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "open_by_handle_at": 304,
    "memfd_secret": 447,
    "uselib": 134,
    "shmget": 29,
    "mq_open": 240,
    "io_setup": 206,
    "fanotify_init": 300,
}
"""Numbers on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl)."""

NETLINK = {"netfilter": 12, "XFRM": 6, "audit": 9, "crypto": 21, "connector": 11, "SELinux": 7}
"""linux/netlink.h. Every netlink family has to be built in."""

FAMILIES = {
    "AX.25": 3,
    "IPX": 4,
    "AppleTalk": 5,
    "X.25": 9,
    "key (IPsec)": 15,
    "packet": 17,
    "RDS": 21,
    "PPPoE, L2TP": 24,
    "LLC": 26,
    "MPLS": 28,
    "CAN": 29,
    "TIPC": 30,
    "Bluetooth": 31,
    "RxRPC": 33,
    "Phonet": 35,
    "IEEE 802.15.4": 36,
    "crypto (AF_ALG)": 38,
    "NFC": 39,
    "VM sockets": 40,
    "KCM": 41,
    "Qualcomm IPC": 42,
    "SMC": 43,
    "XDP": 44,
    "MCTP": 45,
}
"""linux/socket.h."""

INET_KINDS = {"SCTP": (1, 132), "DCCP": (6, 33), "MPTCP": (1, 262)}
"""Kind and protocol of a socket of IPv4."""

FILES = (
    "/proc/net/netfilter",
    "/proc/net/ip_tables_names",
    "/proc/sys/net/netfilter",
    "/proc/modules",
    "/proc/kcore",
    "/proc/kallsyms",
    "/proc/config.gz",
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "/dev/mem",
    "/dev/kmem",
    "/dev/port",
    "/dev/net/tun",
    "/dev/ppp",
    "/dev/kvm",
    "/dev/userfaultfd",
    "/dev/loop-control",
    "/dev/fuse",
    "/dev/fb0",
    "/dev/cpu/0/msr",
    "/dev/ptmx",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/power/state",
    "/sys/power/disk",
    "/sys/kernel/kexec_loaded",
    "/sys/firmware/efi/efivars",
)
FILESYSTEMS = (
    "debugfs", "tracefs", "bpf", "securityfs", "efivarfs", "configfs", "fuse", "overlay", "ext4",
    "btrfs", "xfs", "vfat", "iso9660", "squashfs", "nfs", "cifs", "9p", "binfmt_misc",
    "hugetlbfs", "mqueue", "devpts",
)  # fmt: skip
FORMATS = {
    "a 32-bit program": b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\0\x03\0" + bytes(60),
    "an a.out program": b"\x0b\x01\x64\0" + bytes(64),
    "a flat program": b"bFLT" + bytes(64),
}
"""What the first bytes of a program say (fs/binfmt_*.c)."""

ABSENT = {
    errno.ENOENT,
    errno.ENOSYS,
    errno.ENOPROTOOPT,
    errno.EAFNOSUPPORT,
    errno.EPROTONOSUPPORT,
    errno.ESOCKTNOSUPPORT,
    errno.ENODEV,
    errno.ENXIO,
    errno.EINVAL,
    errno.ENOEXEC,
}
"""What a kernel says to what it does not have; "not permitted" would be another matter."""

REFUSED = {errno.EPERM, errno.EACCES}


def missing_features() -> Iterator[tuple[str, str, bool]]:
    """Name, what the kernel said, and whether that means that it is not there, or refused."""
    for name, expected, attempt in (*_absent(), *_refused()):
        try:
            attempt()
        except OSError as error:
            answer = errno.errorcode.get(error.errno or 0, str(error))
            yield name, answer, error.errno in expected
        else:
            yield name, "it is there", False


def present_controls() -> Iterator[tuple[str, bool]]:
    """What there is, sought by the same means: were it not found, `absent` would say nothing."""
    for name, attempt in (
        ("getpid()", _later(syscalls.syscall, GETPID)),
        ("a netlink socket: route", _later(_open_socket, socket.AF_NETLINK, 3, 0)),
        ("sockets of UNIX", _later(_open_any_kind, socket.AF_UNIX)),
        ("/proc/version", _later(_open_file, "/proc/version")),
        ("file system tmpfs", _later(_mount_and_unmount, "tmpfs")),
        ("a script", _later(_execute, b"#!/usr/bin/python3 -ISB\n")),
    ):
        try:
            attempt()
        except OSError:
            yield name, False
        else:
            yield name, True


def _absent() -> Iterator[tuple[str, set[int], Callable[[], object]]]:
    """What there is none of, for root either."""
    for name, number in SYSCALLS.items():
        yield f"{name}()", {errno.ENOSYS}, _later(syscalls.syscall, number)
    for name, number in NETLINK.items():
        yield (
            f"a netlink socket: {name}",
            ABSENT,
            _later(_open_socket, socket.AF_NETLINK, 3, number),
        )
    for name, number in FAMILIES.items():
        yield f"sockets of {name}", {errno.EAFNOSUPPORT}, _later(_open_any_kind, number)
    for name, (kind, protocol) in INET_KINDS.items():
        yield f"sockets of {name}", ABSENT, _later(_open_socket, socket.AF_INET, kind, protocol)
    yield "iptables", {errno.ENOPROTOOPT}, _iptables
    for path in FILES:
        yield path, {errno.ENOENT, errno.ENXIO}, _later(_open_file, path)
    for name in FILESYSTEMS:
        yield f"file system {name}", {errno.ENODEV}, _later(syscalls.mount, "none", "/run", name, 0)
    for name, head in FORMATS.items():
        yield name, {errno.ENOEXEC}, _later(_execute, head)


def _refused() -> Iterator[tuple[str, set[int], Callable[[], object]]]:
    """What there is and is not given: ptrace to nobody at all, the others to nobody but root."""
    yield "ptrace() of a child, by root", REFUSED, _trace
    yield (
        "a user namespace, by a program",
        REFUSED,
        _later(_as_program, _later(syscalls.syscall, UNSHARE, CLONE_NEWUSER)),
    )
    for name, attempt in (
        ("a raw socket, by a user", _later(_open_socket, socket.AF_INET, 3, 1)),
        ("a ping socket, by a user", _later(_open_socket, socket.AF_INET, 2, 1)),
        ("a network namespace, by a user", _later(syscalls.syscall, UNSHARE, CLONE_NEWNET)),
        ("the kernel's log, by a user", _later(syscalls.syscall, SYSLOG, SYSLOG_ACTION_READ_ALL)),
        ("perf_event_open(), by a user", syscalls.perf_event_open),
        ("a mount, by a user", _later(syscalls.mount, "none", "/run", "tmpfs", 0)),
        ("mmap() near address 0, by a user", _later(syscalls.mmap_fixed, 4096)),
    ):
        yield name, REFUSED, _later(_unprivileged, attempt)


def _later(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _open_socket(family: int, kind: int, protocol: int) -> None:
    socket.socket(family, kind, protocol).close()


def _open_any_kind(family: int) -> None:
    """Each kind of socket that there is; the last refusal."""
    refusal = OSError()
    for kind in (1, 2, 3, 5):
        try:
            _open_socket(family, kind, 0)
        except OSError as error:
            refusal = error
        else:
            return
    raise refusal


def _iptables() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.getsockopt(socket.IPPROTO_IP, IPT_SO_GET_INFO, 84)


def _open_file(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def _execute(head: bytes) -> None:
    """On the root, which is writable memory, as no other file system allows programs."""
    path = "/absent"
    with open(path, "wb") as file:  # noqa: PTH123  pathlib is not in the image
        file.write(head)
    os.chmod(path, 0o755)  # noqa: PTH101,S103
    try:
        _in_child(lambda: os.execv(path, [path]))  # noqa: S606
    finally:
        os.unlink(path)  # noqa: PTH108


def _mount_and_unmount(name: str) -> None:
    syscalls.mount("none", "/tmp", name, 0)  # noqa: S108  a folder of the image, not a file in it
    syscalls.unmount("/tmp")  # noqa: S108


def _trace() -> None:
    child = os.fork()
    if child == 0:
        while True:
            os.read(0, 0)
    try:
        syscalls.syscall(PTRACE, PTRACE_ATTACH, child)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def _unprivileged(attempt: Callable[[], object]) -> None:
    def do() -> object:
        os.setgroups([])
        os.setgid(UNPRIVILEGED_UID)
        os.setuid(UNPRIVILEGED_UID)
        return attempt()

    _in_child(do)


def _as_program(attempt: Callable[[], object]) -> None:
    """Try with what a program of the policy has that keeps no capability."""

    def do() -> object:
        privileges.give_up(UNPRIVILEGED_UID, 0)
        return attempt()

    _in_child(do)


def _in_child(attempt: Callable[[], object]) -> None:
    """Try in a process of its own. Raises the OSError that it met there."""
    child = os.fork()
    if child == 0:
        status = 0
        try:
            attempt()
        except OSError as error:
            status = error.errno or 255
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    number = os.waitstatus_to_exitcode(ended)
    if number:
        raise OSError(number, os.strerror(number) if number > 0 else f"signal {-number}")
