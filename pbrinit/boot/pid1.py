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
    closed = None
    why = None
    _write_to_consoles()
    try:
        from pbrinit.boot import init  # noqa: PLC0415  it may be what is missing

        plan = init.before_links()
        init.bring_up(plan)
    except BaseException as error:
        why = describe(error)
    # Not before the error is gone, and with it all that its frames hold: memory may be short.
    if why is not None:
        closed = fail_closed.close(why)
    while True:
        why = None
        try:
            from pbrinit.boot import supervise  # noqa: PLC0415  not before the rules

            supervise.run(plan, closed)
        except BaseException as error:
            why = describe(error)
        _write_to_consoles()
        closed = closed or fail_closed.close(f"PID 1 failed: {why}")
        # PID 1 has no loop here, which is what failed: nothing is up, nothing runs.
        time.sleep(PAUSE_SECONDS)
        _write_to_consoles()
        _end_if_due(closed)


def _write_to_consoles() -> None:
    """Have PID 1 write to the consoles by itself: nobody does yet, or nobody could be started.

    What fails here leaves standard output, and must not keep PID 1 from closing the machine.
    """
    try:
        from pbrinit.boot.system import console_writer  # noqa: PLC0415  it may be what is missing

        console_writer.begin()
        console_writer.flush()
    except Exception:
        return


def _end_if_due(closed: fail_closed.Closed | None) -> None:
    """Do what the policy says is to follow, where the one that does it has failed."""
    if closed is not None and closed.is_due():
        try:
            from pbrinit.boot.system import syscalls  # noqa: PLC0415

            if closed.ending == "poweroff":
                syscalls.reboot(syscalls.RB_POWER_OFF)
        finally:
            fail_closed.restart()


def describe(error: BaseException) -> str:
    """An error in words, its kind where it has none."""
    return str(error) or type(error).__name__
