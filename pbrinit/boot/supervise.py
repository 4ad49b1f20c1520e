"""PID 1 while the machine runs: it keeps its services running, reaps, and ends the machine.

In: the plan, or why there is none in force.  Out: nothing; it ends with the machine.
Signals: SIGUSR2 powers off, SIGTERM reboots, SIGINT is Ctrl-Alt-Del, SIGHUP says that a program is
to be started again, or that another plan is in force (`program_status.ASK`).

One round feeds the watchdog, starts at most one process, waits for a signal or until something is
due, and reaps. Nothing in it blocks: no sleep, no netlink, no whole plan.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

from pbrinit.boot.console import shell
from pbrinit.boot.control import broker
from pbrinit.boot.guard import guard
from pbrinit.boot.network import fail_closed
from pbrinit.boot.observe import metrics_server, reject_log
from pbrinit.boot.programs import output_log
from pbrinit.boot.programs.supervisor import Programs
from pbrinit.boot.service import DUE, FOREVER, NO_PIPE, STOP_SECONDS, STOPPED, Service, Table
from pbrinit.boot.state import plan_outline, program_status
from pbrinit.boot.system import console_writer, powerbutton, syscalls, terminals
from pbrinit.boot.system.log import log, seconds
from pbrinit.boot.system.watchdog import start_watchdog
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pbrinit.boot.network.fail_closed import Closed
    from pbrinit.wire.bootplan import BootPlan

ENDS: dict[int, int] = {
    syscalls.POWER_OFF: syscalls.RB_POWER_OFF,
    syscalls.REBOOT: syscalls.RB_AUTOBOOT,
    signal.SIGINT: syscalls.RB_AUTOBOOT,
}
ENDINGS = {"poweroff": syscalls.RB_POWER_OFF, "reboot": syscalls.RB_AUTOBOOT}
SIGNALS = frozenset({signal.SIGCHLD, program_status.ASK, *ENDS})
LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 1024), (resource.RLIMIT_NPROC, 512))
"""What a program may have: no core dump, and so many files and processes (setrlimit(2))."""

PAUSES = (1.0, 8.0)
"""Before a service of our own is started again, in seconds: the first time, and the longest."""

GUARD_PAUSES = (0.05, 1.0)
MOST_GUARD_EXITS, GUARD_EXITS_SECONDS = 3, 60.0
"""A guard that ends so often in that time cannot do its work."""

GUARD_ABSENT_SECONDS = 10.0
"""So long the machine may be without a guard, where no process can be started."""

MOST_FAILURES, FAILURES_SECONDS = 3, 60.0
"""A closed machine on which a round fails so often in that time starts again."""

CLOSED_STATUS = 3
MOST_REAPED, MOST_SIGNALS = 64, 8
"""In one round; what is left is taken up in the next, which follows at once."""

PROGRAMS, OTHERS, KILLED = range(3)
"""What PID 1 waits for while the machine goes down: the programs, then every other process, both
asked by SIGTERM, then those that it has killed.
"""


class Shutdown:
    """A machine that goes down: reboot(2)'s command, what it waits for, and until when."""

    def __init__(self, command: int) -> None:
        self.command = command
        self.waits_for = PROGRAMS
        self.until = seconds() + 2 * STOP_SECONDS

    def wait_for(self, what: int) -> None:
        """Go one step further."""
        self.waits_for = what
        self.until = seconds() + STOP_SECONDS


