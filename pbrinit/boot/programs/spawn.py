"""From PID 1's child to a program: its room, its files, its privileges, then the program itself.

In: a `ProgramPlan`, the link that leads into its room, and where its output goes.  Out: a process,
which becomes the program, so that no Python stays beside it.
"""

from __future__ import annotations

import os
import signal

from pbrinit.boot.programs import mounts, room
from pbrinit.boot.system import privileges, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.bootplan import LinkPlan, ProgramPlan

NAMESPACE = "/proc/self/ns/pid"
FAILED = 127
"""The status of a program that could not be started, as shells have it."""


def start(
    program: ProgramPlan, link: LinkPlan | None, output: int, signals: Iterable[int]
) -> tuple[int, int]:
    """Start the program, with its output into the pipe `output`; the number of its process, and a
    pipe, not blocking, that ends when the process has become the program.

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
        _become(program, link, (output, held), signals)
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
    program: ProgramPlan, link: LinkPlan | None, pipes: tuple[int, int], signals: Iterable[int]
) -> None:
    """Never returns: what fails is said where the program's own errors are."""
    try:
        os.setsid()
        output, held = pipes
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        syscalls.close_all_but((held,))
        if program.room is not None and link is not None:
            room.enter(program.room, link)
        mounts.enter(program.uid, mounts.broker_folder(program.name) if program.ask else None)
        os.chdir("/")
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        privileges.give_up(program.uid, program.capabilities)
        os.execve(program.command[0], program.command, dict(program.environment))  # noqa: S606
    except BaseException as error:
        os.write(2, f"cannot be started: {error}\n".encode())
    finally:
        os._exit(FAILED)
