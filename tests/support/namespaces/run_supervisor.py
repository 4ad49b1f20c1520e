"""The supervisor of programs inside a namespace, as PID 1 runs it: calls for `lab`.

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
from pbrinit.boot.programs import shares, supervisor
from pbrinit.boot.service import Table
from pbrinit.boot.state import plan_outline, program_status
from pbrinit.boot.state.program_status import ProgramStatus
from pbrinit.boot.system import syscalls
from pbrinit.wire.bootplan import BootPlan, ProgramPlan, RoomPlan
from tests.support.namespaces import in_namespace

supervisors: list[int] = []
OUTPUT = "/run/output"
GROUPS = "/run/groups"
FEW_IDS = 2000
"""As many user IDs as the programs of the tests need."""


def start(plan: BootPlan, first_seconds: float = 0.0) -> None:
    """Run the programs of the plan, in a process of its own; a guard must run already. Their output
    goes to a file. `first_seconds` is the pause before a program is started again.
    """
    child = os.fork()
    if child:
        supervisors.append(child)
        return
    try:
        os.dup2(2, 1)
        supervisor.PAUSES = (first_seconds, supervisor.PAUSES[1])
        _supervise(plan)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    os._exit(1)


def _supervise(plan: BootPlan) -> None:
    signals = {signal.SIGCHLD, signal.SIGTERM, program_status.ASK}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    _make_group_folders(plan)
    programs = supervisor.Programs(with_ids(plan), signals)
    with Path(OUTPUT).open("wb", buffering=0) as output_file:
        for name, reader in programs.outputs:
            if os.fork() == 0:
                syscalls.set_parent_death_signal(signal.SIGKILL)
                with os.fdopen(reader, "rb") as output:
                    for line in output:
                        output_file.write(name.encode() + b": " + line)
    table = Table(programs.services)
    while True:
        table.tick()
        programs.write()
        received = signal.sigtimedwait(signals, min(table.pause(), 5.0))
        if received is not None and received.si_signo == signal.SIGTERM:
            programs.stop()
        if received is not None and received.si_signo == program_status.ASK:
            programs.follow(plan_outline.read(plan))
            for name in program_status.asked():
                programs.start_again(name)
        exit_statuses = {}
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            exit_statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])
        table.exited(exit_statuses)


def _make_group_folders(plan: BootPlan) -> None:
    """Make folders instead of control groups, which belong to the machine that runs the tests.
    Control groups are tested in guests.
    """
    shares.ROOT, shares.GROUPS = GROUPS, f"{GROUPS}/programs"
    for program in plan.programs:
        folder = Path(shares.GROUPS, program.name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").touch()


def with_ids(plan: BootPlan) -> BootPlan:
    """The plan, with user IDs for its rooms that this user namespace maps: that of an ordinary user
    maps some ten thousand.
    """
    if in_namespace.has_every_id():
        return plan
    programs = [
        _with_first_id(number * FEW_IDS, program) for number, program in enumerate(plan.programs, 1)
    ]
    return BootPlan(**{**vars(plan), "programs": tuple(programs)})


def _with_first_id(first: int, program: ProgramPlan) -> ProgramPlan:
    if program.room is None:
        return program
    room = RoomPlan(**{**vars(program.room), "ids": (first, FEW_IDS)})
    uid = program.uid - program.room.ids[0] + first
    return ProgramPlan(**{**vars(program), "uid": uid, "room": room})


def output() -> str:
    """The output of the programs so far."""
    path = Path(OUTPUT)
    return path.read_text(errors="replace") if path.exists() else ""


def wait_for(text: str, seconds: float = 10.0) -> str:
    """The output, as soon as it contains `text`; raises AssertionError if it does not in time."""
    end = time.monotonic() + seconds
    while text not in output():
        if time.monotonic() > end:
            raise AssertionError(f"{text!r} was not printed, but: {output()}")
        time.sleep(0.02)
    return output()


def statuses() -> list[ProgramStatus]:
    """The status of each program, as PID 1 reads it."""
    return program_status.read()


def request_restart(name: str) -> None:
    """Request the restart of a program, as the console does."""
    program_status.ask(name, supervisors[-1])


def use_lease(plan: BootPlan) -> str:
    """Put the plan for a lease in force, as PID 1 does; the guard's answer."""
    with (
        mock.patch.object(address_manager, "RESOLVERS", "/run/resolv.conf"),
        mock.patch.object(
            program_status,
            "request_refresh",
            partial(program_status.request_refresh, supervisors[-1]),
        ),
    ):
        return address_manager.activate(plan, (), force=True)


def stop() -> None:
    """End the programs, then their supervisor, if it still runs."""
    if not supervisors:
        return
    os.kill(supervisors[-1], signal.SIGTERM)
    end = time.monotonic() + 5
    while any(program.process for program in program_status.read()) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(supervisors[-1], signal.SIGKILL)
    os.waitpid(supervisors.pop(), 0)
