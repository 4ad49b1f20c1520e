"""What is known of the programs, in a file, for the console; and what it asks of PID 1.

In: what PID 1 knows of each, or the name of one that is to be started again.  Out: the same, read
in another process.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
from types import SimpleNamespace as Told

from pbrinit.boot.network import links
from pbrinit.boot.system import atomic_file
from pbrinit.boot.system.log import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan, RoomPlan

    Line = tuple[str, int, float, int, str]

PATH = "/run/programs"
ASKED = "/run/restart"
ASK = signal.SIGHUP
"""What PID 1 is told by that there is something in ASKED, or another plan in force."""


def line_of(name: str, process: int, since: float, restarts: int, told: str) -> Line:
    """One program: its process, 0 where there is none, when it was started, how often again, and
    how it stands in words.
    """
    return (name, process, since, restarts, told)


def write(lines: list[Line]) -> None:
    """Put it where `read` finds it: whole, or as it was before."""
    data = marshal.dumps(lines)
    if data == _written.get(PATH):
        return
    atomic_file.write(PATH, data)
    _written[PATH] = data


_written: dict[str, bytes] = {}


def read() -> list[Line]:
    """What was last written; nothing before that."""
    try:
        with open(PATH, "rb") as file:  # noqa: PTH123  pathlib is not in the image
            lines: list[Line] = marshal.load(file)  # noqa: S302  PID 1's own, below /run
            return lines
    except FileNotFoundError:
        return []


def ask(name: str, pid_1: int = 1) -> None:
    """Have PID 1 start a program again."""
    with open(ASKED, "a") as file:  # noqa: PTH123
        file.write(f"{name}\n")
    os.kill(pid_1, ASK)


def ask_to_look(pid_1: int = 1) -> None:
    """Have PID 1 see that each room, and the log, is as the plan in force has it."""
    os.kill(pid_1, ASK)


def asked() -> list[str]:
    """The names that were asked for since this was last called."""
    try:
        os.replace(ASKED, f"{ASKED}.taken")  # noqa: PTH105
    except FileNotFoundError:
        return []
    with open(f"{ASKED}.taken") as file:  # noqa: PTH123
        return file.read().split()


def told(plan: BootPlan) -> list[Told]:
    """Every program of the plan, as values that JSON can say; seconds, and frames of its room."""
    planned = {program.name: program for program in plan.programs}
    return [
        Told(
            name=name,
            process=process or None,
            up=round(seconds() - since, 3) if process else None,
            state=state,
            restarts=restarts,
            room=_room(planned[name].room),
        )
        for name, process, since, restarts, state in read()
        if name in planned
    ]


def _room(room: RoomPlan | None) -> Told | None:
    if room is None:
        return None
    found = Told(ports=f"{room.clients[0]}-{room.clients[1]}", frames_in=None, frames_out=None)
    with contextlib.suppress(OSError):
        counted = links.counters(room.device)
        found.frames_in, found.frames_out = counted["tx_packets"], counted["rx_packets"]
    return found


def line(program: Told) -> str:
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
