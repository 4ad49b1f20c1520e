"""What is known of the programs, in a file, for the console; and what it asks of PID 1.

In: what PID 1 knows of each, or the name of one that is to be started again.  Out: the same, read
in another process.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal

from pbrinit.boot import links
from pbrinit.boot.say import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pbrinit.bootfile import BootPlan

    Line = tuple[str, int, float, int, str]

PATH = "/run/programs"
ASKED = "/run/restart"
ASK = signal.SIGHUP
"""What PID 1 is told by that there is something in ASKED."""


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
    with open(f"{PATH}.new", "wb") as file:  # noqa: PTH123  pathlib is not in the image
        file.write(data)
    os.replace(f"{PATH}.new", PATH)  # noqa: PTH105
    _written[PATH] = data


_written: dict[str, bytes] = {}


def read() -> list[Line]:
    """What was last written; nothing before that."""
    try:
        with open(PATH, "rb") as file:  # noqa: PTH123
            lines: list[Line] = marshal.load(file)  # noqa: S302  PID 1's own, below /run
            return lines
    except FileNotFoundError:
        return []


def ask(name: str, pid_1: int = 1) -> None:
    """Have PID 1 start a program again."""
    with open(ASKED, "a") as file:  # noqa: PTH123
        file.write(f"{name}\n")
    os.kill(pid_1, ASK)


def asked() -> list[str]:
    """The names that were asked for since this was last called."""
    try:
        os.replace(ASKED, f"{ASKED}.taken")  # noqa: PTH105
    except FileNotFoundError:
        return []
    with open(f"{ASKED}.taken") as file:  # noqa: PTH123
        return file.read().split()


def lines(plan: BootPlan) -> Iterator[str]:
    """Every program as a person reads it."""
    planned = {program.name: program for program in plan.programs}
    for name, process, since, restarts, told in read():
        if name not in planned:
            continue
        times = f"{restarts} restart{'' if restarts == 1 else 's'}"
        running = f"process {process}, up {seconds() - since:.0f} s" if process else told
        yield f"{name}: {running}, {times}, {_where(plan, name)}"


def _where(plan: BootPlan, name: str) -> str:
    room = next(program.room for program in plan.programs if program.name == name)
    if room is None:
        return "no room"
    first, last = room.clients
    told = f"room with ports {first}-{last}"
    with contextlib.suppress(OSError):
        sent, received = links.counters(room.device)
        return f"{told}, {received} frames in, {sent} out"
    return told
