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
from pbrinit.boot.system.log import say, seconds
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


class Kept:
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
        self.told = "not started yet"
        self.pause = FIRST_SECONDS
        self.due = 0.0
        self.kill_at = NEVER
        self.asked = False


class Programs:
    """All of them, in the order of the policy."""

    def __init__(self, plan: BootPlan | None, signals: Iterable[int]) -> None:
        """Of a machine that is closed, `plan` is None, and it has none."""
        self._image = plan
        self._signals = frozenset(signals)
        self._kept = [Kept(program) for program in (plan.programs if plan else ())]
        self._ending = False

    @property
    def outputs(self) -> list[tuple[str, int]]:
        """The name of each program, and where what it says can be read."""
        return [(kept.plan.name, kept.reader) for kept in self._kept]

    @property
    def running(self) -> bool:
        """Whether one runs."""
        return any(kept.process for kept in self._kept)

    def pause(self) -> float | None:
        """How long until something is due, in seconds; None where nothing is."""
        times = [kept.kill_at if kept.process else kept.due for kept in self._kept]
        first = min(times, default=NEVER)
        least = LOOK_SECONDS if self._starting() >= MOST_AT_ONCE else 0.0
        return None if first == NEVER else max(least, first - seconds())

    def see_to(self) -> None:
        """Start and kill what is due, and write down how it stands."""
        now = seconds()
        for kept in self._kept:
            if kept.process and kept.kill_at <= now:
                _signal(kept, signal.SIGKILL)
                kept.kill_at = NEVER
            elif not kept.process and kept.due <= now and self._starting() < MOST_AT_ONCE:
                self._start(kept)
        self._write()

    def note(self, gone: dict[int, int]) -> None:
        """Take up that processes have ended, each with its exit status, less than 0 by a signal."""
        for kept in self._kept:
            if kept.process and kept.process in gone:
                self._ended(kept, gone[kept.process])

    def restart(self, name: str) -> None:
        """End the program and start it again, or start one that is not running, at once."""
        for kept in self._kept:
            if kept.plan.name == name:
                kept.pause = FIRST_SECONDS
                kept.asked = True
                kept.due = 0.0
                if kept.process:
                    _ask_to_end(kept)

    def renew(self) -> None:
        """Start those again whose room is another by the plan that is in force now. One that is
        to be started anyway gets it then.
        """
        if self._image is None:
            return
        try:
            plan = active_plan.read(self._image)
        except (OSError, BootFileError) as error:
            say(f"rooms stay as they are: the plan in force cannot be read: {error}")
            return
        rooms = {program.name: program.room for program in plan.programs}
        for kept in self._kept:
            if kept.process and not kept.asked and kept.plan.room != rooms[kept.plan.name]:
                say(f"{kept.plan.name}: its addresses are others, it is started again")
                self.restart(kept.plan.name)

    def stop(self) -> None:
        """Ask all of them to end, and start none again."""
        self._ending = True
        for kept in self._kept:
            kept.due = NEVER
            if kept.process:
                _ask_to_end(kept)
        self._write()

    def _starting(self) -> int:
        """How many are being started."""
        return sum(_is_starting(kept) for kept in self._kept)

    def _start(self, kept: Kept) -> None:
        kept.since = seconds()
        try:
            kept.plan, link = self._in_force(kept.plan)
            started = spawn.start(kept.plan, link, kept.output, self._signals)
            kept.process, kept.starting = started
            kept.told = "running"
        except (OSError, BootFileError) as error:
            self._again(kept, f"cannot be started: {error}")
            return
        kept.asked = False
        kept.kill_at = NEVER

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

    def _ended(self, kept: Kept, status: int) -> None:
        _clear_away(kept)
        kept.process = 0
        kept.kill_at = NEVER
        told = f"ended with status {status}" if status >= 0 else f"ended by signal {-status}"
        wanted = kept.plan.restart == "always" or (kept.plan.restart == "on-failure" and status)
        if self._ending:
            kept.told = told
        elif kept.asked:
            kept.told, kept.due = told, 0.0
            kept.restarts += 1
        elif wanted:
            self._again(kept, told)
        else:
            kept.told, kept.due = told, NEVER
            say(f"{kept.plan.name}: {told}")

    def _again(self, kept: Kept, told: str) -> None:
        """Say why it is not running, and when it is started again."""
        if seconds() - kept.since >= LONGEST_SECONDS:
            kept.pause = FIRST_SECONDS
        kept.due = seconds() + kept.pause
        kept.told = f"{told}, is started again"
        say(f"{kept.plan.name}: {told}, is started again in {kept.pause:.0f} s")
        kept.pause = min(2 * kept.pause, LONGEST_SECONDS)
        kept.restarts += 1

    def _write(self) -> None:
        if self._kept:
            program_status.write(
                [
                    program_status.line_of(
                        kept.plan.name, kept.process, kept.since, kept.restarts, kept.told
                    )
                    for kept in self._kept
                ]
            )


def _is_starting(kept: Kept) -> bool:
    """Whether its process is not the program yet."""
    if kept.starting:
        try:
            os.read(kept.starting, 1)
        except BlockingIOError:
            return True
        os.close(kept.starting)
        kept.starting = 0
    return False


def _clear_away(kept: Kept) -> None:
    """What is left of a program that has ended: its room, or, without one, what it started."""
    try:
        if kept.plan.room is not None:
            room.unmake(kept.plan.room)
        else:
            os.killpg(kept.process, signal.SIGKILL)
    except ProcessLookupError:
        return
    except Exception as error:
        say(f"{kept.plan.name}: what is left of it: {error}")


def _ask_to_end(kept: Kept) -> None:
    _signal(kept, signal.SIGTERM)
    kept.kill_at = seconds() + STOP_SECONDS


def _signal(kept: Kept, number: int) -> None:
    """To the program and, where it has no room whose first process it is, what it started."""
    try:
        os.killpg(kept.process, number)
    except ProcessLookupError:
        os.kill(kept.process, number)