class Supervisor:
    """The services of the machine as it is: with a plan in force, or closed."""

    def __init__(self, plan: BootPlan | None, closed: Closed | None) -> None:
        self._plan = plan
        self._closed = closed
        self._shutdown: Shutdown | None = None
        self._failures: list[float] = []
        self._guard_exits: list[float] = []
        self._fault: str | None = None
        self._is_stale = False
        self._has_children = True
        self._is_reaped = True
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        syscalls.reboot(syscalls.RB_DISABLE_CAD)
        for what, most in LIMITS:
            resource.setrlimit(what, (most, most))
        self._watchdog = start_watchdog()
        if self._watchdog is not None:
            log(f"watchdog: a reset follows {self._watchdog.seconds} s after PID 1's last word")
        self._terminals = terminals.usable()
        self._buttons = _buttons()
        self._fill()

    def round(self) -> None:
        """One round. Whatever it raises is a fault of PID 1's own, and closes the machine."""
        self.feed()
        if self._closed is not None and self._closed.is_due():
            self._go_down(ENDINGS[self._closed.ending])
        self._table.tick()
        if self._console_writer.is_alive:
            console_writer.hand_over()
        self._programs.write()
        received = self._wait()
        self._table.exited(self._reap())
        for number in received:
            if number in ENDS:
                self._go_down(ENDS[number])
        if program_status.ASK in received:
            self._is_stale = True
            for name in program_status.asked():
                self._programs.start_again(name)
        if self._is_stale:
            self._follow()
        if self._shutdown is not None:
            self._proceed(self._shutdown)
        else:
            self._see_guard()

    def close(self, why: str) -> None:
        """Close the machine, where it is open; what runs afterwards are the services of a closed
        machine. On one that is closed a round has failed, and at the third time it starts again.
        """
        if self._closed is not None:
            now = seconds()
            self._failures = [at for at in (*self._failures, now) if at > now - FAILURES_SECONDS]
            if len(self._failures) >= MOST_FAILURES or self._shutdown is not None:
                fail_closed.restart()
        with contextlib.suppress(Exception):  # without a console the machine is closed all the same
            console_writer.begin()
        closed = fail_closed.close(why)
        self._closed = self._closed or closed
        self._shutdown = None
        self._fill()

    def feed(self) -> None:
        """Feed the watchdog. One that is gone resets the machine by itself."""
        if self._watchdog is not None:
            try:
                self._watchdog.feed()
            except OSError as error:
                log(f"the watchdog cannot be fed: {error}")
                self._watchdog = None

    def _fill(self) -> None:
        """The services of the machine, which have no processes yet."""
        self._fault = None
        self._is_stale = False
        plan = self._plan if self._closed is None else None
        self._programs = Programs(plan, SIGNALS)
        self._guard: Service | None = None
        self._reject_log: Service | None = None
        services = []
        if plan is not None:
            self._guard = Service(
                "the guard",
                _forked(lambda: _guard(plan)),
                pauses=GUARD_PAUSES,
                on_exit=self._guard_exited,
            )
            self._guard_seen = seconds()
            self._reject_log = Service(
                "the log of refused packets",
                _forked(reject_log.watch),
                pauses=PAUSES,
                state=DUE if plan.log else STOPPED,
            )
            services += [self._guard, self._reject_log]
        services += self._consoles()
        if plan is not None:
            services += _helpers(plan, self._programs)
        self._table = Table([*services, *self._programs.services])

    def _consoles(self) -> Iterator[Service]:
        """What every machine has, one that is closed as well."""
        self._console_writer = Service(
            "the console writer", _forked(console_writer.run), pauses=PAUSES, quiet=True
        )
        yield self._console_writer
        why = self._closed.why if self._closed else None
        shown = self._plan if self._closed is None else None
        for terminal in self._terminals:

            def console(terminal: str = terminal) -> None:
                shell.run(terminal, shown, why)

            yield Service(f"the console on {terminal}", _forked(console), pauses=PAUSES, quiet=True)
        if buttons := self._buttons:
            yield Service(
                "the power button",
                _forked(lambda: powerbutton.watch(buttons, 1, syscalls.POWER_OFF)),
                pauses=PAUSES,
            )

    def _wait(self) -> set[int]:
        """The signals that came, or none where something is due first."""
        pause = self._table.pause()
        if self._watchdog is not None:
            pause = min(pause, self._watchdog.pause)
        if self._closed is not None and self._closed.ending in ENDINGS and not self._shutdown:
            pause = min(pause, self._closed.at - seconds())
        if self._shutdown is not None:
            pause = min(pause, self._shutdown.until - seconds())
        if not self._is_reaped:
            pause = 0.0
        received: set[int] = set()
        if pause == FOREVER:
            received.add(signal.sigwaitinfo(SIGNALS).si_signo)
        elif (told := signal.sigtimedwait(SIGNALS, max(0.0, pause))) is not None:
            received.add(told.si_signo)
        while received and len(received) < MOST_SIGNALS:
            told = signal.sigtimedwait(SIGNALS, 0)
            if told is None:
                break
            received.add(told.si_signo)
        return received

    def _reap(self) -> dict[int, int]:
        """The exit status of children that have ended, also of those that came here when their
        parent died.
        """
        ended: dict[int, int] = {}
        self._is_reaped = self._has_children = True
        while len(ended) < MOST_REAPED:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return ended
            if child == 0:
                return ended
            ended[child] = os.waitstatus_to_exitcode(status)
        self._is_reaped = False
        return ended

    def _follow(self) -> None:
        """Start those programs again whose room is another by the plan in force, and have the log
        of refused packets run where that plan wants it.
        """
        self._is_stale = False
        if self._plan is None or self._reject_log is None or self._shutdown is not None:
            return
        try:
            outline = plan_outline.read(self._plan)
        except (OSError, BootFileError) as error:
            log(f"rooms and log stay as they are: the plan in force cannot be read: {error}")
            return
        self._programs.follow(outline)
        if outline.log:
            self._reject_log.start()
        else:
            self._reject_log.stop(signal.SIGKILL)

    def _guard_exited(self, status: int) -> None:
        """A guard that ended may have put another plan in force before, and one that ends with
        CLOSED_STATUS has taken every interface down.
        """
        self._is_stale = True
        now = seconds()
        self._guard_exits = [
            at for at in (*self._guard_exits, now) if at > now - GUARD_EXITS_SECONDS
        ]
        if status == CLOSED_STATUS:
            self._fault = fail_closed.reason() or "the guard has closed the machine"
        elif len(self._guard_exits) >= MOST_GUARD_EXITS:
            self._fault = "the guard ends again and again"

    def _see_guard(self) -> None:
        """Close the machine where the guard wants it, or where there is none for too long."""
        if self._guard is not None:
            if self._guard.is_alive:
                self._guard_seen = seconds()
            elif seconds() - self._guard_seen > GUARD_ABSENT_SECONDS:
                self._fault = f"there is no guard: {self._guard.outcome}"
        if self._fault is not None:
            self.close(self._fault)

    def _go_down(self, command: int) -> None:
        """Begin to end the machine: the programs first."""
        if self._shutdown is None:
            log("going down")
            self._shutdown = Shutdown(command)
            self._programs.stop()

    def _proceed(self, shutdown: Shutdown) -> None:
        """Go on to end the machine, where what it waits for has happened or has had its time."""
        is_over = seconds() >= shutdown.until
        if shutdown.waits_for == PROGRAMS and (is_over or not self._programs.is_alive):
            self._table.stop()
            fail_closed.kill_all(signal.SIGTERM)
            shutdown.wait_for(OTHERS)
        elif shutdown.waits_for == OTHERS and (is_over or not self._has_children):
            fail_closed.kill_all(signal.SIGKILL)
            shutdown.wait_for(KILLED)
        elif shutdown.waits_for == KILLED and (is_over or not self._has_children):
            with contextlib.suppress(Exception):  # a line that is lost does not keep it running
                console_writer.finish()
            os.sync()
            syscalls.reboot(shutdown.command)


