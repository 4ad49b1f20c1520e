"""PID 1's rest of life: it keeps its duties running, reaps the dead, and ends the machine.

In: the plan, or why there is none.  Out: nothing; it ends with the machine.
Signals: SIGUSR2 powers off, SIGTERM reboots, SIGINT is Ctrl-Alt-Del.
"""

from __future__ import annotations

import os
import signal
import time

from pbrinit.boot import calls, console, powerbutton, terminals, watchdog
from pbrinit.boot.say import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pbrinit.boot.watchdog import Watchdog
    from pbrinit.bootfile import BootPlan

ENDS: dict[int, int] = {
    calls.POWER_OFF: calls.RB_POWER_OFF,
    calls.REBOOT: calls.RB_AUTOBOOT,
    signal.SIGINT: calls.RB_AUTOBOOT,
}
PAUSE_SECONDS = 1.0
"""Between a duty that ended and its next start, so that one that cannot start does not spin."""

STOP_SECONDS = 2.0


def forever(plan: BootPlan | None, why_closed: str | None) -> None:
    """A console on each terminal, the power button, the watchdog; reap; obey the signals."""
    signals = {signal.SIGCHLD, *ENDS}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    calls.reboot(calls.RB_DISABLE_CAD)
    fed = watchdog.start()
    if fed:
        say(f"watchdog: a reset follows {fed.seconds} s after PID 1's last word")
    running = {_start(duty, signals): duty for duty in _duties(plan, why_closed)}
    while True:
        received = _next(signals, fed)
        if received in ENDS:
            _end(ENDS[received])
        ended = [running.pop(child) for child in _reap() if child in running]
        if ended:
            time.sleep(PAUSE_SECONDS)
            running |= {_start(duty, signals): duty for duty in ended}


def _duties(plan: BootPlan | None, why_closed: str | None) -> list[Callable[[], None]]:
    """What runs in a process of its own and is started again when it ends."""
    duties: list[Callable[[], None]] = []
    for terminal in terminals.usable():
        duties.append(lambda terminal=terminal: console.run(terminal, plan, why_closed))  # type: ignore[misc]
    if buttons := powerbutton.devices():
        duties.append(lambda: powerbutton.watch(buttons, 1, calls.POWER_OFF))
    return duties


def _next(signals: set[int], fed: Watchdog | None) -> int:
    """The next signal; the watchdog is fed meanwhile, by this very loop and no other."""
    if fed is None:
        return signal.sigwaitinfo(signals).si_signo
    while True:
        fed.feed()
        told = signal.sigtimedwait(signals, fed.pause)
        if told is not None:
            return told.si_signo


def _start(duty: Callable[[], None], signals: set[int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.setsid()
        duty()
        status = 0
    except BaseException as error:
        say(f"a duty ended: {error!r}")
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
