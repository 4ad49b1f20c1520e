"""Runs in a guest in the place of /init: PID 1's own code, with a fault, again and again.

In: the kernel's word `pbrinit.stride=N`, every how many netlink messages one is refused.
Out: on the console, for each fault, `FAULT name`, what PID 1 says, and `STATE name: …` with the
devices that are up; at last a PID 1 that is killed. It is no part of the image, and nothing of
the image knows of it: each fault is put into a process of its own, with a network namespace of
its own into which the card is moved, and the image's modules are changed there.
"""

from __future__ import annotations

import _socket
import builtins
import ctypes
import os
import signal
import struct
import sys
import time
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Fault = tuple[str, Callable[[], object]]

CARD = "eth0"
STRIDE = "pbrinit.stride="
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MNT_DETACH = 2
RLIMIT_AS = 9
UNLIMITED = b"\xff" * 16
NO_SUCH_TYPE = 999
NLMSG_NOOP = 1  # is acknowledged, and nothing is done (netlink_rcv_skb)
IFLA_NET_NS_PID = 19
FOLDERS = ("/proc", "/sys", "/dev", "/run")
PLAN = "/etc/pbrinit/plan"
COPY = "/tmp/plan"  # noqa: S108  a guest's own
MODULES = (
    "ctypes", "pbrinit.bootfile", "pbrinit.boot.init", "pbrinit.boot.calls", "pbrinit.boot.sysctl",
    "pbrinit.boot.rtnetlink", "pbrinit.boot.rules", "pbrinit.boot.links",
    "pbrinit.boot.routedump", "pbrinit.boot.routes", "pbrinit.boot.addresses", "pbrinit.boot.audit",
)  # fmt: skip
MEMORY_KIB = (0, 16, 32, 64, 96)
SHORT_SECONDS = 0.3
SEEN_SECONDS = 0.06
OPEN_SECONDS = 4.0

libc = ctypes.CDLL(None)


