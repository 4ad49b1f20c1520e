"""What is known of the programs, in a file, for the console; and what it asks of PID 1.

In: what PID 1 knows of each, or the name of one that is to be started again.  Out: the same, read
in another process.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
from types import SimpleNamespace

from pbrinit.boot.network import links
from pbrinit.boot.system import atomic_file
from pbrinit.boot.system.atomic_file import write_report
from pbrinit.boot.system.log import seconds
from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.bootplan import BootPlan, RoomPlan

PATH = "/run/programs"
ASKED = "/run/restart"
ASK = signal.SIGHUP
"""What PID 1 is told by that there is something in ASKED, or another plan in force."""

LONGEST_ASKED = 1 << 16
"""Bytes of ASKED that are read: names of programs, which have at most some thirty letters."""


class ProgramStatus(Record):
    """One program: the number of its process, 0 where it has none; when it was started, in seconds
    of `log.seconds`; how often it was started again; and its state in words.
    """

    name: str
    process: int
    since: float
    restarts: int
    state: str


FIELDS = tuple(ProgramStatus.__annotations__)


def write(programs: Iterable[ProgramStatus]) -> None:
    """Write the file that `read` reads. Where nothing has changed the file is left as it is; where
    there is no room too, until the next call.
    """
    data = marshal.dumps([tuple(getattr(p, name) for name in FIELDS) for p in programs])
    if data == _written.get(PATH):
        return
    if write_report(PATH, data):
        _written[PATH] = data


_written: dict[str, bytes] = {}


def read() -> list[ProgramStatus]:
    """What was written last; an empty list before that. Raises OSError."""
    try:
        with open(PATH, "rb") as file:  # noqa: PTH123  pathlib is not in the image
            rows = marshal.load(file)  # noqa: S302  PID 1's own, below /run
    except FileNotFoundError:
        return []
    return [ProgramStatus(**dict(zip(FIELDS, row, strict=True))) for row in rows]


def ask(name: str, pid_1: int = 1) -> None:
    """Have PID 1 start a program again."""
    with open(ASKED, "a") as file:  # noqa: PTH123
        file.write(f"{name}\n")
    os.kill(pid_1, ASK)


def request_refresh(pid_1: int = 1) -> None:
    """Have PID 1 see that each room, and the log, is as the plan in force has it."""
    os.kill(pid_1, ASK)


def asked() -> list[str]:
    """The names that were asked for since this was last called; none where what is there cannot be
    read. Never waits and never raises: PID 1 calls it.
    """
    taken = f"{ASKED}.taken"
    try:
        os.replace(ASKED, taken)  # noqa: PTH105
        return atomic_file.read(taken, LONGEST_ASKED).decode("ascii", "replace").split()
    except OSError:
        return []


def report(plan: BootPlan) -> list[SimpleNamespace]:
    """Every program of the plan, as values that JSON can say; seconds, and frames of its room."""
    planned = {program.name: program for program in plan.programs}
    return [
        SimpleNamespace(
            name=program.name,
            process=program.process or None,
            up=round(seconds() - program.since, 3) if program.process else None,
            state=program.state,
            restarts=program.restarts,
            room=_room(planned[program.name].room),
        )
        for program in read()
        if program.name in planned
    ]


def _room(room: RoomPlan | None) -> SimpleNamespace | None:
    if room is None:
        return None
    ports = f"{room.client_ports[0]}-{room.client_ports[1]}"
    report = SimpleNamespace(ports=ports, frames_in=None, frames_out=None)
    with contextlib.suppress(OSError):
        counters = links.counters(room.device)
        report.frames_in, report.frames_out = counters["tx_packets"], counters["rx_packets"]
    return report


def describe(program: SimpleNamespace) -> str:
    """One of them as a person reads it."""
    times = f"{program.restarts} restart{'' if program.restarts == 1 else 's'}"
    running = program.state
    if program.process:
        running = f"process {program.process}, up {program.up:.0f} s"
    where = "no room"
    if program.room is not None:
        where = f"room with ports {program.room.ports}"
        if program.room.frames_in is not None:
            where += f", {program.room.frames_in} frames in, {program.room.frames_out} out"
    return f"{program.name}: {running}, {times}, {where}"
