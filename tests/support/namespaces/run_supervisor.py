"""Programs kept running inside a namespace, as PID 1 does it: acts of `lab`.

In: plans.  Out: plain values.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from unittest import mock

from pbrinit.boot.autoconf import address_manager
from pbrinit.boot.programs import supervisor
from pbrinit.boot.state import program_status
from pbrinit.boot.state.program_status import ProgramStatus
from pbrinit.boot.system import syscalls
from pbrinit.wire.bootplan import BootPlan

keepers: list[int] = []
SAID = "/run/said"


def start(plan: BootPlan, first_seconds: float = 0.0) -> None:
    """Keep the programs of the plan, in a process of its own, where a guard watches already; what
    they say goes to a file. `first_seconds` is the pause before one is started again.
    """
    child = os.fork()
    if child:
        keepers.append(child)
        return
    try:
        os.dup2(2, 1)
        supervisor.FIRST_SECONDS = first_seconds
        _keep(plan)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    os._exit(1)


def _keep(plan: BootPlan) -> None:
    signals = {signal.SIGCHLD, signal.SIGTERM, program_status.ASK}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    kept = supervisor.Programs(plan, signals)
    with Path(SAID).open("wb", buffering=0) as said:
        for name, reader in kept.outputs:
            if os.fork() == 0:
                syscalls.set_parent_death_signal(signal.SIGKILL)
                with os.fdopen(reader, "rb") as output:
                    for line in output:
                        said.write(name.encode() + b": " + line)
    while True:
        kept.tick()
        pause = kept.pause()
        told = signal.sigtimedwait(signals, 5.0 if pause is None else pause)
        if told is not None and told.si_signo == signal.SIGTERM:
            kept.stop()
        if told is not None and told.si_signo == program_status.ASK:
            kept.restart_changed()
            for name in program_status.asked():
                kept.restart(name)
        gone = {}
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            gone[found[0]] = os.waitstatus_to_exitcode(found[1])
        kept.on_exit(gone)


def said() -> str:
    """What the programs have said so far."""
    path = Path(SAID)
    return path.read_text(errors="replace") if path.exists() else ""


def wait_for(text: str, seconds: float = 10.0) -> str:
    """What was said, as soon as `text` is in it; raises AssertionError where it never is."""
    end = time.monotonic() + seconds
    while text not in said():
        if time.monotonic() > end:
            raise AssertionError(f"{text!r} was not said, but: {said()}")
        time.sleep(0.02)
    return said()


def statuses() -> list[ProgramStatus]:
    """What PID 1 reports of the programs."""
    return program_status.read()


def ask(name: str) -> None:
    """Ask for one to be started again, as the console does."""
    program_status.ask(name, keepers[-1])


def lease(plan: BootPlan) -> str:
    """Have the plan for a lease in force, as PID 1's duty does; what the guard says."""
    with (
        mock.patch.object(address_manager, "RESOLVERS", "/run/resolv.conf"),
        mock.patch.object(
            program_status, "request_refresh", partial(program_status.request_refresh, keepers[-1])
        ),
    ):
        return address_manager.activate(plan, (), anyhow=True)


def stop() -> None:
    """End the programs, then who keeps them; nothing where that was done already."""
    if not keepers:
        return
    os.kill(keepers[-1], signal.SIGTERM)
    end = time.monotonic() + 5
    while any(program.process for program in program_status.read()) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(keepers[-1], signal.SIGKILL)
    os.waitpid(keepers.pop(), 0)
