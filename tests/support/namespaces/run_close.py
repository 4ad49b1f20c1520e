"""PID 1 closes a machine on which others set every interface up, with faults: acts of `lab`.

In: which calls of closing fail.  Out: for each case "restart", or the interfaces that are up and
the processes that are left afterwards.  Each case is a PID 1 of its own, in namespaces of its own,
where reboot(2) ends that PID 1 by SIGHUP (reboot_pid_ns, kernel/pid_namespace.c).
"""

from __future__ import annotations

import builtins
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pbrinit.boot.network import fail_closed
from pbrinit.boot.system import atomic_file, syscalls

DEVICES = "/sys/class/net"
UP = "0x1003"
RESTART = "restart"
SEEN_SECONDS = 0.05
ENEMIES = 2
SPARED = {"_exit", "getpid"}
"""What is not made to fail: that there is no PID 1 any more is the way out, and its own number it
knows.
"""


@dataclass
class Faults:
    """Calls of closing that fail: by their number, or all of a name; and with what."""

    numbers: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    error: BaseException = field(default_factory=lambda: OSError(12, "Cannot allocate memory"))
    limit: tuple[int, int] | None = None
    """A resource (setrlimit(2)), and how much more of it PID 1 may have."""

    calls: list[str] = field(default_factory=list)

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """The call, which fails where it is to."""

        def call(*arguments: Any, **named: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number in self.numbers or name in self.names:
                raise self.error
            return real(*arguments, **named)

        return call


class Faulty:
    """A module whose functions fail where they are to."""

    def __init__(self, module: ModuleType, faults: Faults) -> None:
        self._module = module
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        plain = name in SPARED or not callable(found) or isinstance(found, type)
        return found if plain else self._faults.wrap(name, found)


def close(cases: Iterable[Faults]) -> list[str]:
    """What became of each case."""
    return [_case(faults) for faults in cases]


def calls() -> list[str]:
    """The calls of closing where none fails, in their order."""
    reader, writer = os.pipe()
    _case(Faults(), writer)
    os.close(writer)
    with os.fdopen(reader) as told:
        return told.read().split()


def _case(faults: Faults, told: int = -1) -> str:
    reader, writer = os.pipe()
    outer = os.fork()
    if outer == 0:
        _outer(faults, writer, told)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1])
    return found if status == 0 and found else f"ended with {status}: {found}"


def _outer(faults: Faults, writer: int, told: int) -> None:
    """Make the namespaces, and wait for their PID 1."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET)
        child = os.fork()
        if child == 0:
            _pid_1(faults, writer, told)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status in (-signal.SIGHUP, 1):
            os.write(writer, RESTART.encode())
        elif status:
            os.write(writer, f"PID 1 ended with {status}".encode())
    finally:
        os._exit(0)


def _pid_1(faults: Faults, writer: int, told: int) -> None:
    status = 9
    try:
        for kind, at in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
            syscalls.mount(kind, at, kind, 0)
        os.setsid()
        subprocess.run(["ip", "link", "add", "eth0", "type", "veth"], check=True)
        for _ in range(ENEMIES):
            if os.fork() == 0:
                _set_up_without_end()
        while not all(_is_up(device) for device in ("lo", "eth0")):
            time.sleep(0.005)
        _break(faults)
        closed = fail_closed.close("why not")
        _mend()
        time.sleep(SEEN_SECONDS)
        left = {path.name for path in Path("/proc").iterdir() if path.name.isdigit()} - {"1"}
        up = [path.name for path in Path(DEVICES).iterdir() if _is_up(path.name)]
        os.write(writer, f"{closed.ending}, up: {up}, left: {sorted(left)}".encode())
        if told >= 0:
            os.write(told, " ".join(faults.calls).encode())
        status = 0
    except BaseException as error:
        _mend()
        os.write(writer, f"close raised {error!r}".encode())
    finally:
        os._exit(status)


def _set_up_without_end() -> None:
    """What a guard does that does not know that the machine is closed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    while True:
        for device in ("lo", "eth0"):
            Path(f"{DEVICES}/{device}/flags").write_text(UP)


def _is_up(device: str) -> bool:
    return bool(int(Path(f"{DEVICES}/{device}/flags").read_text(), 16) & 1)


def _break(faults: Faults) -> None:
    modules: dict[str, Any] = vars(fail_closed)
    modules["os"] = Faulty(os, faults)
    modules["time"] = Faulty(time, faults)
    modules["open"] = faults.wrap("open", builtins.open)
    modules["log"] = faults.wrap("log", lambda _: None)
    vars(atomic_file)["os"] = Faulty(os, faults)
    vars(syscalls)["reboot"] = faults.wrap("reboot", syscalls.reboot)
    if faults.limit is not None:
        what, more = faults.limit
        used = {
            resource.RLIMIT_AS: int(Path("/proc/self/statm").read_text().split()[0]) * 4096,
            resource.RLIMIT_NOFILE: 0,
        }[what]
        resource.setrlimit(what, (used + more, resource.getrlimit(what)[1]))


def _mend() -> None:
    for what in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE):
        most = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most, most))
