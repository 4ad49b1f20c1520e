"""Faults of PID 1 in a guest, each at one step.

In: the number of steps.  Out: names, each with a call that changes the image's modules in the
calling process.  `fault_init` runs them.  This module is not part of the image.
"""

from __future__ import annotations

import _socket
import builtins
import ctypes
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
RLIMIT_AS = 9
NO_SUCH_TYPE = 999
NLMSG_NOOP = 1  # is acknowledged, and nothing is done (netlink_rcv_skb)
PLAN = "/etc/pbrinit/plan"
COPY = "/tmp/plan"  # noqa: S108  a guest's own
MODULES = (
    "ctypes",
    "pbrinit.wire.bootplan",
    "pbrinit.boot.init",
    "pbrinit.boot.system.syscalls",
    "pbrinit.boot.system.sysctl",
    "pbrinit.wire.netlink.socket",
    "pbrinit.boot.network.rules",
    "pbrinit.boot.network.links",
    "pbrinit.wire.netlink.route_dump",
    "pbrinit.boot.network.routes",
    "pbrinit.boot.network.addresses",
    "pbrinit.boot.network.audit",
)
MEMORY_KIB = (0, 16, 32, 64, 96, 128, 256, 512)
BLOCK = 400
"""Bytes: a size that Python takes from its own store while that lasts (Objects/obmalloc.c)."""

TAKEN: list[bytes] = []
SHORT_SECONDS = 0.3

libc = ctypes.CDLL(None)


