"""What this kernel is said not to have, each tried.

In: nothing.  Out: for each, whether it is there.  A claim that a person can check at the
console of the very machine is worth more than one in a document.
"""

from __future__ import annotations

import errno
import os
import socket

from pbrinit.boot.calls import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NETLINK_NETFILTER = 12
NETLINK_XFRM = 6
IPT_SO_GET_INFO = 64
SYSCALLS = {"bpf": 321, "init_module": 175, "finit_module": 313, "io_uring_setup": 425}
"""Numbers on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl)."""

REFUSALS = {
    errno.ENOENT,
    errno.ENOSYS,
    errno.ENOPROTOOPT,
    errno.EAFNOSUPPORT,
    errno.EPROTONOSUPPORT,
}
"""What a kernel says to what it does not have; "not permitted" would be another matter."""


def absent() -> Iterator[tuple[str, str, bool]]:
    """Name, what the kernel said, and whether that means that it does not have it."""
    for name, attempt in _attempts():
        try:
            attempt()
        except OSError as error:
            said = errno.errorcode.get(error.errno or 0, str(error))
            yield name, said, error.errno in REFUSALS
        else:
            yield name, "it is there", False


def _attempts() -> Iterator[tuple[str, Callable[[], object]]]:
    for path in ("/proc/net/netfilter", "/proc/net/ip_tables_names", "/proc/sys/net/netfilter"):
        yield path, lambda path=path: os.stat(path)  # type: ignore[misc]  # noqa: PTH116
    yield "a netfilter socket", lambda: _open(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    yield "an XFRM socket", lambda: _open(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    yield "iptables", _iptables
    yield "a packet socket", lambda: _open(socket.AF_PACKET, socket.SOCK_RAW, 0)
    for name, number in SYSCALLS.items():
        yield f"{name}()", lambda number=number: syscall(number)  # type: ignore[misc]


def _open(family: int, kind: int, protocol: int) -> None:
    socket.socket(family, kind, protocol).close()


def _iptables() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.getsockopt(socket.IPPROTO_IP, IPT_SO_GET_INFO, 84)
