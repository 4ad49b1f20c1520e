"""How often something may be said: so many at once, and so many a second after that.

In: the time, in seconds of any clock.  Out: whether it may.
"""

from __future__ import annotations


class TokenBucket:
    """It is full at first."""

    def __init__(self, at_once: float, per_second: float, now: float) -> None:
        self._most = self._left = at_once
        self._per_second = per_second
        self._at = now

    def take(self, now: float) -> bool:
        """Whether there is one left; then it is one less."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
