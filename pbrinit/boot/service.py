"""A service of PID 1: a process that is started, watched, ended, and started again.

In: how its process is started, when it is to run again, and the time.  Out: its state, and when
the next step is due.  Nothing here waits and nothing raises: a start that fails is tried again.

    due ──▶ starting ──▶ running ──▶ due or stopped      by itself, as `restart` says
               └───────────┴──▶ stopping ──▶ stopped     by `stop`, or ──▶ due by `start_again`
"""

from __future__ import annotations

import contextlib
import os
import signal

from pbrinit.boot.system.log import log, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Start = Callable[[], tuple[int, int]]

DUE, STARTING, RUNNING, STOPPING, STOPPED = "due", "starting", "running", "stopping", "stopped"
ALWAYS, ON_FAILURE, NEVER = "always", "on-failure", "never"
"""When a process that has ended is started again, in the words of the policy."""

STOP_SECONDS = 2.0
"""Between SIGTERM and SIGKILL."""

NO_PIPE = -1
FOREVER = float("inf")

MOST_STARTING = 4
"""As many may be starting at a time: each is a copy of PID 1 until it has become its program, and
a hundred copies are more than a small machine has memory for."""

LOOK_SECONDS = 0.05
"""How often to look whether one of these has become its program, while others wait for that."""