def run(plan: BootPlan | None, closed: Closed | None) -> None:
    """Supervise without end. `plan` is in force unless the machine is closed."""
    supervisor = Supervisor(plan, closed)
    while True:
        why = None
        try:
            supervisor.round()
        except BaseException as error:
            why = f"PID 1 failed: {error or type(error).__name__}"
        # Not before the error is gone, and with it all that its frames hold: memory may be short.
        if why is not None:
            supervisor.close(why)


def _helpers(plan: BootPlan, programs: Programs) -> Iterator[Service]:
    """The services that a machine with a plan in force has besides."""
    helpers: list[tuple[str, Callable[[], None]]] = []
    if outputs := programs.outputs:
        helpers.append(("the log of programs", lambda: output_log.run(outputs)))
    if plan.metrics is not None:
        helpers.append(("metrics", lambda: metrics_server.serve(plan)))
    if asking := [program for program in plan.programs if program.control]:
        helpers.append(("the control broker", lambda: broker.serve(asking)))
    if plan.dynamic_interfaces:
        helpers.append(("the address manager", lambda: _hold_addresses(plan)))
    for name, work in helpers:
        yield Service(name, _forked(work), pauses=PAUSES)


def _buttons() -> list[str]:
    """The power buttons; a device that cannot be read is none."""
    try:
        return powerbutton.devices()
    except (OSError, ValueError) as error:
        log(f"there is no power button: {error}")
        return []


def _hold_addresses(plan: BootPlan) -> None:
    from pbrinit.boot.autoconf import address_manager  # noqa: PLC0415  few machines need it, and it brings sockets

    address_manager.hold(plan)


def _guard(plan: BootPlan) -> None:
    """Guard the machine; where that cannot be done, take its links down and say so by a status."""
    syscalls.set_parent_death_signal(signal.SIGKILL)
    try:
        guard.watch(plan)
    except guard.GuardError as error:
        try:
            fail_closed.take_down(str(error))
        finally:
            os._exit(CLOSED_STATUS)


def _forked(work: Callable[[], None]) -> Callable[[], tuple[int, int]]:
    """Starts a process of our own for a `Service`. Raises OSError where there can be none."""
    return lambda: (_fork(work), NO_PIPE)


def _fork(work: Callable[[], None], signals: Iterable[int] = SIGNALS) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.setsid()
        work()
        status = 0
    except BaseException as error:
        log(f"a service failed: {error!r}")
    finally:
        os._exit(status)
