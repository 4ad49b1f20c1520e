"""A guard inside a namespace, and what it says: acts of `lab`.

In: plans.  Out: plain values.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

from pbrinit.boot.guard import guard
from pbrinit.boot.network import audit, fail_closed
from pbrinit.boot.state import guard_status, program_status
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.boot.system import sysctl
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.netlink import socket

guards: list[int] = []
LOOKS = Path("/run/looks")
"""A line each time that PID 1 would have been asked to look at rooms and log."""


def start(plan: BootPlan) -> None:
    """Run the guard as PID 1 does, in a process of its own, with a /run of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    start_again(plan)


def start_again(plan: BootPlan) -> None:
    """The same, with what the one before left in /run."""
    child = os.fork()
    if child:
        guards.append(child)
        return
    os.dup2(2, 1)
    program_status.request_refresh = _note_look
    try:
        guard.watch(plan)
    except guard.GuardError as error:
        fail_closed.take_down(str(error))
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    os._exit(3)


def _note_look(pid_1: int = 1) -> None:
    with LOOKS.open("a") as file:
        file.write(f"{pid_1}\n")


def looks() -> int:
    """How often PID 1 was asked to look."""
    return len(LOOKS.read_text().splitlines()) if LOOKS.exists() else 0


def stop() -> None:
    """End it."""
    if is_alive():
        os.kill(guards[-1], signal.SIGKILL)
        os.waitpid(guards[-1], 0)


def is_alive() -> bool:
    """Whether it still watches."""
    try:
        return os.waitpid(guards[-1], os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def seen() -> GuardStatus:
    """What it has seen."""
    return guard_status.read()


def why() -> str:
    """Why it closed the machine."""
    return str(fail_closed.reason())


def differences(plan: BootPlan) -> list[str]:
    """All that differs now, found by an audit of its own."""
    audited = audit.Audit(plan)
    with socket.Kernel() as kernel:
        wrong = [*audited.rules(kernel), *audited.routes(kernel)]
    return [text for text, _ in wrong] + sysctl.differences(audited.sysctls().items())
