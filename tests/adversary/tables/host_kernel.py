"""What the kernel of the image does not have, or does not let a user do.

In: nothing.  Out: `TABLES` of acts.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from tests.support.attack.act import (
    DGRAM,
    INET,
    INET6,
    NOBODY,
    RAW,
    ROOT,
    STREAM,
    UNLISTED_PORT,
    Act,
)
from tests.support.host_example import NEIGHBOUR

KNOWN = {1, INET, INET6, 16}
"""The address families that the kernel has: UNIX, INET, INET6, NETLINK."""


def families() -> Iterator[Act]:
    """Address families by all their numbers: the kernel has four."""
    for number in sorted(set(range(46)) - KNOWN):
        for kind in (STREAM, DGRAM, RAW, int(socket.SOCK_SEQPACKET)):
            for uid in (NOBODY, ROOT):
                told = "EAFNOSUPPORT at socket"
                what = f"number {number}, type {kind}"
                yield Act("address family", what, uid, (("socket", number, kind),), told)


def kernel() -> Iterator[Act]:
    """What the kernel does not have, or does not let a user do."""
    for family in (INET, INET6):
        for name, kind, number in (("SCTP", STREAM, 132), ("DCCP", 6, 33), ("MPTCP", STREAM, 262)):
            for uid in (NOBODY, ROOT):
                yield Act(
                    "address family",
                    f"{name} of family {family}",
                    uid,
                    (("socket", family, kind, number),),
                )
    for kind, body in ((32, b""), (33, b""), (24, b""), (25, b""), (16, b""), (20, b"")):
        for family in (INET, INET6):
            head = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 1, 0) + bytes(8)
            message = struct.pack("=IHHII", 16 + len(head), kind, 5, 1, 0) + head + body
            yield Act(
                "netlink",
                f"request {kind} of family {family}",
                NOBODY,
                (("socket", 16, RAW, 0), ("netlink", message)),
                "EPERM at netlink",
            )
    yield Act(
        "namespace", "a network namespace", NOBODY, (("unshare", 0x40000000),), "EPERM at unshare"
    )
    inside = (
        ("unshare", 0x40000000),
        ("socket", INET, DGRAM),
        ("sendto", b"out", 0, (NEIGHBOUR[4], UNLISTED_PORT)),
    )
    yield Act("namespace", "sends from a network namespace", ROOT, inside, "ENETUNREACH at sendto")
    for uid in (NOBODY, ROOT):
        for path in ("/dev/net/tun", "/dev/mem", "/dev/ppp", "/dev/vhost-net"):
            yield Act("device", path, uid, (("open", path, 2),), "ENOENT at open")
        for name, number in (
            ("bpf", 321),
            ("io_uring_setup", 425),
            ("init_module", 175),
            ("finit_module", 313),
            ("kexec_load", 246),
        ):
            yield Act(
                "system call", name, uid, (("syscall", number, 0, 0, 0),), "ENOSYS at syscall"
            )
    for path in (
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv4/conf/all/rp_filter",
        "/proc/sys/net/ipv6/conf/all/forwarding",
    ):
        yield Act("sysctl", path, NOBODY, (("open", path, 1),), "EACCES at open")


TABLES = (families, kernel)
