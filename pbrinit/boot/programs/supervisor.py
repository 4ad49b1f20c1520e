"""The programs of the policy, as PID 1 keeps them: started, watched, started again, ended.

In: a `BootPlan`, which processes have ended, and which plan is in force.  Out: processes, and what
is known of them in a file that the console reads.  Nothing here waits: PID 1 asks when something
is due.
"""

from __future__ import annotations

import os
import signal

from pbrinit.boot.programs import room, spawn
from pbrinit.boot.state import active_plan, program_status
from pbrinit.boot.state.program_status import ProgramStatus
from pbrinit.boot.system.log import log, seconds
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.bootplan import BootPlan, LinkPlan, ProgramPlan

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
"""Before a program is started again: twice as long each time, up to the longest. One that ran for
so long begins anew."""

STOP_SECONDS = 2.0
"""Between asking a program to end and ending it."""

MOST_AT_ONCE = 4
"""As many are being started at a time: each is a copy of PID 1 until it has become the program,
and a hundred of those are more than a small machine has memory for."""

LOOK_SECONDS = 0.05
NEVER = float("inf")


class Service:
    """One program, and what has become of it. `due` is when it is to be started, `kill_at` when it
    is to be gone that was asked to end; `starting` is the pipe that ends when it has been started.
    """

    def __init__(self, plan: ProgramPlan) -> None:
        self.plan = plan
        self.reader, self.output = os.pipe()
        self.process = 0
        self.starting = 0
        self.since = 0.0
        self.restarts = 0
        self.status = "not started yet"
        self.pause = FIRST_SECONDS
        self.start_at = 0.0
        self.kill_at = NEVER
        self.asked = False


