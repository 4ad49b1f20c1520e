"""The faults that are put into PID 1 in a guest, each at one step.

In: how many steps there are.  Out: names, each with a call that breaks the image's modules in the
process that it is made in.  `faults` runs them; it is no part of the image either.
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
MEMORY_KIB = (0, 16, 32, 64, 96)
SHORT_SECONDS = 0.3

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


PATCHED = {
    "init": "pbrinit.boot.init",
    "syscalls": "pbrinit.boot.system.syscalls",
    "fail_closed": "pbrinit.boot.network.fail_closed",
    "links": "pbrinit.boot.network.links",
    "netlink": "pbrinit.wire.netlink.socket",
    "rules": "pbrinit.boot.network.rules",
    "sysctl": "pbrinit.boot.system.sysctl",
}


def boot() -> Any:
    """The image's modules that are changed here, by the last part of their name, imported now."""
    for name in PATCHED.values():
        __import__(name)
    return SimpleNamespace(**{short: sys.modules[name] for short, name in PATCHED.items()})


def later(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """The call, to be made in the process that it is for."""
    return lambda: function(*arguments)


def netlink(kind: str, number: int) -> None:
    """Put a socket that goes wrong in the place of rtnetlink's."""
    known = vars(_socket)
    fake = {**known, "socket": lambda *_: Wrapped(kind, number)}
    boot().netlink._socket = SimpleNamespace(**fake)
    boot().netlink.ANSWER_SECONDS = SHORT_SECONDS


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
    boot().init.PLAN = boot().fail_closed.PLAN = COPY


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
        yield f"mount {number}", later(fails, "syscalls", "mount", number)
    for at in [0, 20, 40, *range(60, counts["bytes"], counts["bytes"] // 24)]:
        yield f"plan byte {at}", later(flipped, at)
    for number in range(counts["sysctls"]):
        yield f"sysctl {number} refused", later(fails, "sysctl", "open", number)
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
