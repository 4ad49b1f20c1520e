"""The programs of the policy, as services of PID 1.

In: a `BootPlan`, and the outline of the plan that is in force.  Out: services, and what is known of
them in a file that the console reads.  Nothing here waits, and nothing reads a whole plan: the
process that becomes a program does.
"""

from __future__ import annotations

import os

from pbrinit.boot.programs import shares, spawn
from pbrinit.boot.service import RUNNING, STARTING, Service
from pbrinit.boot.state import active_plan, program_status
from pbrinit.boot.state.program_status import ProgramStatus
from pbrinit.boot.system.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.bootplan import BootPlan, LinkPlan, Outline, ProgramPlan, RoomPlan

PAUSES = (1.0, 60.0)
"""Before a program is started again, in seconds: the first time, and the longest."""


class Program:
    """A program, the service that keeps it running, and the pipe of its output."""

    def __init__(self, image: BootPlan, plan: ProgramPlan, signals: Iterable[int]) -> None:
        self._image = image
        self._plan = plan
        self._signals = signals
        others = {path for one in image.programs for path in one.files}
        self._hidden = others.difference(plan.files)
        self.reader, self._output = os.pipe()
        self.planned_room = plan.room
        self._room: RoomPlan | None = None
        self.service = Service(plan.name, self._start, plan.restart, pauses=PAUSES, in_turn=True)

    @property
    def name(self) -> str:
        """Its name in the policy."""
        return self._plan.name

    def has_other_room(self) -> bool:
        """Whether it runs, and in a room that the plan in force has otherwise."""
        runs = self.service.state in (STARTING, RUNNING)
        return runs and self._room != self.planned_room

    def status(self) -> ProgramStatus:
        """What is known of it."""
        service = self.service
        return ProgramStatus(
            name=service.name,
            process=service.process,
            since=service.since,
            restarts=service.restarts,
            state=service.outcome,
        )

    def _start(self) -> tuple[int, int]:
        self._room = self.planned_room
        return spawn.start(self._plan, self._in_force, self._hidden, self._output, self._signals)

    def _in_force(self) -> tuple[ProgramPlan, LinkPlan | None]:
        """The program and what leads into its room, by the plan that is in force now: another one
        has other tables, and one for a lease other addresses. The new process calls this.

        Raises OSError, BootFileError.
        """
        if self._plan.room is None:
            return self._plan, None
        plan = active_plan.read(self._image)
        link = next(link for link in plan.links if link.device == self._plan.room.device)
        return next(one for one in plan.programs if one.name == self.name), link


class Programs:
    """All of them, in the order of the policy."""

    def __init__(self, plan: BootPlan | None, signals: Iterable[int]) -> None:
        """Of a machine that is closed, `plan` is None, and it has none."""
        self._programs = (
            [] if plan is None else [Program(plan, one, signals) for one in plan.programs]
        )
        self._is_written = True
        shares.prepare(plan.programs if plan else ())

    @property
    def services(self) -> list[Service]:
        """The service of each."""
        return [program.service for program in self._programs]

    @property
    def outputs(self) -> list[tuple[str, int]]:
        """The name of each program, and where what it says can be read."""
        return [(program.name, program.reader) for program in self._programs]

    @property
    def is_alive(self) -> bool:
        """Whether one has a process."""
        return any(service.is_alive for service in self.services)

    def start_again(self, name: str) -> None:
        """End the program and start it again, or start one that is not running, at once."""
        for service in self.services:
            if service.name == name:
                service.start_again()

    def follow(self, outline: Outline) -> None:
        """Start those again whose room is another by the plan that is in force now. One that is
        to be started anyway gets it then.
        """
        rooms = {program.name: program.room for program in outline.programs}
        for program in self._programs:
            program.planned_room = rooms.get(program.name, program.planned_room)
            if program.has_other_room():
                log(f"{program.name}: its addresses are others, it is started again")
                program.service.start_again()

    def stop(self) -> None:
        """Ask all of them to end, and start none again."""
        for service in self.services:
            service.stop()

    def write(self) -> None:
        """Write down how they stand. Where there is no place for it, it is tried again with the
        next change.
        """
        if not self._programs:
            return
        try:
            program_status.write(program.status() for program in self._programs)
            self._is_written = True
        except OSError as error:
            if self._is_written:
                log(f"how the programs stand cannot be written down: {error}")
            self._is_written = False