class Programs:
    """All of them, in the order of the policy."""

    def __init__(self, plan: BootPlan | None, signals: Iterable[int]) -> None:
        """Of a machine that is closed, `plan` is None, and it has none."""
        self._image = plan
        self._signals = frozenset(signals)
        self._services = [Service(program) for program in (plan.programs if plan else ())]
        self._ending = False

    @property
    def outputs(self) -> list[tuple[str, int]]:
        """The name of each program, and where what it says can be read."""
        return [(service.plan.name, service.reader) for service in self._services]

    @property
    def running(self) -> bool:
        """Whether one runs."""
        return any(service.process for service in self._services)

    def pause(self) -> float | None:
        """How long until something is due, in seconds; None where nothing is."""
        times = [
            service.kill_at if service.process else service.start_at for service in self._services
        ]
        first = min(times, default=NEVER)
        least = LOOK_SECONDS if self._starting() >= MOST_AT_ONCE else 0.0
        return None if first == NEVER else max(least, first - seconds())

    def tick(self) -> None:
        """Start and kill what is due, and write down how it stands."""
        now = seconds()
        for service in self._services:
            if service.process and service.kill_at <= now:
                _signal(service, signal.SIGKILL)
                service.kill_at = NEVER
            elif (
                not service.process and service.start_at <= now and self._starting() < MOST_AT_ONCE
            ):
                self._start(service)
        self._write()

    def on_exit(self, gone: dict[int, int]) -> None:
        """Take up that processes have ended, each with its exit status, less than 0 by a signal."""
        for service in self._services:
            if service.process and service.process in gone:
                self._ended(service, gone[service.process])

    def restart(self, name: str) -> None:
        """End the program and start it again, or start one that is not running, at once."""
        for service in self._services:
            if service.plan.name == name:
                service.pause = FIRST_SECONDS
                service.asked = True
                service.start_at = 0.0
                if service.process:
                    _ask_to_end(service)

    def restart_changed(self) -> None:
        """Start those again whose room is another by the plan that is in force now. One that is
        to be started anyway gets it then.
        """
        if self._image is None:
            return
        try:
            plan = active_plan.read(self._image)
        except (OSError, BootFileError) as error:
            log(f"rooms stay as they are: the plan in force cannot be read: {error}")
            return
        rooms = {program.name: program.room for program in plan.programs}
        for service in self._services:
            if (
                service.process
                and not service.asked
                and service.plan.room != rooms[service.plan.name]
            ):
                log(f"{service.plan.name}: its addresses are others, it is started again")
                self.restart(service.plan.name)

    def stop(self) -> None:
        """Ask all of them to end, and start none again."""
        self._ending = True
        for service in self._services:
            service.start_at = NEVER
            if service.process:
                _ask_to_end(service)
        self._write()

    def _starting(self) -> int:
        """How many are being started."""
        return sum(_is_starting(service) for service in self._services)

    def _start(self, service: Service) -> None:
        service.since = seconds()
        try:
            service.plan, link = self._in_force(service.plan)
            started = spawn.start(service.plan, link, service.output, self._signals)
            service.process, service.starting = started
            service.status = "running"
        except (OSError, BootFileError) as error:
            self._again(service, f"cannot be started: {error}")
            return
        service.asked = False
        service.kill_at = NEVER

    def _in_force(self, program: ProgramPlan) -> tuple[ProgramPlan, LinkPlan | None]:
        """The program and what leads into its room, by the plan that is in force now: another one
        has other tables, and one for a lease other addresses.

        Raises OSError, BootFileError.
        """
        if program.room is None or self._image is None:
            return program, None
        plan = active_plan.read(self._image)
        link = next(link for link in plan.links if link.device == program.room.device)
        return next(one for one in plan.programs if one.name == program.name), link

    def _ended(self, service: Service, status: int) -> None:
        _clear_away(service)
        service.process = 0
        service.kill_at = NEVER
        told = f"ended with status {status}" if status >= 0 else f"ended by signal {-status}"
        wanted = service.plan.restart == "always" or (
            service.plan.restart == "on-failure" and status
        )
        if self._ending:
            service.status = told
        elif service.asked:
            service.status, service.start_at = told, 0.0
            service.restarts += 1
        elif wanted:
            self._again(service, told)
        else:
            service.status, service.start_at = told, NEVER
            log(f"{service.plan.name}: {told}")

    def _again(self, service: Service, told: str) -> None:
        """Say why it is not running, and when it is started again."""
        if seconds() - service.since >= LONGEST_SECONDS:
            service.pause = FIRST_SECONDS
        service.start_at = seconds() + service.pause
        service.status = f"{told}, is started again"
        log(f"{service.plan.name}: {told}, is started again in {service.pause:.0f} s")
        service.pause = min(2 * service.pause, LONGEST_SECONDS)
        service.restarts += 1

    def _write(self) -> None:
        if self._services:
            program_status.write(
                ProgramStatus(
                    name=service.plan.name,
                    process=service.process,
                    since=service.since,
                    restarts=service.restarts,
                    state=service.status,
                )
                for service in self._services
            )


def _is_starting(service: Service) -> bool:
    """Whether its process is not the program yet."""
    if service.starting:
        try:
            os.read(service.starting, 1)
        except BlockingIOError:
            return True
        os.close(service.starting)
        service.starting = 0
    return False


def _clear_away(service: Service) -> None:
    """What is left of a program that has ended: its room, or, without one, what it started."""
    try:
        if service.plan.room is not None:
            room.unmake(service.plan.room)
        else:
            os.killpg(service.process, signal.SIGKILL)
    except ProcessLookupError:
        return
    except Exception as error:
        log(f"{service.plan.name}: what is left of it: {error}")


def _ask_to_end(service: Service) -> None:
    _signal(service, signal.SIGTERM)
    service.kill_at = seconds() + STOP_SECONDS


def _signal(service: Service, number: int) -> None:
    """To the program and, where it has no room whose first process it is, what it started."""
    try:
        os.killpg(service.process, number)
    except ProcessLookupError:
        os.kill(service.process, number)
