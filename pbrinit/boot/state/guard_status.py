"""What the guard has seen and done, in a file, so that the console can tell.

In: counts and lines.  Out: the same, read in another process.
"""

from __future__ import annotations

import marshal

from pbrinit.boot.system.atomic_file import write_report
from pbrinit.boot.system.log import log, seconds

PATH = "/run/guard"
LAST_LINES = 8


class GuardStatus:
    """Counts since boot: `verified` audits and when the last was, `routes`, `repairs`, `carriers`
    lost and come; and the last lines that the guard said.
    """

    def __init__(self) -> None:
        self.verified = 0
        self.at = 0.0
        self.routes = 0
        self.repairs = 0
        self.carriers = 0
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        """Say a line on the console and keep it."""
        log(text)
        self.lines = [*self.lines, f"{seconds():.2f} s: {text}"][-LAST_LINES:]

    def write(self) -> None:
        """Put it where `read` finds it: whole, or as it was before; where there is no room, not."""
        write_report(PATH, marshal.dumps(vars(self)))


def read() -> GuardStatus:
    """What was last written; an empty one before that.

    Raises OSError where it is there and cannot be read, or holds something else.
    """
    record = GuardStatus()
    try:
        with open(PATH, "rb") as file:  # noqa: PTH123
            vars(record).update(marshal.load(file))  # noqa: S302  PID 1's own, below /run
    except FileNotFoundError:
        return record
    except (ValueError, TypeError, EOFError) as error:
        raise OSError(f"{PATH} holds no status of the guard: {error}") from None
    return record
