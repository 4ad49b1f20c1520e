"""How many lines strangers can have logged.

In: the time at each line.  Out: whether it may be logged, and how many were left out before it.
"""

from __future__ import annotations

LINES, LINES_SECONDS = 20, 60.0
"""So many lines in so many seconds: an offer with faults needs a few, now and then."""


class LineBudget:
    """The lines of one client."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._logged = 0
        self._left_out = 0

    def spend(self, now: float) -> int | None:
        """How many lines were left out before one that may be logged now; None where it may not."""
        if now >= self._began + LINES_SECONDS:
            self._began, self._logged = now, 0
        if self._logged >= LINES:
            self._left_out += 1
            return None
        self._logged += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