class Wrapped:
    """A netlink socket in which one thing goes wrong: `kind` at the `number`th time."""

    sent = 0
    received = 0

    def __init__(self, kind: str, number: int) -> None:
        self._kind, self._number = kind, number
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)

    def send(self, data: bytes) -> int:
        made, at = bytearray(data), 0
        lost = False
        while at < len(made):
            if Wrapped.sent == self._number:
                lost |= self._kind == "lost"
                if self._kind == "swallowed":
                    struct.pack_into("=H", made, at + 4, NLMSG_NOOP)
                if self._kind == "refused":
                    struct.pack_into("=H", made, at + 4, NO_SUCH_TYPE)
            Wrapped.sent += 1
            at += (struct.unpack_from("=I", made, at)[0] + 3) & ~3
        return len(data) if lost else self._socket.send(bytes(made))

    def recv(self, size: int) -> bytes:
        Wrapped.received += 1
        hit = Wrapped.received - 1 == self._number
        if hit and self._kind == "late":
            time.sleep(SHORT_SECONDS)
            raise TimeoutError
        data = self._socket.recv(size)
        return data[: len(data) // 2] if hit and self._kind == "cut" else data


class Hidden:
    """An import hook by which one module is not there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, *_: object) -> None:
        if name == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}")


def boot() -> Any:
    """The image's modules, imported now."""
    for name in ("init", "calls", "closed", "links", "rtnetlink", "rules", "sysctl"):
        __import__(f"pbrinit.boot.{name}")
    return sys.modules["pbrinit.boot"]


def later(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """The call, to be made in the process that it is for."""
    return lambda: function(*arguments)


def netlink(kind: str, number: int) -> None:
    """Put a socket that goes wrong in the place of rtnetlink's."""
    known = vars(_socket)
    fake = {**known, "socket": lambda *_: Wrapped(kind, number)}
    boot().rtnetlink._socket = SimpleNamespace(**fake)
    boot().rtnetlink.ANSWER_SECONDS = SHORT_SECONDS


def fails(module_name: str, name: str, number: int) -> None:
    """Have a function of a module fail at its `number`th call."""
    module = getattr(boot(), module_name)
    real = getattr(module, name, None) or getattr(builtins, name)
    calls = [0]

    def function(*arguments: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] - 1 == number:
            raise OSError(5, "Input/output error", str(arguments[:2]))
        return real(*arguments, **named)

    setattr(module, name, function)


def flipped(at: int) -> None:
    """Have a bit of the plan wrong."""
    with open(PLAN, "rb") as file:  # noqa: PTH123
        data = bytearray(file.read())
    data[at % len(data)] ^= 1
    with open(COPY, "wb") as file:  # noqa: PTH123
        file.write(data)
    boot().init.PLAN = boot().closed.PLAN = COPY


def other_value(number: int) -> None:
    """Have a sysctl take another value than it was given."""
    real, calls = boot().sysctl.read, [0]

    def read(key: str) -> str:
        calls[0] += 1
        return "another" if calls[0] - 1 == number else real(key)

    boot().sysctl.read = read


def short_of_memory(kib: int) -> None:
    """Have so much more memory and no more."""
    boot()
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    with open("/proc/self/statm") as file:  # noqa: PTH123
        pages = int(file.read().split()[0])
    limit = pages * 4096 + kib * 1024
    libc.setrlimit(RLIMIT_AS, struct.pack("=QQ", limit, limit))


def hit(module: str, name: str) -> None:
    """Be killed where a function is called."""
    setattr(getattr(boot(), module), name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def missing(name: str) -> None:
    """Have a module not there."""
    sys.modules.pop(name, None)
    sys.meta_path.insert(0, Hidden(name))


def card_is_up() -> None:
    """Have the card up before anything is done."""
    libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
    with open(f"/sys/class/net/{CARD}/flags", "w") as file:  # noqa: PTH123
        file.write("0x1003")


def before_links(stride: int, counts: dict[str, int]) -> Iterator[Fault]:
    """Faults at every step before the links."""
    for number in range(4):
        yield f"mount {number}", later(fails, "calls", "mount", number)
    for at in [0, 20, 40, *range(60, counts["bytes"], counts["bytes"] // 24)]:
        yield f"plan byte {at}", later(flipped, at)
    for number in range(counts["sysctls"]):
        yield f"sysctl {number} refused", later(fails, "sysctl", "open", 2 * number)
    for number in range(0, counts["sysctls"], 4):
        yield f"sysctl {number} other", later(other_value, number)
    few = [n for n in range(counts["messages"]) if n % stride == 0 or n > counts["messages"] - 12]
    for kind in ("refused", "lost", "swallowed"):
        for number in few:
            yield f"message {number} {kind}", later(netlink, kind, number)
    last = counts["answers"] - 12
    for kind in ("cut", "late"):
        for number in (n for n in range(counts["answers"]) if n % stride == stride - 1 or n > last):
            yield f"answer {number} {kind}", later(netlink, kind, number)
    for kib in MEMORY_KIB:
        yield f"memory {kib}", later(short_of_memory, kib)
    for name in MODULES:
        yield f"module {name}", later(missing, name)
    for module, name in (("sysctl", "write"), ("rules", "enforce"), ("links", "bring_up")):
        yield f"killed in {module}.{name}", later(hit, module, name)


def at_links(counts: dict[str, int]) -> Iterator[Fault]:
    """Faults while the interface is brought up, or is up too early: the kernel by itself then
    tells the link of its addresses.
    """
    yield "card up", card_is_up
    for kind in ("refused", "lost"):
        for number in range(counts["messages"], counts["messages"] + counts["link"]):
            yield f"message {number} {kind}", later(netlink, kind, number)


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

    def forever(plan: object, end: Any) -> None:
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
    modules["pbrinit.boot.supervise"] = SimpleNamespace(forever=forever)
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
