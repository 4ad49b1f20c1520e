"""What may be changed on a machine that runs, at its console and by `pbrctl` on it.

In: a command's words and the `BootPlan`.  Out: it done, and a sentence about it.  To try a policy
takes the compiler, which is another program's.
"""

from __future__ import annotations

from pbrinit.boot.control.queries import UsageError
from pbrinit.boot.guard import requests
from pbrinit.boot.state import program_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pbrinit.wire.bootplan import BootPlan

CONTROL = "/usr/lib/pbrinit/control"
"""What has the compiler; nothing here has."""

CHANGES = {
    "try": (
        "try FILE [--confirm SECONDS]",
        "put a policy in force until the time is up; - is piped",
    ),
    "confirm": ("confirm", "keep the policy on trial, until the machine starts again"),
    "restart": ("restart PROGRAM", "end a program of the policy and start it again"),
}
"""Usage, and what it is for."""


class ChangeError(Exception):
    """What the machine does not do; the text says why."""


def change(plan: BootPlan, words: Sequence[str]) -> str:
    """Confirm a trial, or start a program again.

    Raises UsageError, ChangeError, and OSError where there is nobody to do it.
    """
    match words:
        case ["confirm"]:
            done, told = requests.ask("confirm")
            if not done:
                raise ChangeError(told)
            return told
        case ["restart", name]:
            programs = [program.name for program in plan.programs]
            if name not in programs:
                known = " ".join(programs) or "none"
                raise UsageError(f"the policy has no program {name!r}, only {known}")
            program_status.ask(name)
            return f"{name} is started again"
    raise UsageError(CHANGES[words[0]][0])
