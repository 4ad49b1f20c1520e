"""PID 1's outermost frame: whatever happens within, it does not end, and nothing is left open.

In: nothing.  Out: nothing; it ends with the machine.  It imports what it needs inside, so that a
module that is missing or broken is a failure like any other.
"""

from __future__ import annotations

import time

from pbrinit.boot.network import fail_closed

PAUSE_SECONDS = 1.0


def main() -> None:
    """Run as PID 1. Never returns, and never raises."""
    plan = None
    end = None
    try:
        from pbrinit.boot import init  # noqa: PLC0415  it may be what is missing

        plan = init.before_links()
        init.bring_up(plan)
    except BaseException as error:
        end = fail_closed.close(describe(error))
    while True:
        try:
            from pbrinit.boot import supervise  # noqa: PLC0415  not before the rules

            supervise.run(plan, end)
        except BaseException as error:
            end = end or fail_closed.close(f"PID 1 failed: {describe(error)}")
            time.sleep(PAUSE_SECONDS)  # what fails at once must not spin
            _end_if_due(end)


def _end_if_due(end: fail_closed.Closed) -> None:
    """Do what the policy wants on failure, where the one whose duty that is has failed."""
    if end.is_due():
        # Without calls, PID 1 ends: then the kernel panics, and starts again.
        from pbrinit.boot.system import syscalls  # noqa: PLC0415

        poweroff = end.ending == "poweroff"
        syscalls.reboot(syscalls.RB_POWER_OFF if poweroff else syscalls.RB_AUTOBOOT)


def describe(error: BaseException) -> str:
    """An error in words, its kind where it has none."""
    return str(error) or type(error).__name__
