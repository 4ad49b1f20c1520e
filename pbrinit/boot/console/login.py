"""The password before the command line, where the policy has one.

In: what a person types.  Out: nothing; it returns when the password was right, and never before.

The machine waits after each mistake, longer each time: not the terminal, nor this process.  No
key, no hang-up, no second terminal and no new process makes it shorter: the end of the wait stands
in a file that only root reaches, by a clock that is never set (CLOCK_BOOTTIME), and it is written
before a password is compared.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time

from pbrinit.boot.system import terminals
from pbrinit.boot.system.log import log, seconds
from pbrinit.wire import password_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HASH = "/etc/pbrinit/password"
PATH = "/run/login"
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
FORM = struct.Struct("=Id")
"""Mistakes since the last right password, and when the next one is compared."""

DOUBLINGS = 16
"""More of them make the wait no longer, and the number no larger than a float."""

SHOWN_SECONDS = 2.0
LINE_SIZE = 4096
"""A terminal gives no longer line (N_TTY_BUF_SIZE, drivers/tty/n_tty.c)."""


class Attempts:
    """Passwords that are tried on this machine, one at a time, with a wait between two.

    Where the file cannot be kept, there is the longest wait before each of them: then there is
    nothing that a new process could forget.
    """

    def __init__(self) -> None:
        self._file = -1
        try:
            self._file = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._file).st_size < FORM.size:
                self._write(0, 0.0)  # so that there is room for it from now on
        except OSError:
            self._forget_file()

    def wait(self) -> None:
        """Wait until the next password is compared."""
        while (left := self.left()) > 0:
            time.sleep(left)

    def left(self) -> float:
        """How long that takes, in seconds."""
        if self._file < 0:
            return 0.0
        return self._read()[1] - seconds()

    def compare(self, is_right: Callable[[], bool]) -> bool:
        """Whether it is right, once it may be compared."""
        if self._file < 0:
            time.sleep(LONGEST_SECONDS)
            return is_right()
        while True:
            self.wait()
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                mistakes, until = self._read()
                if until > seconds():
                    continue  # another terminal was first
                mistakes = min(mistakes + 1, DOUBLINGS)
                pause = min(FIRST_SECONDS * 2 ** (mistakes - 1), LONGEST_SECONDS)
                self._write(mistakes, seconds() + pause)
                if not is_right():
                    return False
                self._write(0, 0.0)
                return True
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self) -> tuple[int, float]:
        mistakes, until = FORM.unpack(os.pread(self._file, FORM.size, 0))
        return mistakes, until

    def _write(self, mistakes: int, until: float) -> None:
        os.pwrite(self._file, FORM.pack(mistakes, until), 0)

    def _forget_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def require_password() -> None:
    """Ask until it is right. Without a hash in the image nothing is asked."""
    try:
        with open(HASH) as file:  # noqa: PTH123  pathlib is not in the image
            hashed = file.read().strip()
    except FileNotFoundError:
        return
    terminals.make_silent(0)
    attempts = Attempts()
    if attempts.left() > SHOWN_SECONDS:
        print(f"\nthe next password is taken in {attempts.left():.0f} s", flush=True)
    attempts.wait()
    terminals.make_silent(0)
    while not _is_right(hashed, attempts):
        attempts.wait()
        terminals.make_silent(0)
        print("that is not the password", flush=True)
    terminals.make_ordinary(0)


def _is_right(hashed: str, attempts: Attempts) -> bool:
    print("\npassword: ", end="", flush=True)
    # One line, whatever its length, and nothing of it stays in a buffer of this process.
    line = os.read(0, LINE_SIZE).decode(errors="surrogateescape").removesuffix("\n")
    print(flush=True)
    try:
        return attempts.compare(lambda: password_hash.matches(line, hashed))
    except ValueError:
        return False
    except password_hash.PasswordError as error:
        log(f"the password cannot be checked: {error}")
        return False
