"""PID 1's rest of life: it keeps its duties running, reaps the dead, and ends the machine.

In: the plan, or why there is none in force.  Out: nothing; it ends with the machine.
Signals: SIGUSR2 powers off, SIGTERM reboots, SIGINT is Ctrl-Alt-Del, SIGHUP says that the console
wants a program started again, or that rooms may have other addresses, or the log be wanted or not.
"""

from __future__ import annotations

import os
import resource
import signal
import time

from pbrinit.boot.console import shell
from pbrinit.boot.control import broker
from pbrinit.boot.guard import guard
from pbrinit.boot.network import fail_closed
from pbrinit.boot.observe import metrics_server, reject_log
from pbrinit.boot.programs import output_log
from pbrinit.boot.programs.supervisor import Programs
from pbrinit.boot.state import active_plan, program_status
from pbrinit.boot.system import powerbutton, syscalls, terminals
from pbrinit.boot.system.log import log, seconds
from pbrinit.boot.system.watchdog import start_watchdog
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from pbrinit.boot.network.fail_closed import Closed
    from pbrinit.boot.system.watchdog import Watchdog
    from pbrinit.wire.bootplan import BootPlan

ENDS: dict[int, int] = {
    syscalls.POWER_OFF: syscalls.RB_POWER_OFF,
    syscalls.REBOOT: syscalls.RB_AUTOBOOT,
    signal.SIGINT: syscalls.RB_AUTOBOOT,
}
ENDINGS = {"poweroff": syscalls.RB_POWER_OFF, "reboot": syscalls.RB_AUTOBOOT}
LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 1024), (resource.RLIMIT_NPROC, 512))
"""What a program may have: no core dump, and so many files and processes (setrlimit(2))."""

PAUSE_SECONDS = 1.0
"""Between a duty that ended and its next start, so that one that cannot start does not spin."""

STOP_SECONDS = 2.0
MOST_GUARD_EXITS, GUARD_EXITS_SECONDS = 3, 60.0
"""A guard that ends so often in that time is one that cannot do its work."""

CLOSED_STATUS = 3


def run(plan: BootPlan | None, end: Closed | None) -> None:
    """A console on each terminal, the power button, the watchdog and, unless closed, a guard and
    the policy's programs; reap; obey the signals and what is to follow.
    """
    signals = {signal.SIGCHLD, program_status.ASK, *ENDS}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    syscalls.reboot(syscalls.RB_DISABLE_CAD)
    for what, most in LIMITS:
        resource.setrlimit(what, (most, most))
    watchdog = start_watchdog()
    if watchdog:
        log(f"watchdog: a reset follows {watchdog.seconds} s after PID 1's last word")
    guarded = plan if end is None else None
    if end is not None:
        _kill_all()
    programs = Programs(guarded, signals)
    running = {_start(duty, signals): duty for duty in _helpers(plan, end, programs)}
    guard_process = _start(lambda: _guard(guarded), signals) if guarded else 0
    reject_log_process = _update_reject_log(guarded, 0, {}, signals)
    guard_exits: list[float] = []
    while True:
        programs.tick()
        received = _next(signals, watchdog, end, programs)
        if received in ENDS:
            _end(ENDS[received], programs)
        if received == program_status.ASK:
            _do_as_asked(programs)
        gone = _reap()
        programs.on_exit(gone)
        died = guard_process in gone
        if died:
            guard_exits = [
                at for at in (*guard_exits, seconds()) if at > seconds() - GUARD_EXITS_SECONDS
            ]
            if gone[guard_process] == CLOSED_STATUS or len(guard_exits) >= MOST_GUARD_EXITS:
                end = fail_closed.close(fail_closed.reason() or "the guard ends again and again")
                guard_process = 0
                programs.stop()
            else:
                log("the guard ended, and is started again")
                guard_process = _start(lambda: _guard(guarded), signals)
        ended = [running.pop(child) for child in gone if child in running]
        if ended or reject_log_process in gone:
            time.sleep(PAUSE_SECONDS)
            running |= {_start(duty, signals): duty for duty in ended}
        # A guard that ended may have put another plan in force before.
        if received == program_status.ASK or died or reject_log_process in gone:
            reject_log_process = _update_reject_log(
                guarded if end is None else None, reject_log_process, gone, signals
            )


