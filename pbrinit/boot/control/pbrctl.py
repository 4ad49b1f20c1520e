"""`pbrctl` on the appliance: what the console says, to a program or over a connection.

In: a command line.  Out: text or JSON on standard output.  Exit status: 0; 2 where the command
line is wrong; 1 where the machine cannot be asked, or is closed.

As a login shell it takes the command after `-c`, as sshd and dropbear give it.  In the room of a
program that may ask the control broker, the broker does the command on the machine.
"""

from __future__ import annotations

import os
import sys

from pbrinit.boot.control import actions, broker_protocol, commands, queries
from pbrinit.boot.control.actions import ChangeError, change
from pbrinit.boot.control.commands import Query, Try, UsageError
from pbrinit.boot.network import fail_closed
from pbrinit.boot.state import active_plan
from pbrinit.boot.system import json_text
from pbrinit.wire import bootplan
from pbrinit.wire.netlink.socket import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pbrinit.boot.control.commands import Confirm, Restart

FAILED, USAGE = 1, 2
HELP = frozenset(("-h", "--help", "help"))
STANDARD_INPUT = 0
MOST_PLANS = 3
"""So many plans may come in force, one after another, while one question is answered."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command; the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["-c"]:
        words = " ".join(words[1:]).removeprefix("pbrctl").split()
    if not words or HELP & {*words}:
        print(commands.usage())
        return 0 if words else USAGE
    try:
        command = commands.parse(words)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if not broker_protocol.is_there():
        return do(command)
    try:
        return broker_protocol.ask(*_request(command, words))
    except BrokenPipeError:
        return _reader_is_gone()
    except (OSError, broker_protocol.BrokerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def do(command: Query | Try | Confirm | Restart, asker: str = "") -> int:
    """Do a command on the machine itself, for a program of this name or for root; print what it
    says. Returns the exit status. To try a policy this process becomes the program that compiles.
    """
    try:
        if isinstance(command, Try):
            os.execve(actions.CONTROL, _words_for_control(command, asker), {})  # noqa: S606  our own
        why = fail_closed.reason()
        if why is not None:
            print(f"CLOSED: {why}", file=sys.stderr)
            return FAILED
        plan = active_plan.now()
        told, lines = _answer(plan, command, asker)
        print(json_text.dumps(told) if command.as_json else "\n".join(lines), flush=True)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        return _reader_is_gone()
    except (KernelError, OSError, bootplan.BootFileError, ChangeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return 0


def _answer(
    plan: bootplan.BootPlan, command: Query | Confirm | Restart, asker: str
) -> queries.Answer:
    """The answer. A question about a plan that another took the place of meanwhile is asked again:
    half of what was found would be of the one, and half of the other.
    """
    if isinstance(command, Query):
        for _ in range(MOST_PLANS):
            answer = queries.answer(plan, [command.name, *command.question])
            before, plan = plan, active_plan.now()
            if plan.digest == before.digest:
                break
        return answer
    text = change(plan, command, asker)
    return {"text": text}, [text]


def _words_for_control(command: Try, asker: str) -> list[str]:
    """The command line of the program that compiles. For a program that asks it is another
    command, which reads standard input and no other file.
    """
    json = [commands.JSON] if command.as_json else []
    if asker:
        return [actions.CONTROL, "try-for", asker, str(command.seconds), *json]
    return [actions.CONTROL, "try", command.file, "--confirm", str(command.seconds), *json]


def _request(
    command: Query | Try | Confirm | Restart, words: Sequence[str]
) -> tuple[list[str], bytes]:
    """The words for the broker, and the policy that is to be tried, whose file is here or piped.

    Raises OSError where it cannot be read.
    """
    if not isinstance(command, Try):
        return [*words], b""
    name = STANDARD_INPUT if command.file == commands.SENT else command.file
    with open(name, "rb") as file:  # noqa: PTH123  not in the image
        policy = file.read(broker_protocol.LONGEST_POLICY + 1)
    json = [commands.JSON] if command.as_json else []
    return ["try", commands.SENT, "--confirm", str(command.seconds), *json], policy


def _reader_is_gone() -> int:
    """Nobody reads what is printed, so the interpreter shall not try again when it ends."""
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    return FAILED
