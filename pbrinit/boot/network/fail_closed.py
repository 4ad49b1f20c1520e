"""The closed state: every interface down, the reason logged, and what the policy says is to follow.

In: why.  Out: a machine that sends nothing, or one that starts again.  It needs no netlink and no
plan, since they may be what failed, and it starts no process: so it takes no reserve of process
numbers or descriptors, and a small one of memory.  What other processes hold is free once they are
killed, and that comes first.  Where a step still fails, the machine starts again, which it does
closed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from pbrinit.boot.system import atomic_file
from pbrinit.boot.system.log import log, seconds

DEVICES = "/sys/class/net"
REASON = "/run/closed"
PLAN, TRIED = "/etc/pbrinit/plan", "/run/plan"
"""The image's plan, and the one that was put in force while the machine ran."""

HEAD_SIZE = 256
"""Of the plan, with its head in it: memory may be short."""

LONGEST_REASON = 4096
GOING = (2, 19, 22)
"""What /sys says of a device that is gone or about to be: ENOENT, ENODEV, EINVAL."""

IFF_UP = 1
PID_1 = 1
STAY = ("stay", 0)
DIE_SECONDS = 10.0
"""How long killed processes may take to end. The hardware's watchdog waits longer."""

LOOK_SECONDS = 0.005

_reserve = [bytes(64 * 1024)]
"""Memory in one piece for what closes the machine; opendir(3) takes half of it."""


class CloseError(Exception):
    """A machine that cannot be closed as it runs; the text says why."""


class Closed:
    """Why the machine is closed, and how it ends: "stay", or what else and when."""

    def __init__(self, why: str, ending: str, at: float) -> None:
        self.why = why
        self.ending = ending
        self.at = at

    def is_due(self) -> bool:
        """Whether it is time to end the machine."""
        return self.ending != "stay" and seconds() >= self.at


def close(why: str) -> Closed:
    """End every process but PID 1, which alone may call this, and take every interface down; what
    is to follow. It never raises: where it fails, the machine starts again and it does not return.

    A process may have been in the middle of setting an interface up when it was killed, so the
    interfaces are looked at again after the last process is gone.
    """
    _reserve.clear()
    try:
        _write_reason(why)
        kill_all(signal.SIGKILL)
        with contextlib.suppress(Exception):
            _set_down()  # at once; what counts is the second time
        _wait_for_the_killed()
        left = _set_down()
        if left:
            raise CloseError(f"{' '.join(left)} cannot be set down")
        ending, pause = _on_failure()
        closed = Closed(why, ending, seconds() + pause)
    except BaseException as error:
        _say(f"CLOSED: {why}", f"CLOSED: the machine starts again: {error!r}")
        restart()
    _say("CLOSED: the rules are not in force, so no interface is up.", f"CLOSED: {why}")
    if ending == "stay":
        _say("CLOSED: the machine stays like this; `poweroff` and `reboot` work on the console.")
    else:
        _say(f"CLOSED: on-failure is {ending}, in {pause} s")
    return closed


def restart() -> None:
    """Start the machine again at once. Never returns: where reboot(2) fails PID 1 ends, and then
    the kernel stops, sends nothing more and starts again.
    """
    try:
        if os.getpid() == PID_1:
            from pbrinit.boot.system import syscalls  # noqa: PLC0415  it may be what is missing

            syscalls.reboot(syscalls.RB_AUTOBOOT)
    finally:
        os._exit(1)


def kill_all(number: signal.Signals) -> None:
    """Send a signal to every process but PID 1, which alone may call this. No process that is just
    being made is missed: fork(2) fails where its caller is being killed (copy_process,
    kernel/fork.c).
    """
    if os.getpid() != PID_1:
        raise CloseError("only PID 1 ends every process")
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, number)


def take_down(why: str) -> list[str]:
    """Set every interface down, and write down why; the devices that are up in spite of it. For a
    process other than PID 1, which says by its exit status that the machine is to be closed.

    Raises OSError where the machine cannot say which devices there are.
    """
    _write_reason(why)
    return _set_down()


def reason() -> str | None:
    """Why the machine was closed while it ran, if it was."""
    try:
        return atomic_file.read(REASON, LONGEST_REASON).decode(errors="replace")
    except OSError:
        return None


def _write_reason(why: str) -> None:
    """For other processes. Where there is no place for it, or something else is in its place, that
    is no reason not to close.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(Exception):
        descriptor = os.open(REASON, flags, 0o644)
        try:
            os.write(descriptor, why.encode(errors="backslashreplace"))
        finally:
            os.close(descriptor)


def _wait_for_the_killed() -> None:
    """Wait until PID 1 has no child left: then there is no process besides, as an orphan is its
    child (find_new_reaper, kernel/exit.c).
    """
    end = time.monotonic() + DIE_SECONDS
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > end:
            raise CloseError("a process that was killed does not end")
        time.sleep(LOOK_SECONDS)


def _set_down() -> list[str]:
    """Set every interface down; those that are up in spite of it. A machine without /sys has none.

    Raises OSError where it cannot be told which there are.
    """
    try:
        devices = os.listdir(DEVICES)  # noqa: PTH208
    except FileNotFoundError:
        return []
    for device in devices:
        # Told by the file and not by an error: what counts is that it is down.
        try:
            if _flags(device) & IFF_UP:
                with open(f"{DEVICES}/{device}/flags", "w") as file:  # noqa: PTH123
                    file.write(hex(_flags(device) & ~IFF_UP))
        except OSError as error:
            _say(f"CLOSED: {device}: {error}")
    return [device for device in devices if _is_up(device)]


def _say(*lines: str) -> None:
    """Log what can be logged."""
    with contextlib.suppress(BaseException):
        for line in lines:
            log(line)


def _flags(device: str) -> int:
    with open(f"{DEVICES}/{device}/flags") as file:  # noqa: PTH123
        return int(file.read(), 16)


def _is_up(device: str) -> bool:
    try:
        return bool(_flags(device) & IFF_UP)
    except OSError as error:
        return error.errno not in GOING


def _on_failure() -> tuple[str, int]:
    """What the policy says; to stay where that cannot be read."""
    try:
        from pbrinit.wire import bootplan  # noqa: PLC0415  it may be what is missing

        plan = TRIED if os.path.exists(TRIED) else PLAN  # noqa: PTH110
        return bootplan.on_failure(atomic_file.read(plan, HEAD_SIZE))
    except Exception as error:
        _say(f"CLOSED: what the policy wants done cannot be read: {error}")
        return STAY
