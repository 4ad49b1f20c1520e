"""Runs in a guest in the place of /init: PID 1's own code, with a fault, again and again.

In: the kernel's word `pbrinit.stride=N`, every how many netlink messages one is refused.
Out: on the console, for each fault, `FAULT name`, what PID 1 says, and `STATE name: …` with the
devices that are up; at last a PID 1 that is killed. It is no part of the image, and nothing of
the image knows of it: each fault is put into a process of its own, with a network namespace of
its own into which the card is moved, and the image's modules are changed there (`broken`).
"""

from __future__ import annotations

import _socket
import ctypes
import os
import struct
import sys
import time
from types import SimpleNamespace

sys.path.insert(0, "/faults")

from tests.support.vm.faults import (
    CARD,
    PLAN,
    RLIMIT_AS,
    Wrapped,
    at_links,
    before_links,
    boot,
    later,
    libc,
    netlink,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STRIDE = "pbrinit.stride="
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MNT_DETACH = 2
UNLIMITED = b"\xff" * 16
IFLA_NET_NS_PID = 19
FOLDERS = ("/proc", "/sys", "/dev", "/run")
SEEN_SECONDS = 0.06
OPEN_SECONDS = 4.0


def count() -> dict[str, int]:
    """How many steps there are before the links, from a run that nothing is wrong with."""
    ready, told = os.pipe()
    if os.fork() == 0:
        libc.unshare(CLONE_NEWNS | CLONE_NEWNET)
        netlink("none", -1)
        clear()
        plan = boot().init.before_links()
        link = len(plan.links[1].messages)
        size = os.path.getsize(PLAN)  # noqa: PTH202
        numbers = (Wrapped.sent, Wrapped.received, len(plan.sysctls), link, size)
        os.write(told, struct.pack("=5I", *numbers))
        os._exit(0)
    names = ("messages", "answers", "sysctls", "link", "bytes")
    counts = dict(zip(names, struct.unpack("=5I", os.read(ready, 20)), strict=True))
    os.wait()
    return counts


def run(name: str, fault: Callable[[], object], seconds: float) -> None:
    """PID 1's code with a fault, in a process and namespaces of its own; returns at its end."""
    ready, told = os.pipe()
    go, going = os.pipe()
    os.write(1, f"FAULT {name}\n".encode())
    child = os.fork()
    if child == 0:
        if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
            os._exit(9)
        os.write(told, b"r")
        os.read(go, 1)
        as_pid_1(name, fault, seconds)
    os.read(ready, 1)
    move(CARD, child)
    os.write(going, b"g")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        os.write(1, f"STATE {name}: killed\n".encode())
    for end in (ready, told, go, going):
        os.close(end)
    while CARD not in os.listdir("/sys/class/net"):  # noqa: PTH208
        time.sleep(0.01)


def as_pid_1(name: str, fault: Callable[[], object], seconds: float) -> None:
    """What /init does, up to PID 1's rest of life; does not return."""

    def rest_of_life(plan: object, end: Any) -> None:
        libc.setrlimit(RLIMIT_AS, UNLIMITED)
        if end is None and plan is None:
            os._exit(8)
        libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
        up = [d for d in os.listdir("/sys/class/net") if is_up(d)]  # noqa: PTH208
        ending = "open" if end is None else end.ending
        counted = f"{Wrapped.sent} {Wrapped.received}"
        os.write(1, f"STATE {name}: {ending}, up: {' '.join(sorted(up))}; {counted}\n".encode())
        time.sleep(seconds)
        os._exit(0)

    modules: dict[str, Any] = sys.modules
    modules["pbrinit.boot.supervise"] = SimpleNamespace(run=rest_of_life)
    try:
        clear()
        fault()
        clear()
        from pbrinit.boot import pid1  # noqa: PLC0415

        pid1.main()
    except BaseException as error:
        os.write(1, f"STATE {name}: PID 1 ended: {error!r}\n".encode())
    os._exit(7)


def is_up(device: str) -> bool:
    """Whether the device is up."""
    with open(f"/sys/class/net/{device}/flags") as file:  # noqa: PTH123
        return bool(int(file.read(), 16) & 1)


def clear() -> None:
    """Unmount everything, as the kernel leaves it."""
    for folder in FOLDERS:
        libc.umount2(folder.encode(), MNT_DETACH)


def move(device: str, process: int) -> None:
    """Give the card to a process' network namespace (RTM_NEWLINK, IFLA_NET_NS_PID)."""
    attribute = struct.pack("=HHI", 8, IFLA_NET_NS_PID, process)
    body = struct.pack("=BBHiII", 0, 0, 0, _socket.if_nametoindex(device), 0, 0) + attribute
    kernel = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
    kernel.send(struct.pack("=IHHII", 16 + len(body), 16, 5, 1, 0) + body)
    error = struct.unpack_from("=i", kernel.recv(4096), 16)[0]
    kernel.close()
    if error:
        os.write(1, f"the card could not be moved: {os.strerror(-error)}\n".encode())


def main() -> None:
    """All faults, one after another; then PID 1 itself is killed, which the kernel answers."""
    for kind, folder in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        libc.mount(kind.encode(), folder.encode(), kind.encode(), 0, None)
    with open("/proc/cmdline") as file:  # noqa: PTH123
        stride = next(int(w[len(STRIDE) :]) for w in file.read().split() if w.startswith(STRIDE))
    counts = count()
    os.write(1, f"COUNTS {counts}\n".encode())
    for name, fault in before_links(stride, counts):
        run(name, fault, SEEN_SECONDS)
    os.write(1, b"BEFORE LINKS: done\n")
    for name, fault in at_links(counts):
        run(name, fault, SEEN_SECONDS)
    os.write(1, b"AT LINKS: done\n")
    run("none", later(netlink, "none", -1), OPEN_SECONDS)
    os.write(1, b"ALL: done\n")
    clear()
    boot().rules.enforce = lambda *_: ctypes.string_at(0)
    from pbrinit.boot import pid1  # noqa: PLC0415

    pid1.main()


if __name__ == "__main__":
    main()
