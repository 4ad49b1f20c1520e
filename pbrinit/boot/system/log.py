"""What PID 1 and its processes report, a line each, with the seconds since the kernel started.

In: text.  Out: a line on its way to every console; nothing here ever waits for a terminal.

A terminal may stop: by Ctrl-S, by Scroll Lock, by a serial line that nobody reads.  So only one
process writes to terminals, the console writer (`console_writer`), and all others hand it their
lines: a datagram each, which is queued or refused at once (unix(7), MSG_DONTWAIT).  A line that is
refused is counted, and the count is sent with the next line.  PID 1 holds both ends of each queue,
so that a console writer which ends takes no line with it and stops nobody.
"""

from __future__ import annotations

import _socket
import os
import select
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 2000
"""Bytes of a line that are kept."""

COUNT = struct.Struct("=I")
"""Before a line in a queue: how many of this sender were left out before it."""


def seconds() -> float:
    """Seconds since the kernel's clock started (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Queue:
    """The way of lines to the console writer; `reader` is its end."""

    def __init__(self) -> None:
        self.reader, self.writer = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        # For those who write into it as into a file. Others must not rely on it: the flag is
        # shared with every process that has the queue, and each may take it back.
        for end in (self.reader, self.writer):
            os.set_blocking(end.fileno(), False)
        self._left_out = 0

    def send(self, text: str) -> None:
        """Hand over one line, or count it where there is no room."""
        data = COUNT.pack(self._left_out) + format_line(text)
        try:
            self.writer.send(data, _socket.MSG_DONTWAIT)
            self._left_out = 0
        except OSError:
            self._left_out += 1


class Queues:
    """`own` is for PID 1 and what guards the machine; `programs` for what programs print; `stray`
    for processes that may not be trusted, and for what is written to standard output and error.
    """

    def __init__(self) -> None:
        self.own = Queue()
        self.programs = Queue()
        self.stray = Queue()

    def all(self) -> tuple[Queue, Queue, Queue]:
        """What is most wanted first."""
        return self.own, self.programs, self.stray


class _Route:
    """Where the lines of this process go."""

    def __init__(self) -> None:
        self.queues: Queues | None = None
        self.write: Callable[[bytes], None] | None = None
        self.process = 0
        self.left_out = 0
        self.is_confined = False


_route = _Route()


def use(queues: Queues, write: Callable[[bytes], None] | None) -> None:
    """Report by these queues from now on, in this process and in those that it starts.  With
    `write`, this process alone writes its lines by that: PID 1, before the console writer runs.
    """
    _route.queues, _route.write, _route.process = queues, write, os.getpid()


def queues() -> Queues | None:
    """The queues to the console writer; None in a process that PID 1 has not started."""
    return _route.queues


def confine() -> int:
    """Have this process report by its standard output alone, which is to be the descriptor that
    is returned.  A process that may be taken over gets no other way to the console.
    """
    if _route.queues is None:
        return os.dup(1)
    _route.is_confined = True
    return _route.queues.stray.writer.fileno()


def log(text: str) -> None:
    """Report one line. Never waits, and never fails."""
    if _route.write is not None and _route.process == os.getpid():
        _route.write(format_line(text))
    elif _route.queues is not None and not _route.is_confined:
        _route.queues.own.send(text)
    else:
        _write_to_output(text)


def log_output(text: str) -> None:
    """Report a line that a program has printed: what PID 1 and the guard report goes before."""
    if _route.queues is not None:
        _route.queues.programs.send(text)
    else:
        _write_to_output(text)


def _write_to_output(text: str) -> None:
    """To standard output, where it takes a line now; else it is counted."""
    output = select.poll()
    output.register(1, select.POLLOUT)
    try:
        if not any(event & select.POLLOUT for _, event in output.poll(0)):
            raise BlockingIOError
        if _route.left_out:
            os.write(1, _as_output(left_out(_route.left_out)))
            _route.left_out = 0
        os.write(1, _as_output(text))
    except OSError:
        _route.left_out += 1


def _as_output(text: str) -> bytes:
    """The console writer adds the time by itself to what comes in the stray queue."""
    return text.encode()[:LONGEST] if _route.is_confined else format_line(text)


def left_out(count: int) -> str:
    """The line in the place of those that were left out."""
    return f"{count} line{'' if count == 1 else 's'} left out"


def format_line(text: str) -> bytes:
    """A line as it stands on the console, with its end."""
    line = f"[{seconds():9.3f}] pbrinit: {text}".encode("utf-8", "backslashreplace")
    return line[:LONGEST] + b"\n"


def printable(line: bytes) -> str:
    """The text, without anything that a terminal would obey."""
    text = line.decode("ascii", "backslashreplace").rstrip("\r")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
