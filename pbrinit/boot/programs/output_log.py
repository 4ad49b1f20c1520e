"""What programs say, on the console: a line each with the program's name, and not too many.

In: pipes.  Out: lines.  It runs in a process of its own: what strangers may have written is not
read by PID 1.
"""

from __future__ import annotations

import os
import select

from pbrinit.boot.system.log import log_output, printable, seconds
from pbrinit.boot.system.rate_limit import TokenBucket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 300
"""Letters of a line that are kept; what follows begins another."""

AT_ONCE, A_SECOND = 50, 10
"""So many lines may come at once, and so many a second from then on; the rest is counted."""

PIECE = 4096


class Voice:
    """One program: its name, and what it may still say."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = b""
        self._bucket = TokenBucket(AT_ONCE, A_SECOND, 0.0)
        self._unsaid = 0

    def hear(self, data: bytes, now: float) -> Iterator[str]:
        """The lines that are whole by now and may be said."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > LONGEST:
            whole.append(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]
        for line in whole:
            for start in range(0, max(len(line), 1), LONGEST):
                yield from self._say(line[start : start + LONGEST], now)

    def _say(self, line: bytes, now: float) -> Iterator[str]:
        if not self._bucket.take(now):
            self._unsaid += 1
            return
        if self._unsaid:
            yield f"{self._name}: {self._unsaid} lines were too many and are left out"
            self._unsaid = 0
        yield f"{self._name}: {printable(line)}"


def run(outputs: list[tuple[str, int]]) -> None:
    """Say what comes out of these pipes, which programs have at the other end; without end."""
    voices = {reader: Voice(name) for name, reader in outputs}
    poll = select.poll()
    for reader in voices:
        poll.register(reader, select.POLLIN)
    while True:
        for reader, _ in poll.poll():
            for line in voices[reader].hear(os.read(reader, PIECE), seconds()):
                log_output(line)
