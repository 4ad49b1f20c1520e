"""What each program may use up of the machine: its part of the memory and of the processor.

In: the programs of a plan, and how much memory there is.  Out: a control group for each, which the
program goes into before it is started.  Source: Documentation/admin-guide/cgroup-v2.rst.  Processes
and open files are limited where the program becomes its user (`spawn`).
"""

from __future__ import annotations

import os

from pbrinit.boot.system.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pbrinit.wire.bootplan import ProgramPlan

ROOT = "/sys/fs/cgroup"
GROUPS = f"{ROOT}/programs"
CONTROLLERS = "+memory +cpu"
MEMORY = "/proc/meminfo"
KEPT, KEPT_PART = 8 << 20, 4
"""What is kept from programs, for what is done for them and beside them: at least so much, and one
part in so many of what is there before the first is started."""


def prepare(programs: Sequence[ProgramPlan]) -> None:
    """Make the groups, and write down what each may have. Raises OSError."""
    if not programs:
        return
    whole = for_programs(_available())
    found = divided(programs, whole)
    _write(f"{ROOT}/cgroup.subtree_control", CONTROLLERS)
    os.makedirs(GROUPS, exist_ok=True)  # noqa: PTH103  pathlib is not in the image
    _write(f"{GROUPS}/memory.max", str(whole))
    _write(f"{GROUPS}/cgroup.subtree_control", CONTROLLERS)
    for program in programs:
        group = f"{GROUPS}/{program.name}"
        os.makedirs(group, exist_ok=True)  # noqa: PTH103
        _write(f"{group}/memory.max", str(found[program.name]))
        _write(f"{group}/memory.oom.group", "1")
        _write(f"{group}/cpu.weight", str(program.cpu_weight))
        if found[program.name] < program.memory:
            log(
                f"{program.name}: {program.memory >> 10} KiB of memory is more than there is, it"
                f" may have {found[program.name] >> 10} KiB"
            )
    least = min(found.values())
    log(f"programs may have {whole >> 10} KiB of memory, each of them {least >> 10} KiB or more")


def for_programs(available: int) -> int:
    """How many of these bytes all programs may have together."""
    return max(available - max(KEPT, available // KEPT_PART), available // 2)


def divided(programs: Iterable[ProgramPlan], whole: int) -> dict[str, int]:
    """What each may have: as much as the policy says, and an equal part of the rest where it says
    nothing. Together they have no more than there is: where what the policy says is more than
    three quarters of it, or all of it where it says so of each, these get less in proportion.
    """
    named = {program.name: program.memory for program in programs if program.memory}
    others = [program.name for program in programs if not program.memory]
    most = whole - whole // 4 if others else whole
    asked = sum(named.values())
    if asked > most:
        named = {name: size * most // asked for name, size in named.items()}
    rest = whole - sum(named.values())
    return named | {name: rest // len(others) for name in others}


def of(name: str) -> int:
    """How much memory the program may have, in bytes. Raises OSError, ValueError."""
    with open(f"{GROUPS}/{name}/memory.max") as file:  # noqa: PTH123
        return int(file.read())


def door(name: str) -> int:
    """The file by which a process goes into the program's group, for `enter`. Raises OSError."""
    return os.open(f"{GROUPS}/{name}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def enter(door: int) -> None:
    """Have this process, and all that comes of it, count as the program from now on."""
    os.write(door, b"0")


def _available() -> int:
    """The memory that is free, or would be where it is needed, in bytes. Raises OSError."""
    with open(MEMORY) as file:  # noqa: PTH123
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) << 10


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)
