"""The command line on a terminal.

In: what a person types.  Out: what the commands say.  It runs in a process of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from pbrinit.boot.console import line_editor, login
from pbrinit.boot.console.absent import missing_features, present_controls
from pbrinit.boot.console.listen import listen
from pbrinit.boot.console.probe import probe
from pbrinit.boot.control import queries
from pbrinit.boot.control.actions import CONTROL, ChangeError, change
from pbrinit.boot.control.commands import Confirm, Restart, UsageError
from pbrinit.boot.control.queries import COMMANDS
from pbrinit.boot.network import fail_closed, route_lookup
from pbrinit.boot.state import active_plan
from pbrinit.boot.system import syscalls, terminals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan

PROMPT = "pbrinit> "
PORTS = range(1, 65536)
TRIAL_SECONDS = "60"
WATCH_SECONDS = 2
CLEAR = "\x1b[H\x1b[J"
"""To the top, and nothing below (ECMA-48, CUP and ED)."""

CONSOLE_COMMANDS = (
    ("watch", "the status page again and again, until Ctrl-C"),
    ("probe tcp|udp ADDRESS PORT [as USER]", ""),
    ("probe ping ADDRESS [as USER]", "ask the network, see what the policy lets out"),
    ("listen tcp|udp PORT [PORT ...] [as USER]", ""),
    ("", "hear the network, see what the policy lets in"),
    ("restart PROGRAM", "end it and start it again"),
    ("try FILE [SECONDS]", "put a policy in force until it is confirmed or the time is up"),
    ("confirm", "keep the policy on trial, until the machine starts again"),
    ("absent", "what this kernel does not have or give, each tried"),
    ("poweroff", "switch the machine off"),
    ("reboot", "start it again"),
)
QUERIES = tuple((usage, about) for usage, about, _ in COMMANDS.values())
HELP = "\n".join(
    f"  {usage}" if not about else f"  {usage:<34} {about}"
    for usage, about in (*QUERIES, *CONSOLE_COMMANDS)
) + "".join(f"\n    explain {form}" for form in route_lookup.FORMS)
ENDS = {"poweroff": syscalls.POWER_OFF, "reboot": syscalls.REBOOT}


def run(terminal: str, plan: BootPlan | None, why_closed: str | None) -> None:
    """Read commands until the terminal ends. `plan` is None on a machine that is closed."""
    terminals.attach(terminal)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    login.require_password()
    line_editor.prepare(
        [*COMMANDS, *{usage.split()[0] for usage, _ in CONSOLE_COMMANDS if usage}, "help"]
    )
    if plan is not None:
        print(f"\n{plan.hostname}: no packet filter, one policy. Type help.", flush=True)
    while True:
        try:
            line = input(PROMPT)
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            return
        try:
            _do(line.split(), active_plan.read(plan) if plan else None, why_closed)
        except KeyboardInterrupt:
            print()
        except (UsageError, ChangeError) as error:
            print(error)
        except Exception as error:
            print(f"failed: {error}")


def _do(words: list[str], plan: BootPlan | None, why_closed: str | None) -> None:
    if not words:
        return
    command, *rest = words
    if command in ENDS and not rest:
        os.kill(1, ENDS[command])
        signal.pause()
    elif command == "help":
        print(HELP)
    elif plan is None or fail_closed.reason() is not None:
        print(f"CLOSED: {why_closed or fail_closed.reason()}")
    elif command in COMMANDS:
        print("\n".join(queries.answer(plan, words)[1]))
    elif command in ("try", "confirm"):
        _try(plan, words)
    elif command == "watch" and not rest:
        _watch(plan)
    elif command == "absent" and not rest:
        _absent()
    elif command == "restart" and len(rest) == 1:
        change(plan, Restart(program=rest[0], as_json=False))
    elif command == "probe":
        _probe(rest, dict(plan.users))
    elif command == "listen":
        words, uid = _user(rest, dict(plan.users))
        listen(_ports(words), uid)
    else:
        raise UsageError(f"there is no command {' '.join(words)!r}; help lists them")


def _watch(plan: BootPlan) -> None:
    while True:
        page = "\n".join(queries.answer(plan, ["status"])[1])
        print(f"{CLEAR}{page}\n(Ctrl-C ends)", flush=True)
        time.sleep(WATCH_SECONDS)


def _try(plan: BootPlan, words: list[str]) -> None:
    match words:
        case ["try", file, *rest] if len(rest) <= 1:
            seconds = [*rest, TRIAL_SECONDS][0]
            words = [CONTROL, "try", file, "--confirm", seconds]
            os.spawnv(os.P_WAIT, CONTROL, words)  # noqa: S606
        case ["confirm"]:
            print(change(plan, Confirm(token="", as_json=False)))
        case _:
            raise UsageError("try FILE [SECONDS], confirm")


def _absent() -> None:
    for name, works in present_controls():
        print(f"{'there  ' if works else 'MISSING'}  {name}")
    for name, answer, is_absent in missing_features():
        print(f"{'absent ' if is_absent else 'PRESENT'}  {name} ({answer})")


def _user(words: list[str], users: dict[str, int]) -> tuple[list[str], int]:
    """The words before `as USER`, and the user's number; root where it is not said."""
    if len(words) < 3 or words[-2] != "as":  # noqa: PLR2004  "as USER" are two words
        return words, 0
    if words[-1] not in users:
        raise UsageError(f"the policy has no user {words[-1]!r}, only {' '.join(users) or 'none'}")
    return words[:-2], users[words[-1]]


def _probe(words: list[str], users: dict[str, int]) -> None:
    words, uid = _user(words, users)
    match words:
        case ["ping", address]:
            port = 0
        case ["tcp" | "udp", address, text] if text.isdigit() and int(text) in PORTS:
            port = int(text)
        case _:
            raise UsageError("probe tcp|udp ADDRESS PORT [as USER], probe ping ADDRESS [as USER]")
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            syscalls.set_parent_death_signal(signal.SIGKILL)
            print(probe(words[0], address, port, uid), flush=True)
        except KeyboardInterrupt:
            print()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _ports(words: list[str]) -> list[tuple[str, int]]:
    ports: list[tuple[str, int]] = []
    protocol = ""
    for word in words:
        if word in ("tcp", "udp"):
            protocol = word
        elif protocol and word.isdigit() and int(word) in PORTS:
            ports.append((protocol, int(word)))
        else:
            raise UsageError(f"{word!r} is neither tcp nor udp nor a port")
    if not ports:
        raise UsageError("listen tcp|udp PORT [PORT ...] [as USER]")
    return ports
