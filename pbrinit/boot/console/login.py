"""The password before the command line, where the policy has one.

In: what a person types.  Out: nothing; it returns when the password was right, and never before.
Each terminal waits by itself, longer after each mistake; nothing shortens the wait.
"""

from __future__ import annotations

import signal
import sys
import termios
import time

from pbrinit.boot.system.log import log
from pbrinit.wire import password_hash

HASH = "/etc/pbrinit/password"
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0


def ask() -> None:
    """Ask until it is right. Without a hash in the image nothing is asked."""
    try:
        with open(HASH) as file:  # noqa: PTH123  pathlib is not in the image
            hashed = file.read().strip()
    except FileNotFoundError:
        return
    before = termios.tcgetattr(0)
    # Until it is right, what is typed is not shown, nor kept for later.
    termios.tcsetattr(0, termios.TCSAFLUSH, [*before[:3], before[3] & ~termios.ECHO, *before[4:]])
    pause = FIRST_SECONDS
    while not _is_right(hashed):
        # A Ctrl-C does not end it sooner.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(pause)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        termios.tcflush(0, termios.TCIFLUSH)
        print("that is not the password", flush=True)
        pause = min(2 * pause, LONGEST_SECONDS)
    termios.tcsetattr(0, termios.TCSAFLUSH, before)


def _is_right(hashed: str) -> bool:
    try:
        print("\npassword: ", end="", flush=True)
        line = sys.stdin.readline(2 * password_hash.LONGEST)
        print(flush=True)
        return password_hash.matches(line.removesuffix("\n"), hashed)
    except (KeyboardInterrupt, ValueError):
        return False
    except password_hash.PasswordError as error:
        log(f"the password cannot be checked: {error}")
        return False
