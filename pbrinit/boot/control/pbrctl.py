"""`pbrctl` on the appliance: what the console says, to a program or over a connection.

In: a command line.  Out: text or JSON on standard output.  Exit status: 0; 2 where the command
line is wrong; 1 where the machine cannot be asked, or is closed.

As a login shell it takes the command after `-c`, as sshd and dropbear give it.  A program of the
policy that may ask has a desk for this: the same is then done there, on the machine.
"""

from __future__ import annotations

import os
import sys

from pbrinit.boot.control import broker_protocol, queries
from pbrinit.boot.control.actions import CHANGES, CONTROL, ChangeError, change
from pbrinit.boot.network import fail_closed, route_lookup
from pbrinit.boot.state import active_plan
from pbrinit.boot.system import json_text
from pbrinit.wire import bootplan
from pbrinit.wire.netlink.socket import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED, USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command; the exit status."""
    asked = list(sys.argv[1:] if arguments is None else arguments)
    if asked[:1] == ["-c"]:
        asked = " ".join(asked[1:]).removeprefix("pbrctl").split()
    is_away = broker_protocol.is_there()
    if asked[:1] == ["try"] and not is_away:
        os.execv(CONTROL, [CONTROL, *asked])  # noqa: S606  our own program, with the compiler
    words = [word for word in asked if word != "--json"]
    if not words or (words[0] != "try" and {"-h", "--help", "help"} & {*words}):
        print(usage())
        return 0 if words else USAGE
    try:
        if is_away:
            return broker_protocol.ask(*_with_policy(asked))
        return _here(words, as_json="--json" in asked)
    except queries.UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        return FAILED
    except (
        KernelError,
        OSError,
        bootplan.BootFileError,
        broker_protocol.BrokerError,
        ChangeError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _here(words: Sequence[str], *, as_json: bool) -> int:
    """What is asked, on the machine itself; raises what `main` says."""
    why = fail_closed.reason()
    if why is not None:
        print(f"CLOSED: {why}", file=sys.stderr)
        return FAILED
    plan = active_plan.now()
    told, lines = _changed(plan, words) if words[0] in CHANGES else queries.answer(plan, words)
    print(json_text.dumps(told) if as_json else "\n".join(lines), flush=True)
    return 0


def _changed(plan: bootplan.BootPlan, words: Sequence[str]) -> queries.Answer:
    text = change(plan, words)
    return {"text": text}, [text]


def usage() -> str:
    """What can be asked, a line each."""
    known = [*(known[:2] for known in queries.COMMANDS.values()), *CHANGES.values()]
    width = max(len(form) for form, _ in known)
    asked = (f"  {form:<{width}}  {about}" for form, about in known)
    forms = (f"  explain {form}" for form in route_lookup.FORMS)
    return "\n".join(["usage: pbrctl COMMAND [--json]", *asked, "a question is", *forms])


def _with_policy(words: Sequence[str]) -> tuple[list[str], bytes]:
    """The words for the desk, and the policy that is to be tried: its file is here, or piped.

    Raises OSError where it cannot be read.
    """
    for at, word in enumerate(words[1:] if words[0] == "try" else (), 1):
        if word.startswith("--") or words[at - 1] == "--confirm":
            continue
        with open(0 if word == "-" else word, "rb") as file:  # noqa: PTH123  not in the image
            return [*words[:at], "-", *words[at + 1 :]], file.read(
                broker_protocol.LONGEST_POLICY + 1
            )
    return [*words], b""
