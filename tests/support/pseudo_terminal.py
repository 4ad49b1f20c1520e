"""A pseudo terminal as a console, and what a person, a cable or a program can do to stop it.

In: nothing.  Out: a `Pty`; `STOPS`, each of which stops one.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pty:
    """A terminal, and the end at which a person sits."""

    def __init__(self) -> None:
        self.person, self.terminal = pty.openpty()
        self.name = os.ttyname(self.terminal).removeprefix("/dev/")
        self._seen = ""
        self.waiting: subprocess.Popen[bytes] | None = None
        os.set_blocking(self.person, False)

    def press(self, keys: bytes) -> None:
        """What a person types."""
        os.write(self.person, keys)

    def read(self, seconds: float = 0.5) -> str:
        """What has come on it, until nothing comes for a moment."""
        while select.select([self.person], [], [], seconds)[0]:
            try:
                self._seen += os.read(self.person, 65536).decode(errors="replace").replace("\r", "")
            except OSError:
                break
        found, self._seen = self._seen, ""
        return found

    def read_until(self, text: str, seconds: float = 20.0) -> str:
        """What has come on it up to this text, and no more."""
        found, end = "", time.monotonic() + seconds
        while text not in found:
            assert time.monotonic() < end, f"{text!r} did not come, but: {found[-2000:]}"
            found += self.read(0.05)
        at = found.index(text) + len(text)
        self._seen = found[at:] + self._seen
        return found[:at]

    def fill(self) -> None:
        """Write until it takes no more: nobody reads at the other end."""
        own = os.open(f"/dev/{self.name}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            while True:
                os.write(own, b"x" * 1000)
        except BlockingIOError:
            os.close(own)

    def close(self) -> None:
        """Pull it out."""
        if self.waiting is not None:
            self.waiting.kill()
            self.waiting.wait()
        for end in (self.person, self.terminal):
            if end >= 0:
                os.close(end)
        self.person = self.terminal = -1


@contextmanager
def terminals(count: int = 1) -> Iterator[list[Pty]]:
    """So many terminals, which are gone afterwards."""
    found = [Pty() for _ in range(count)]
    try:
        yield found
    finally:
        for one in found:
            one.close()


def waits_in_write(terminal: Pty) -> None:
    """Another process waits in write(2) for the terminal, and holds its lock (tty_write_lock)."""
    terminal.press(b"\x13")
    time.sleep(0.1)
    waiting = f"import os; os.write(os.open('/dev/{terminal.name}', os.O_WRONLY), b'y' * 100000)"
    terminal.waiting = subprocess.Popen([sys.executable, "-c", waiting], start_new_session=True)
    time.sleep(0.5)


def hold_by_ioctl(terminal: Pty) -> None:
    termios.tcflow(terminal.terminal, termios.TCOOFF)


STOPS: dict[str, Callable[[Pty], None]] = {
    "Ctrl-S": lambda terminal: terminal.press(b"\x13"),
    "nobody reads": Pty.fill,
    "stopped by a program": hold_by_ioctl,
    "another waits in a write": waits_in_write,
    "hung up": Pty.close,
}
