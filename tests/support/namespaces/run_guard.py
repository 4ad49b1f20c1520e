"""A guard inside a namespace, and what it records: calls for `lab`.

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
"""One line for each time that the guard would have notified PID 1."""


def start(plan: BootPlan) -> None:
    """Run the guard as PID 1 does, in a process of its own, with a /run of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    start_again(plan)


def start_again(plan: BootPlan) -> None:
    """The same, with the files that the previous guard left in /run."""
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


def look_count() -> int:
    """How often the guard would have notified PID 1."""
    return len(LOOKS.read_text().splitlines()) if LOOKS.exists() else 0


def stop() -> None:
    """End the guard."""
    if is_alive():
        os.kill(guards[-1], signal.SIGKILL)
        os.waitpid(guards[-1], 0)


def is_alive() -> bool:
    """Whether the guard still runs."""
    try:
        return os.waitpid(guards[-1], os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def record() -> GuardStatus:
    """The guard's record."""
    return guard_status.read()


def close_reason() -> str:
    """Why the guard closed the machine."""
    return str(fail_closed.reason())


def differences(plan: BootPlan) -> list[str]:
    """All differences from the plan, found by a new audit."""
    audited = audit.Audit(plan)
    with socket.Kernel() as kernel:
        wrong = [*audited.rules(kernel), *audited.routes(kernel)]
    return audit.describe_all(wrong) + sysctl.differences(audited.sysctls().items())