class Service:
    """One service and its process.

    `start` gives the number of a new process, and a pipe, not blocking, that ends when the process
    has become its program, or NO_PIPE where there is nothing to wait for.  `pauses` are the first
    and the longest time before it is started again, in seconds: each is twice the one before, and
    they begin anew once it has run for the longest.  `on_exit` is called with each exit status,
    which is less than 0 by a signal.  A `quiet` service is not logged when it ends with status 0.
    One that is started `in_turn` is one of MOST_STARTING.
    """

    def __init__(
        self,
        name: str,
        start: Start,
        restart: str = ALWAYS,
        *,
        pauses: tuple[float, float] = (1.0, 60.0),
        on_exit: Callable[[int], None] | None = None,
        quiet: bool = False,
        in_turn: bool = False,
        state: str = DUE,
    ) -> None:
        self.name = name
        self.state = state
        self.in_turn = in_turn
        self.process = 0
        self.since = 0.0
        self.restarts = 0
        self.outcome = "not started yet"
        self._start = start
        self._restart = restart
        self._first, self._longest = pauses
        self._pause = self._first
        self._on_exit = on_exit
        self._quiet = quiet
        self._pipe = NO_PIPE
        self._start_at = 0.0
        self._kill_at = FOREVER
        self._again = False

    @property
    def due_at(self) -> float:
        """When `tick` has something to do, in seconds of `log.seconds`; FOREVER where never."""
        return {DUE: self._start_at, STOPPING: self._kill_at}.get(self.state, FOREVER)

    @property
    def is_alive(self) -> bool:
        """Whether it has a process."""
        return self.process != 0

    def tick(self) -> None:
        """Do what is due: start it, or kill what does not end."""
        if self.due_at > seconds():
            return
        if self.state == DUE:
            self._fork()
        else:
            self._kill_at = FOREVER
            self._signal(signal.SIGKILL)

    def is_starting(self) -> bool:
        """Whether its process has not become its program yet."""
        if self.state == STARTING and self._has_ended_pipe():
            self.state = RUNNING
        return self.state == STARTING

    def exited(self, status: int) -> None:
        """Take up that its process has ended, and end what it has left in its process group."""
        with contextlib.suppress(OSError):
            os.killpg(self.process, signal.SIGKILL)
        self._close_pipe()
        self.process = 0
        told = f"ended with status {status}" if status >= 0 else f"ended by signal {-status}"
        was_stopped = self.state == STOPPING
        wanted = self._restart == ALWAYS or (self._restart == ON_FAILURE and status != 0)
        if was_stopped:
            self._kill_at = FOREVER
            self.outcome, self.state = told, STOPPED
            if self._again:
                self.restarts += 1
                self._make_due(0.0)
        elif wanted:
            self._retry(told, quiet=self._quiet and status == 0)
        else:
            self.outcome, self.state = told, STOPPED
            if not (self._quiet and status == 0):
                log(f"{self.name}: {told}")
        if self._on_exit is not None:
            self._on_exit(status)

    def start(self) -> None:
        """Start it where it has stopped, or is about to."""
        if self.state == STOPPED:
            self._make_due(0.0)
        elif self.state == STOPPING:
            self._again = True

    def start_again(self) -> None:
        """End it and start it anew, at once and without regard to how often it has ended."""
        self._pause = self._first
        if self.is_alive:
            self._ask_to_end(signal.SIGTERM)
            self._again = True
        else:
            self._make_due(0.0)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by this signal, and do not start it again."""
        if self.is_alive:
            self._ask_to_end(number)
            self._again = False
        else:
            self.state = STOPPED

    def _fork(self) -> None:
        self.since = seconds()
        try:
            self.process, self._pipe = self._start()
        except Exception as error:
            self._retry(f"cannot be started: {error}")
            return
        self.outcome = "running"
        self.state = RUNNING if self._pipe == NO_PIPE else STARTING

    def _retry(self, told: str, *, quiet: bool = False) -> None:
        """Say why it does not run, and start it again after a pause."""
        if seconds() - self.since >= self._longest:
            self._pause = self._first
        if not quiet:
            log(f"{self.name}: {told}, is started again in {self._pause:.3g} s")
        self.outcome = f"{told}, is started again"
        self.restarts += 1
        self._make_due(self._pause)
        self._pause = min(2 * self._pause, self._longest)

    def _make_due(self, pause: float) -> None:
        self.state = DUE
        self._start_at = seconds() + pause

    def _ask_to_end(self, number: signal.Signals) -> None:
        if self.state != STOPPING:
            self.state = STOPPING
            self._kill_at = FOREVER if number == signal.SIGKILL else seconds() + STOP_SECONDS
            self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        """To its process group, or to the process where it has made none yet."""
        with contextlib.suppress(OSError):
            try:
                os.killpg(self.process, number)
            except ProcessLookupError:
                os.kill(self.process, number)

    def _has_ended_pipe(self) -> bool:
        try:
            os.read(self._pipe, 1)
        except BlockingIOError:
            return False
        except OSError:
            pass  # no pipe any more is no reason to wait for it
        self._close_pipe()
        return True

    def _close_pipe(self) -> None:
        if self._pipe != NO_PIPE:
            with contextlib.suppress(OSError):
                os.close(self._pipe)
            self._pipe = NO_PIPE


class Table:
    """The services that PID 1 looks at in each round, in order of importance."""

    def __init__(self, services: Iterable[Service]) -> None:
        self.services = list(services)

    @property
    def is_alive(self) -> bool:
        """Whether one has a process."""
        return any(service.is_alive for service in self.services)

    def tick(self) -> None:
        """Kill what does not end in time, and start one service that is due: the one that has been
        due the longest. So the rest of PID 1's round is never later than by one fork(2).
        """
        for service in self.services:
            if service.state == STOPPING:
                service.tick()
        due = self._next()
        if due is not None:
            due.tick()

    def pause(self) -> float:
        """How long nothing is due, in seconds; FOREVER where nothing ever is."""
        times = [service.due_at for service in self.services if service.state == STOPPING]
        due = self._next()
        if due is not None:
            times.append(due.due_at)
        first = min(times, default=FOREVER) - seconds()
        return min(max(0.0, first), LOOK_SECONDS if self._is_full() else FOREVER)

    def exited(self, ended: Mapping[int, int]) -> None:
        """Take up which processes have ended, each with its exit status."""
        for service in self.services:
            if service.process in ended:
                service.exited(ended[service.process])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End all of them, and start none again."""
        for service in self.services:
            service.stop(number)

    def _next(self) -> Service | None:
        """Who is started next: not one that has to wait for its turn."""
        is_full = self._is_full()
        due = (s for s in self.services if s.state == DUE and not (s.in_turn and is_full))
        return min(due, key=lambda service: service.due_at, default=None)

    def _is_full(self) -> bool:
        """Whether as many are starting as may."""
        return sum(service.is_starting() for service in self.services) >= MOST_STARTING