class FaultySocket:
    """A netlink socket with one fault: `kind`, at the message or answer with this number."""

    sent = 0
    received = 0

    def __init__(self, kind: str, number: int) -> None:
        self._kind, self._number = kind, number
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)

    def send(self, data: bytes) -> int:
        changed, at = bytearray(data), 0
        lost = False
        while at < len(changed):
            if FaultySocket.sent == self._number:
                lost |= self._kind == "lost"
                if self._kind == "swallowed":
                    struct.pack_into("=H", changed, at + 4, NLMSG_NOOP)
                if self._kind == "refused":
                    struct.pack_into("=H", changed, at + 4, NO_SUCH_TYPE)
            FaultySocket.sent += 1
            at += (struct.unpack_from("=I", changed, at)[0] + 3) & ~3
        return len(data) if lost else self._socket.send(bytes(changed))

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        FaultySocket.received += 1
        hit = FaultySocket.received - 1 == self._number
        if hit and self._kind == "late":
            time.sleep(SHORT_SECONDS)
            raise TimeoutError
        data, sender = self._socket.recvfrom(size)
        return data[: len(data) // 2] if hit and self._kind == "cut" else data, sender


class HiddenModule:
    """An import hook that makes one module missing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, *_: object) -> None:
        if name == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}")


PATCHED = {
    "init": "pbrinit.boot.init",
    "syscalls": "pbrinit.boot.system.syscalls",
    "fail_closed": "pbrinit.boot.network.fail_closed",
    "links": "pbrinit.boot.network.links",
    "netlink": "pbrinit.wire.netlink.socket",
    "rules": "pbrinit.boot.network.rules",
    "sysctl": "pbrinit.boot.system.sysctl",
}


def boot_modules() -> Any:
    """The modules of the image that faults change, imported, by the last part of their name."""
    for name in PATCHED.values():
        __import__(name)
    return SimpleNamespace(**{short: sys.modules[name] for short, name in PATCHED.items()})


def deferred(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """The call, to be made later in the process that gets the fault."""
    return lambda: function(*arguments)


def fault_in_netlink(kind: str, number: int) -> None:
    """Replace the rtnetlink socket with a faulty one."""
    names = vars(_socket)
    fake = {**names, "socket": lambda *_: FaultySocket(kind, number)}
    boot_modules().netlink._socket = SimpleNamespace(**fake)
    boot_modules().netlink.ANSWER_SECONDS = SHORT_SECONDS


def fail_at(module_name: str, name: str, number: int) -> None:
    """Make a function of a module fail at the call with this number."""
    module = getattr(boot_modules(), module_name)
    real = getattr(module, name, None) or getattr(builtins, name)
    calls = [0]

    def function(*arguments: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] - 1 == number:
            raise OSError(5, "Input/output error", str(arguments[:2]))
        return real(*arguments, **named)

    setattr(module, name, function)


def flip_plan_bit(at: int) -> None:
    """Flip a bit of the plan."""
    with open(PLAN, "rb") as file:  # noqa: PTH123
        data = bytearray(file.read())
    data[at % len(data)] ^= 1
    with open(COPY, "wb") as file:  # noqa: PTH123
        file.write(data)
    boot_modules().init.PLAN = boot_modules().fail_closed.PLAN = COPY


def change_read_sysctl(number: int) -> None:
    """Make the sysctl with this number read back as another value."""
    real, calls = boot_modules().sysctl.read, [0]

    def read(key: str) -> str:
        calls[0] += 1
        return "another" if calls[0] - 1 == number else real(key)

    boot_modules().sysctl.read = read


def limit_memory(kib: int) -> None:
    """Take all memory that the process may have but `kib`: first that of its present size."""
    boot_modules()
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    with open("/proc/self/statm") as file:  # noqa: PTH123
        pages = int(file.read().split()[0])
    libc.setrlimit(RLIMIT_AS, struct.pack("=QQ", pages * 4096, pages * 4096))
    try:
        while True:
            TAKEN.append(bytes(BLOCK))
    except MemoryError:
        for _ in range(kib * 1024 // BLOCK):
            TAKEN.pop()  # a slice of it would take memory to delete (list_ass_slice)


def kill_in(module: str, name: str) -> None:
    """Kill the process where it calls a function, by a fault of its memory: a signal that PID 1
    sends itself is ignored (sig_task_ignored, kernel/signal.c).
    """
    setattr(getattr(boot_modules(), module), name, lambda *_: ctypes.string_at(0))


def hide_module(name: str) -> None:
    """Make a module missing."""
    sys.modules.pop(name, None)
    sys.meta_path.insert(0, HiddenModule(name))


def set_card_up() -> None:
    """Set the card up before PID 1 does anything."""
    libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
    with open(f"/sys/class/net/{CARD}/flags", "w") as file:  # noqa: PTH123
        file.write("0x1003")


def before_links(stride: int, counts: dict[str, int]) -> Iterator[Fault]:
    """Faults at every step before the links are brought up."""
    for number in range(4):
        yield f"mount {number}", deferred(fail_at, "syscalls", "mount", number)
    for at in [0, 20, 40, *range(60, counts["bytes"], counts["bytes"] // 24)]:
        yield f"plan byte {at}", deferred(flip_plan_bit, at)
    for number in range(counts["sysctls"]):
        yield f"sysctl {number} refused", deferred(fail_at, "sysctl", "open", number)
    for number in range(0, counts["sysctls"], 4):
        yield f"sysctl {number} other", deferred(change_read_sysctl, number)
    few = [n for n in range(counts["messages"]) if n % stride == 0 or n > counts["messages"] - 12]
    for kind in ("refused", "lost", "swallowed"):
        for number in few:
            yield f"message {number} {kind}", deferred(fault_in_netlink, kind, number)
    last = counts["answers"] - 12
    for kind in ("cut", "late"):
        for number in (n for n in range(counts["answers"]) if n % stride == stride - 1 or n > last):
            yield f"answer {number} {kind}", deferred(fault_in_netlink, kind, number)
    for kib in MEMORY_KIB:
        yield f"memory {kib}", deferred(limit_memory, kib)
    for name in MODULES:
        yield f"module {name}", deferred(hide_module, name)
    for module, name in (("sysctl", "write"), ("rules", "enforce"), ("links", "bring_up")):
        yield f"killed in {module}.{name}", deferred(kill_in, module, name)


def at_links(counts: dict[str, int]) -> Iterator[Fault]:
    """Faults while the interface is brought up, or if it is up too early: the kernel by itself then
    announces its addresses on the link.
    """
    yield "card up", set_card_up
    for kind in ("refused", "lost"):
        for number in range(counts["messages"], counts["messages"] + counts["link"]):
            yield f"message {number} {kind}", deferred(fault_in_netlink, kind, number)
