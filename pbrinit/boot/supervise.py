"""PID 1's rest of life: it keeps the console running, reaps the dead, and ends the machine.

In: what the console is.  Out: nothing; it ends with the machine.
Signals: SIGUSR2 powers off, SIGTERM reboots, SIGINT is Ctrl-Alt-Del.
"""

from __future__ import annotations

import os
import signal
import time

from pbrinit.boot import calls
from pbrinit.boot.say import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POWER_OFF = signal.SIGUSR2
REBOOT = signal.SIGTERM
ENDS = {POWER_OFF: calls.RB_POWER_OFF, REBOOT: calls.RB_AUTOBOOT, signal.SIGINT: calls.RB_AUTOBOOT}
PAUSE_SECONDS = 1.0
"""Between a console that ended and the next, so that one that cannot start does not spin."""

STOP_SECONDS = 2.0


def forever(console: Callable[[], None]) -> None:
    """Keep a console in a process of its own; reap; obey the signals."""
    signals = {signal.SIGCHLD, *ENDS}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    calls.reboot(calls.RB_DISABLE_CAD)
    child = _start(console, signals)
    while True:
        received = signal.sigwaitinfo(signals).si_signo
        if received in ENDS:
            _end(ENDS[signal.Signals(received)])
        if child in _reap():
            time.sleep(PAUSE_SECONDS)
            child = _start(console, signals)


def _start(console: Callable[[], None], signals: set[signal.Signals]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.setsid()
        console()
        status = 0
    except BaseException as error:
        say(f"the console ended: {error!r}")
    finally:
        os._exit(status)


def _reap() -> set[int]:
    """Every child that has ended, also those that came here when their parent died."""
    ended: set[int] = set()
    while True:
        try:
            child, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if child == 0:
            return ended
        ended.add(child)


def _end(command: int) -> None:
    say("going down")
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(-1, number)
        except ProcessLookupError:
            break
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end and _reap():
            time.sleep(0.05)
    os.sync()
    calls.reboot(command)