def _helpers(
    plan: BootPlan | None, end: Closed | None, programs: Programs
) -> list[Callable[[], None]]:
    """What runs in a process of its own and is started again when it ends."""
    why = end.why if end else None
    shown = plan if end is None else None
    helpers: list[Callable[[], None]] = []
    for terminal in terminals.usable():
        helpers.append(lambda terminal=terminal: shell.run(terminal, shown, why))  # type: ignore[misc]
    if outputs := programs.outputs:
        helpers.append(lambda: output_log.run(outputs))
    if shown is not None and shown.metrics is not None:
        helpers.append(lambda: metrics_server.serve(shown))
    if shown is not None and (asking := [p for p in shown.programs if p.ask]):
        helpers.append(lambda: broker.serve(asking))
    if shown is not None and shown.dynamic_interfaces:
        helpers.append(lambda: _hold_addresses(shown))
    if buttons := powerbutton.devices():
        helpers.append(lambda: powerbutton.watch(buttons, 1, syscalls.POWER_OFF))
    return helpers


def _do_as_asked(programs: Programs) -> None:
    """Start those again whose rooms are to be others, and those that somebody named."""
    programs.restart_changed()
    for name in program_status.asked():
        programs.restart(name)


def _update_reject_log(
    image: BootPlan | None, logger: int, gone: Container[int], signals: set[int]
) -> int:
    """The process that writes down who is refused, 0 where the plan in force wants none; `logger`
    is the one that there was, and may be among those that are gone.
    """
    try:
        wanted = image is not None and active_plan.read(image).log
    except (OSError, BootFileError) as error:
        log(f"the log stays as it is: the plan in force cannot be read: {error}")
        wanted = logger != 0
    alive = 0 if logger in gone else logger
    if wanted:
        return alive or _start(reject_log.watch, signals)
    if alive:
        _kill_with_others(alive)
    return 0


def _kill_with_others(leader: int) -> None:
    """End a duty and what it has started. One that was just started may have no group yet, and
    nothing else either (`_start`).
    """
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(leader, signal.SIGKILL)


def _hold_addresses(plan: BootPlan) -> None:
    from pbrinit.boot.autoconf import address_manager  # noqa: PLC0415  few machines need it, and it brings sockets

    address_manager.hold(plan)


def _guard(plan: BootPlan | None) -> None:
    """Guard the machine; where that cannot be done, take its links down and say so by a status."""
    syscalls.set_parent_death_signal(signal.SIGKILL)
    try:
        if plan is not None:
            guard.watch(plan)
    except guard.GuardError as error:
        fail_closed.take_down(str(error))
        os._exit(CLOSED_STATUS)


def _next(
    signals: set[int], watchdog: Watchdog | None, end: Closed | None, programs: Programs
) -> int:
    """The next signal, or 0 where something is to be done about a program; the machine ends first
    where that is due. The watchdog is fed meanwhile, by this very loop and no other.
    """
    while True:
        pauses = []
        if watchdog is not None:
            watchdog.feed()
            pauses.append(watchdog.pause)
        if end is not None and end.ending in ENDINGS:
            if end.is_due():
                _end(ENDINGS[end.ending], programs)
            pauses.append(max(0.0, end.at - seconds()))
        due = programs.pause()
        if due is not None:
            pauses.append(due)
        if not pauses:
            return signal.sigwaitinfo(signals).si_signo
        told = signal.sigtimedwait(signals, min(pauses))
        if told is not None:
            return told.si_signo
        if due is not None and due <= min(pauses):
            return 0


def _start(helper: Callable[[], None], signals: set[int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.setsid()
        helper()
        status = 0
    except BaseException as error:
        log(f"a duty ended: {error!r}")
    finally:
        os._exit(status)


def _reap() -> dict[int, int]:
    """The exit status of every child that has ended, also of those that came here when their
    parent died.
    """
    ended: dict[int, int] = {}
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if child == 0:
            return ended
        ended[child] = os.waitstatus_to_exitcode(status)


def _end(command: int, programs: Programs) -> None:
    """The programs first, then all else, and the machine."""
    log("going down")
    programs.stop()
    while programs.running:
        time.sleep(0.05)
        programs.on_exit(_reap())
        programs.tick()
    _kill_all(signal.SIGTERM, signal.SIGKILL)
    os.sync()
    syscalls.reboot(command)


def _kill_all(*numbers: signal.Signals) -> None:
    """Every process there is besides this one: asked to end, then ended, or just that."""
    for number in numbers or (signal.SIGKILL,):
        try:
            os.kill(-1, number)
        except ProcessLookupError:
            break
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end and _alive():
            time.sleep(0.05)


def _alive() -> bool:
    """Whether a child is left; those that have ended are reaped."""
    _reap()
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
