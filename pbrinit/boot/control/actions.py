"""What may be changed on a machine that runs, at its console and by `pbrctl` on it.

In: a command, the `BootPlan`, and the program that asks, if it is one.  Out: it done, and a
sentence about it.  To try a policy takes the compiler, which is in another program.
"""

from __future__ import annotations

from pbrinit.boot.control.commands import Confirm, UsageError
from pbrinit.boot.guard import requests
from pbrinit.boot.state import program_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.control.commands import Restart
    from pbrinit.wire.bootplan import BootPlan

CONTROL = "/usr/lib/pbrinit/control"
"""The program that has the compiler; nothing here has it."""


class ChangeError(Exception):
    """What the machine does not do; the text says why."""


def change(plan: BootPlan, command: Confirm | Restart, asker: str = "") -> str:
    """Confirm a trial, or start a program again. `asker` is the name of the program that asks,
    which can confirm nothing but its own trial; empty for root, who needs no token.

    Raises UsageError, ChangeError, and OSError where there is no guard or no PID 1.
    """
    if isinstance(command, Confirm):
        if asker and not command.token:
            raise UsageError("confirm TOKEN: `try` prints the token")
        done, told = requests.ask(" ".join(["confirm", command.token, asker]).rstrip())
        if not done:
            raise ChangeError(told)
        return told
    names = [program.name for program in plan.programs]
    if command.program not in names:
        known = " ".join(names) or "none"
        raise UsageError(f"the policy has no program {command.program!r}, only {known}")
    program_status.ask(command.program)
    return f"{command.program} is started again"
