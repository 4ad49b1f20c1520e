"""From PID 1's child to a program: its room, its files, its privileges, then the program itself.

In: a `ProgramPlan`, how the plan in force has it, and where its output goes.  Out: a process, which
becomes the program, so that no Python stays beside it.
"""

from __future__ import annotations

import os
import resource
import signal

from pbrinit.boot.programs import mounts, room, shares
from pbrinit.boot.system import privileges, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pbrinit.wire.bootplan import LinkPlan, ProgramPlan

    InForce = Callable[[], tuple[ProgramPlan, LinkPlan | None]]

NAMESPACE = "/proc/self/ns/pid"
FAILED = 127
"""The status of a program that could not be started, as shells have it."""


def start(
    program: ProgramPlan,
    in_force: InForce,
    hidden: Iterable[str],
    output: int,
    signals: Iterable[int],
) -> tuple[int, int]:
    """Start the program, with its output into the pipe `output`; the number of its process, and a
    pipe, not blocking, that ends when the process has become the program.  `hidden` are the files
    that it does not see, those of other programs.

    `in_force` is called in the new process, since it may take long: the program and the link that
    leads into its room, as the plan in force has them.

    In a room it is the first process of a PID namespace: the kernel ends all others there when it
    ends (zap_pid_ns_processes).  `signals` are those that PID 1 has blocked.

    Raises OSError where there can be no more processes.
    """
    reader, held = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        child = os.fork() if program.room is None else _fork_apart()
    except OSError:
        os.close(reader)
        os.close(held)
        raise
    if child == 0:
        _become(in_force, hidden, (output, held), signals)
    os.close(held)
    return child, reader


def _fork_apart() -> int:
    """fork(2) into a new PID namespace; this process stays in its own, and so do later children."""
    own = os.open(NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(syscalls.CLONE_NEWPID)
    child = -1
    try:
        child = os.fork()
    finally:
        if child != 0:
            syscalls.setns(own, syscalls.CLONE_NEWPID)
            os.close(own)
    return child


def _become(
    in_force: InForce,
    hidden: Iterable[str],
    pipes: tuple[int, int],
    signals: Iterable[int],
) -> None:
    """Never returns: what fails is said where the program's own errors are."""
    try:
        os.setsid()
        output, held = pipes
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        syscalls.close_all_but((held,))
        program, link = in_force()
        privileges.go_first()
        share = shares.door(program.name)
        users, uid = 0, program.uid
        if program.room is not None and link is not None:
            users = room.enter(program.room, link, program.processes)
            uid -= program.room.ids[0]
        mounts.enter(program, hidden, shares.of(program.name) // 2)
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        shares.enter(share)
        for what, most in (
            (resource.RLIMIT_NPROC, program.processes),
            (resource.RLIMIT_NOFILE, program.open_files),
        ):
            resource.setrlimit(what, (most, most))
        if users:
            syscalls.setns(users, syscalls.CLONE_NEWUSER)
        privileges.give_up(uid, program.capabilities)
        os.execve(program.command[0], program.command, dict(program.environment))  # noqa: S606
    except BaseException as error:
        os.write(2, f"cannot be started: {error}\n".encode())
    finally:
        os._exit(FAILED)
