"""Runs in a guest instead of /init: PID 1's own code, once for each fault.

In: a number in a file: every Nth netlink message gets a fault.  Out: on the console, for each
fault, `FAULT name`, the output of PID 1, and `STATE name: …` with the devices that are up; at the
end PID 1 itself is killed.  It is not part of the image. Each fault runs in a process of its own,
which is PID 1 of a PID namespace, so that it may end every process that it sees. It has a network
namespace of its own into which the card is moved; there the image's modules are changed (`faults`).
"""

from __future__ import annotations

import _socket
import ctypes
import os
import signal
import struct
import sys
import time
from types import SimpleNamespace

sys.path.insert(0, "/faults")

from tests.support.vm.faults import (
    CARD,
    PLAN,
    RLIMIT_AS,
    FaultySocket,
    at_links,
    before_links,
    boot_modules,
    deferred,
    fault_in_netlink,
    libc,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STRIDE = "/faults/stride"
PANIC = "/proc/sys/kernel/panic"
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MNT_DETACH = 2
CONSOLE = os.dup(1)
"""PID 1's own code puts something else in the place of standard output."""

UNLIMITED = b"\xff" * 16
IFLA_NET_NS_PID = 19
FOLDERS = ("/proc", "/sys", "/dev", "/run")
OF_THE_MACHINE = "net/ipv4/neigh/", "net/ipv6/neigh/"
"""Sysctls that no network namespace has but the machine's own (neigh_sysctl_register)."""

SEEN_SECONDS = 0.06
OPEN_SECONDS = 4.0


def count() -> dict[str, int]:
    """The number of steps before the links are brought up, from a run without a fault."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        libc.unshare(CLONE_NEWNS | CLONE_NEWNET)
        leave_out_the_machines_own()
        fault_in_netlink("none", -1)
        clear()
        plan = boot_modules().init.before_links()
        link = len(plan.links[1].messages)
        size = os.path.getsize(PLAN)  # noqa: PTH202
        numbers = (FaultySocket.sent, FaultySocket.received, len(plan.sysctls), link, size)
        os.write(writer, struct.pack("=5I", *numbers))
        os._exit(0)
    names = ("messages", "answers", "sysctls", "link", "bytes")
    counts = dict(zip(names, struct.unpack("=5I", os.read(reader, 20)), strict=True))
    os.wait()
    return counts


def run(name: str, fault: Callable[[], object], seconds: float) -> None:
    """Run PID 1's code with a fault, in a process and namespaces of its own, to its end."""
    ready_reader, ready_writer = os.pipe()
    go_reader, go_writer = os.pipe()
    os.write(CONSOLE, f"FAULT {name}\n".encode())
    child = fork_apart()
    if child == 0:
        if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
            os._exit(9)
        os.write(ready_writer, b"r")
        os.read(go_reader, 1)
        as_pid_1(name, fault, seconds)
    os.read(ready_reader, 1)
    move(CARD, child)
    os.write(go_writer, b"g")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        # So ends PID 1 of a namespace that calls reboot(2) (reboot_pid_ns, kernel/pid_namespace.c).
        how = "restarted" if os.WTERMSIG(status) == signal.SIGHUP else "killed"
        os.write(CONSOLE, f"STATE {name}: {how}\n".encode())
    for end in (ready_reader, ready_writer, go_reader, go_writer):
        os.close(end)
    while CARD not in os.listdir("/sys/class/net"):  # noqa: PTH208
        time.sleep(0.01)


def fork_apart() -> int:
    """fork(2) with the child as PID 1 of a new PID namespace; this process stays in its own."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    if libc.unshare(CLONE_NEWPID) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    child = os.fork()
    if child:
        libc.setns(own, CLONE_NEWPID)
        os.close(own)
    return child


def as_pid_1(name: str, fault: Callable[[], object], seconds: float) -> None:
    """Do what /init does, up to the point where PID 1 supervises; does not return."""

    def rest_of_life(plan: object, end: Any) -> None:
        libc.setrlimit(RLIMIT_AS, UNLIMITED)
        if end is None and plan is None:
            os._exit(8)
        libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
        up = [d for d in os.listdir("/sys/class/net") if is_up(d)]  # noqa: PTH208
        ending = "open" if end is None else end.ending
        state = f"{' '.join(sorted(up))}; {FaultySocket.sent} {FaultySocket.received}"
        os.write(CONSOLE, f"STATE {name}: {ending}, up: {state}\n".encode())
        time.sleep(seconds)
        os._exit(0)

    modules: dict[str, Any] = sys.modules
    modules["pbrinit.boot.supervise"] = SimpleNamespace(run=rest_of_life)
    try:
        clear()
        leave_out_the_machines_own()
        from pbrinit.boot import pid1  # noqa: PLC0415  it is there before anything goes wrong

        fault()
        clear()
        pid1.main()
    except BaseException as error:
        os.write(CONSOLE, f"STATE {name}: PID 1 ended: {error!r}\n".encode())
    os._exit(7)


def leave_out_the_machines_own() -> None:
    """Have PID 1's code set no sysctl that a namespace does not have."""
    from pbrinit.boot.system import hardening  # noqa: PLC0415  the image's

    hardening.SYSCTLS = tuple(
        one for one in hardening.SYSCTLS if not one[0].startswith(OF_THE_MACHINE)
    )


def is_up(device: str) -> bool:
    """Whether the device is up."""
    with open(f"/sys/class/net/{device}/flags") as file:  # noqa: PTH123
        return bool(int(file.read(), 16) & 1)


def clear() -> None:
    """Unmount everything, as it is when the kernel starts /init."""
    for folder in FOLDERS:
        libc.umount2(folder.encode(), MNT_DETACH)


def move(device: str, process: int) -> None:
    """Move the card into a process' network namespace (RTM_NEWLINK, IFLA_NET_NS_PID)."""
    attribute = struct.pack("=HHI", 8, IFLA_NET_NS_PID, process)
    body = struct.pack("=BBHiII", 0, 0, 0, _socket.if_nametoindex(device), 0, 0) + attribute
    kernel = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
    kernel.send(struct.pack("=IHHII", 16 + len(body), 16, 5, 1, 0) + body)
    error = struct.unpack_from("=i", kernel.recv(4096), 16)[0]
    kernel.close()
    if error:
        os.write(CONSOLE, f"the card could not be moved: {os.strerror(-error)}\n".encode())


def main() -> None:
    """Run all faults, one after another; then kill PID 1 itself, so that the kernel panics."""
    for kind, folder in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        libc.mount(kind.encode(), folder.encode(), kind.encode(), 0, None)
    with open(STRIDE) as file:  # noqa: PTH123
        stride = int(file.read())
    with open(PANIC, "w") as file:  # noqa: PTH123
        file.write("1")  # second, until the kernel that lost its PID 1 starts again
    counts = count()
    os.write(CONSOLE, f"COUNTS {counts}\n".encode())
    for name, fault in before_links(stride, counts):
        run(name, fault, SEEN_SECONDS)
    os.write(CONSOLE, b"BEFORE LINKS: done\n")
    for name, fault in at_links(counts):
        run(name, fault, SEEN_SECONDS)
    os.write(CONSOLE, b"AT LINKS: done\n")
    run("none", deferred(fault_in_netlink, "none", -1), OPEN_SECONDS)
    os.write(CONSOLE, b"ALL: done\n")
    clear()
    boot_modules().rules.enforce = lambda *_: ctypes.string_at(0)
    from pbrinit.boot import pid1  # noqa: PLC0415

    pid1.main()


if __name__ == "__main__":
    main()
