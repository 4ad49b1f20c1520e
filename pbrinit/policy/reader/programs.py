"""The programs of a policy, as its file has them.

In: the tables `run` of the document, and its users.  Out: `Program` values by name, each with its
slice of the ephemeral ports; what is wrong with one is reported as a problem.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports
from pbrinit.policy import room_ids
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import ControlAccess, Program, Restart, Share, User
from pbrinit.policy.reader import scalars
from pbrinit.policy.reader.document import TomlTable

LONGEST_NAME = 13
"""Of a device, r-NAME, and of a process: IFNAMSIZ and TASK_COMM_LEN are 16 with the zero byte."""

MOST_PORTS = 4096
MOST_ROOMS = 254

IN_A_ROOM = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "net_admin",
    "net_bind_service", "net_broadcast", "net_raw", "setgid", "setpcap", "setuid", "sys_chroot",
)  # fmt: skip
"""The capabilities that a program may keep in a room: the room's user namespace has them, so they
are about its own network, processes, users and their files (user_namespaces(7)).  In it `ipc_lock`
and `sys_nice` allow nothing: the kernel asks for these in the machine's (can_do_mlock, mm/mlock.c;
user_check_sched_setscheduler, kernel/sched/syscalls.c).
"""

BESIDE = ("net_bind_service",)
"""Those without a room: any other would be about the machine and all of its programs."""

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def port_slices(count: int, ports: Ports = LOCAL_EPHEMERAL_PORTS) -> tuple[Ports, ...]:
    """Slices of the ephemeral ports: the machine's own first, then those of `count` rooms."""
    if not count:
        return (ports,)
    size = min(MOST_PORTS, (ports.last - ports.first + 1) // (count + 1))
    starts = range(ports.first, ports.last + 1, size)
    return tuple(Ports(first, first + size - 1) for first in starts[: count + 1])


def read_programs(
    section: TomlTable, users: Mapping[str, User], ephemeral: Ports
) -> dict[str, Program]:
    """The programs by name. Each room has a slice of the ephemeral ports."""
    names = list(section.names())
    isolated = [name for name in names if _is_isolated(section.subtable(name))]
    if len(isolated) > MOST_ROOMS:
        section.problems.report(section.key, f"there are more than {MOST_ROOMS} rooms")
    _check_room_ids(section.problems, users, len(isolated))
    machine, *shares = port_slices(min(len(isolated), MOST_ROOMS), ephemeral)
    ports = dict(zip(isolated, shares, strict=False))
    programs = {
        name: _program(name, section.subtable(name), users, ports.get(name, machine))
        for name in names
    }
    without_room = [program for program in programs.values() if not program.isolated]
    _check_users(section.problems, without_room)
    return programs


def _is_isolated(table: TomlTable) -> bool:
    return "isolate" not in table or table.flag("isolate")


def _program(
    name: str, table: TomlTable, users: Mapping[str, User], client_ports: Ports
) -> Program:
    problems = table.problems
    isolated = _is_isolated(table)
    if len(name) > LONGEST_NAME:
        problems.report(table.key, f"the name of a program has at most {LONGEST_NAME} letters")
    command = table.arguments("command")
    if command and not command[0].startswith("/"):
        problems.report(
            table.path("command"), f"{command[0]} is not an absolute path", "there is no PATH"
        )
    for word in table.strings("package"):
        if not PACKAGE.fullmatch(word.text):
            problems.report(word.key, "is not the name of a Debian package")
    user = table.string("user")
    if user is not None and user.text not in users:
        problems.report_unknown(user.key, f'no user is named "{user.text}"', user.text, users)
    elif user is not None and isolated and users[user.text].uid > room_ids.NOBODY:
        problems.report(
            user.key,
            f"{user.text} is {users[user.text].uid}",
            f"a room has the users from 0 to {room_ids.NOBODY}",
        )
    return Program(
        name=name,
        command=command,
        user=users.get(user.text if user else "", User("root", 0)),
        restart=_restart(table),
        environment=tuple(table.string_map("environment")),
        capabilities=_capabilities(table, isolated=isolated),
        packages=tuple(word.text for word in table.strings("package")),
        files=_files(table),
        control=_control(table),
        isolated=isolated,
        client_ports=client_ports,
        share=_share(table),
    )


def _check_room_ids(problems: Problems, users: Mapping[str, User], rooms: int) -> None:
    """Report users of the policy that would be users of a room."""
    taken = range(room_ids.FIRST, room_ids.FIRST + rooms * room_ids.COUNT)
    for user in users.values():
        if user.uid in taken:
            problems.report(
                f"user.{user.name}", f"{user.uid} is a number of a room's users", "take a lower one"
            )


def _share(table: TomlTable) -> Share:
    """What the program may use up; what is left out is as for every program."""
    left_out = Share()
    return Share(
        memory=table.scalar("memory", scalars.memory),
        processes=table.number("processes") or left_out.processes,
        open_files=table.number("open-files") or left_out.open_files,
        cpu_weight=table.number("cpu-weight") or left_out.cpu_weight,
    )


def _restart(table: TomlTable) -> Restart:
    word = table.string("restart")
    known = {kind.value: kind for kind in Restart}
    if word is not None and word.text not in known:
        table.problems.report_unknown(
            word.key, f'"{word.text}" does not say when to restart', word.text, known
        )
    return known.get(word.text if word else "", Restart.ALWAYS)


def _control(table: TomlTable) -> ControlAccess:
    word = table.string("ask")
    known = {kind.value: kind for kind in ControlAccess if kind is not ControlAccess.NOTHING}
    if word is not None and word.text not in known:
        table.problems.report_unknown(
            word.key, f'"{word.text}" is nothing that a program can ask for', word.text, known
        )
    return known.get(word.text if word else "", ControlAccess.NOTHING)


def _capabilities(table: TomlTable, *, isolated: bool) -> tuple[str, ...]:
    words = table.strings("keep")
    for word in words:
        name = word.text.lower().removeprefix("cap_")
        if name not in IN_A_ROOM:
            table.problems.report_unknown(
                word.key,
                f'"{word.text}" is not a capability that has effect in a room alone',
                name,
                IN_A_ROOM,
            )
        elif not isolated and name not in BESIDE:
            table.problems.report(
                word.key, "without a room it is about the whole machine", "let it have a room"
            )
        elif name != word.text:
            table.problems.report(word.key, f'is written "{name}"')
    return tuple(word.text for word in words)


def _files(table: TomlTable) -> tuple[tuple[str, str], ...]:
    """Paths in the image, and the paths of their sources, which are beside the policy."""
    folder = Path(table.problems.file).parent
    return tuple((target, str(folder / source)) for target, source in table.string_map("files"))


def check_sources(problems: Problems, programs: Iterable[Program]) -> None:
    """Report files for the image whose sources are missing."""
    for program in programs:
        for target, source in program.files:
            # Path.is_file raises where a name is too long.
            if not os.path.isfile(source):  # noqa: PTH113
                problems.report(f"run.{program.name}.files.{target}", f"there is no file {source}")


def _check_users(problems: Problems, programs: list[Program]) -> None:
    """Report programs without a room that rules cannot recognise by their user."""
    users: dict[int, str] = {}
    for program in programs:
        key = f"run.{program.name}.user"
        if program.user.uid == 0:
            problems.report(key, "root without a room can change the rules", "name another user")
        elif program.user.uid in users:
            other = users[program.user.uid]
            problems.report(
                key, f"is {other}'s too", "rules recognise a program without a room by its user"
            )
        users[program.user.uid] = program.name
