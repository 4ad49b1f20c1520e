"""The programs of a policy, as its file has them.

In: the tables `run` of the document and the users that it names.  Out: `Run` values by name, each
with its slice of the ports that clients take; what is wrong with one is noted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pbrinit.net.services import EPHEMERAL, Ports
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Ask, Restart, Run, User
from pbrinit.policy.reader.document import Node

LONGEST_NAME = 13
"""Of a device, r-NAME, and of a process: IFNAMSIZ and TASK_COMM_LEN are 16 with the zero."""

MOST_PORTS = 4096
MOST_ROOMS = 254

IN_A_ROOM = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "ipc_lock", "kill",
    "net_admin", "net_bind_service", "net_broadcast", "net_raw", "setgid", "setpcap", "setuid",
    "sys_chroot", "sys_nice",
)  # fmt: skip
"""The capabilities that reach no further than the room (capabilities(7))."""

ABOUT_THE_NETWORK = ("net_admin", "net_raw")
"""Those that change or pass by the rules where a program has no network of its own."""

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def slices(count: int) -> tuple[Ports, ...]:
    """The ports of clients, shared out: the machine's own first, then those of `count` rooms."""
    if not count:
        return (EPHEMERAL,)
    size = min(MOST_PORTS, (EPHEMERAL.last - EPHEMERAL.first + 1) // (count + 1))
    starts = range(EPHEMERAL.first, EPHEMERAL.last + 1, size)
    return tuple(Ports(first, first + size - 1) for first in starts[: count + 1])


def runs(section: Node, users: Mapping[str, User]) -> dict[str, Run]:
    """The programs by name."""
    names = list(section.names())
    isolated = [name for name in names if _is_isolated(section.node(name))]
    if len(isolated) > MOST_ROOMS:
        section.problems.add(section.key, f"there are more than {MOST_ROOMS} rooms")
    machine, *shares = slices(min(len(isolated), MOST_ROOMS))
    ports = dict(zip(isolated, shares, strict=False))
    found = {
        name: _run(name, section.node(name), users, ports.get(name, machine)) for name in names
    }
    _beside(section.problems, [run for run in found.values() if not run.isolated])
    return found


def _is_isolated(node: Node) -> bool:
    return "isolate" not in node or node.flag("isolate")


def _run(name: str, node: Node, users: Mapping[str, User], clients: Ports) -> Run:
    problems = node.problems
    isolated = _is_isolated(node)
    if len(name) > LONGEST_NAME:
        problems.add(node.key, f"the name of a program has at most {LONGEST_NAME} letters")
    command = node.arguments("command")
    if command and not command[0].startswith("/"):
        problems.add(node.path("command"), f"{command[0]} is no absolute path", "there is no PATH")
    for word in node.texts("package"):
        if not PACKAGE.fullmatch(word.text):
            problems.add(word.key, "is no name of a Debian package")
    user = node.text("user")
    if user is not None and user.text not in users:
        problems.unknown(user.key, f'no user is named "{user.text}"', user.text, users)
    return Run(
        name=name,
        command=command,
        user=users.get(user.text if user else "", User("root", 0)),
        restart=_restart(node),
        environment=tuple(node.pairs("environment")),
        capabilities=_capabilities(node, isolated=isolated),
        packages=tuple(word.text for word in node.texts("package")),
        files=_files(node),
        ask=_ask(node),
        isolated=isolated,
        clients=clients,
    )


def _restart(node: Node) -> Restart:
    word = node.text("restart")
    known = {kind.value: kind for kind in Restart}
    if word is not None and word.text not in known:
        node.problems.unknown(
            word.key, f'"{word.text}" is no time to start again', word.text, known
        )
    return known.get(word.text if word else "", Restart.ALWAYS)


def _ask(node: Node) -> Ask:
    word = node.text("ask")
    known = {kind.value: kind for kind in Ask if kind is not Ask.NOTHING}
    if word is not None and word.text not in known:
        node.problems.unknown(word.key, f'"{word.text}" is nothing to ask for', word.text, known)
    return known.get(word.text if word else "", Ask.NOTHING)


def _capabilities(node: Node, *, isolated: bool) -> tuple[str, ...]:
    words = node.texts("keep")
    for word in words:
        name = word.text.lower().removeprefix("cap_")
        if name not in IN_A_ROOM:
            node.problems.unknown(
                word.key, f'"{word.text}" is no capability that stays in a room', name, IN_A_ROOM
            )
        elif not isolated and name in ABOUT_THE_NETWORK:
            node.problems.add(
                word.key, "it could change the rules or pass by them", "let it have a room"
            )
        elif name != word.text:
            node.problems.add(word.key, f'is written "{name}"')
    return tuple(word.text for word in words)


def _files(node: Node) -> tuple[tuple[str, str], ...]:
    """Paths in the image, and of their sources, which stand beside the policy."""
    folder = Path(node.problems.file).parent
    return tuple((target, str(folder / source)) for target, source in node.pairs("files"))


def sources(problems: Problems, found: Iterable[Run]) -> None:
    """Note files for the image whose sources are not there."""
    for run in found:
        for target, source in run.files:
            # Path.is_file raises where a name is too long.
            if not os.path.isfile(source):  # noqa: PTH113
                problems.add(f"run.{run.name}.files.{target}", f"there is no file {source}")


def _beside(problems: Problems, found: list[Run]) -> None:
    """Note programs without a room that rules cannot tell from others, as they do it by user."""
    users: dict[int, str] = {}
    for run in found:
        key = f"run.{run.name}.user"
        if run.user.uid == 0:
            problems.add(key, "root without a room can change the rules", "name another user")
        elif run.user.uid in users:
            other = users[run.user.uid]
            problems.add(key, f"is {other}'s too", "without a room a program is known by its user")
        users[run.user.uid] = run.name
