"""The process that writes to the consoles: the only one, so that all others never wait for them.

In: lines, in the queues of `log`.  Out: the same on every console that the kernel has.  Each
terminal is opened anew and never waited for: a terminal that is stopped, is slow or has hung up
keeps a bounded number of lines waiting, and is told later how many it missed.

Source: drivers/tty/tty_io.c and n_tty.c of the kernel.  With O_NONBLOCK, write(2) gives EAGAIN
where the terminal takes no more, and also where another process is writing to it and waits
(tty_write_lock).  O_NONBLOCK belongs to the open file, which others may share: so it is opened
anew.  poll(2) is not asked: it reports a terminal as writable that does not take a line's end
(n_tty_poll, do_output_char).  After a hang-up every open file of the terminal gives EIO for good
(__tty_hangup), and must be opened again.
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import time

from pbrinit.boot.system import log
from pbrinit.boot.system.log import (
    COUNT,
    LONGEST,
    Queues,
    format_line,
    left_out,
    printable,
    seconds,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ACTIVE = "/sys/class/tty/console/active"
CONSOLE = "console"
WAITING_BYTES = 8192
"""So much waits for a terminal of each kind of line; then the oldest lines are left out."""

RETRY_SECONDS = 0.1
REOPEN_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""Between two looks at which consoles there are: that of a virtual machine may come late."""

END_SECONDS = 0.5
"""What is left to write when the machine goes down has so much time."""

LONGEST_DATAGRAM = COUNT.size + LONGEST + 1
AT_ONCE = 64
"""Lines that are taken from one queue before the others are looked at."""


def active() -> list[str]:
    """The consoles of the kernel; the last is /dev/console (proc-tty.txt, console.rst).

    Raises OSError.
    """
    with open(ACTIVE) as file:  # noqa: PTH123  pathlib is not in the image
        return file.read().split()


class Backlog:
    """Lines that wait for a terminal, and how many were left out before them."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._counts: list[int] = []
        self._size = 0

    def put(self, line: bytes, missed: int = 0) -> None:
        """Keep a line, and no more than there is room for; `missed` were left out before it."""
        self._lines.append(line)
        self._counts.append(missed)
        self._size += len(line)
        while self._size > WAITING_BYTES:
            self._size -= len(self._lines.pop(0))
            missed = self._counts.pop(0) + 1
            self._counts[0] += missed

    def take(self) -> bytes:
        """The next line; b"" where there is none."""
        if not self._lines:
            return b""
        if self._counts[0]:
            count, self._counts[0] = self._counts[0], 0
            return format_line(left_out(count))
        self._counts.pop(0)
        line = self._lines.pop(0)
        self._size -= len(line)
        return line


class Terminal:
    """One console. What PID 1 and the guard report goes before what programs print."""

    def __init__(self, name: str) -> None:
        self._path = f"/dev/{name}"
        self._descriptor = -1
        self._reopen_at = 0.0
        self._line = b""
        self._written = 0
        self._own, self._others = Backlog(), Backlog()

    def put(self, line: bytes, missed: int, *, own: bool) -> None:
        """Keep a line until the terminal takes it."""
        (self._own if own else self._others).put(line, missed)

    def flush(self) -> float | None:
        """Write what the terminal takes now. None, or in how many seconds to try again."""
        while True:
            if self._written == len(self._line):
                self._line, self._written = self._own.take() or self._others.take(), 0
            if not self._line:
                return None
            if self._descriptor < 0 and not self._open():
                return REOPEN_SECONDS
            try:
                written = os.write(self._descriptor, self._line[self._written :])
            except BlockingIOError:
                return RETRY_SECONDS
            except OSError:
                self.close()
                return REOPEN_SECONDS
            if not written:
                return RETRY_SECONDS
            self._written += written

    def close(self) -> None:
        """Let go of it. A line that was cut off begins anew when it is opened again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._written = -1, 0
        self._reopen_at = seconds() + REOPEN_SECONDS

    def reopen_at_once(self) -> None:
        """Wait no longer before it is opened again: a shell that ends hangs its terminal up."""
        self._reopen_at = 0.0

    def is_sent(self) -> bool:
        """Whether nothing is left in the kernel's own buffer (TIOCOUTQ, ioctl_tty(2))."""
        if self._descriptor < 0:
            return True
        try:
            left = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return True
        return not any(left)

    def forget(self) -> None:
        """Drop what waits: another process writes it."""
        self._line, self._written = b"", 0
        self._own, self._others = Backlog(), Backlog()

    def _open(self) -> bool:
        """O_NOCTTY: the terminal must not become that of this session, which would end with it."""
        if seconds() < self._reopen_at:
            return False
        self._reopen_at = seconds() + REOPEN_SECONDS
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags)
        except OSError:
            return False
        return True


class ConsoleWriter:
    """All consoles that there are, by name."""

    def __init__(self) -> None:
        self._terminals: dict[str, Terminal] = {}
        self._look_at = 0.0

    def put(self, line: bytes, missed: int = 0, *, own: bool) -> None:
        """A line for each of them; `missed` were left out before it."""
        self._look()
        for terminal in self._terminals.values():
            terminal.put(line, missed, own=own)

    def write(self, line: bytes) -> None:
        """A line of this process itself, at once as far as it goes."""
        self.put(line, own=True)
        self.flush()

    def flush(self) -> float | None:
        """Write what they take. None, or in how many seconds there is something to do again."""
        pauses = [terminal.flush() for terminal in self._terminals.values()]
        return min((pause for pause in pauses if pause is not None), default=None)

    def finish(self, queues: Queues) -> None:
        """Write what is left for them and in the queues, and see it sent, for a moment at most."""
        until = seconds() + END_SECONDS
        while True:
            is_received = _receive(queues, self)
            for terminal in self._terminals.values():
                terminal.reopen_at_once()
            is_written = self.flush() is None
            is_sent = all(terminal.is_sent() for terminal in self._terminals.values())
            if (is_written and is_sent and not is_received) or seconds() > until:
                return
            time.sleep(END_SECONDS / 50)

    def forget(self) -> None:
        """Drop what waits for them. They stay open: to close the last open file of a terminal that
        is stopped takes half a minute (tty_port_close_start).
        """
        for terminal in self._terminals.values():
            terminal.forget()

    def _look(self) -> None:
        if seconds() < self._look_at:
            return
        try:
            names = active()
        except OSError:
            names = []  # before /sys is mounted
        known = (name in self._terminals or os.path.exists(f"/dev/{name}") for name in names)  # noqa: PTH110
        if not any(known):
            names = [CONSOLE]  # before /dev is mounted; the kernel's own initramfs has this one
        for name in names:
            if name not in self._terminals:
                self._terminals[name] = Terminal(name)
        for name in [name for name in self._terminals if name not in names]:
            self._terminals.pop(name).close()
        self._look_at = seconds() + LOOK_SECONDS  # only now: memory may have been too short


class _Process:
    """What PID 1 writes by until the console writer runs, and what that one starts with."""

    writer: ConsoleWriter | None = None
    is_writing = False


def begin() -> Queues:
    """Have this process write by itself, until `hand_over`; what comes in the queues too, at
    `flush`. For PID 1, before there is a console writer and where none can be started.

    Raises OSError where there can be no queues.
    """
    queues = log.queues() or Queues()
    writer = _Process.writer or ConsoleWriter()
    _Process.writer, _Process.is_writing = writer, True
    log.use(queues, writer.write)
    return queues


def hand_over() -> None:
    """Write no more by itself: this process has started another that runs `run`, and goes on
    there with what could not be written yet.
    """
    queues = log.queues()
    if queues is not None and _Process.writer is not None and _Process.is_writing:
        _Process.writer.forget()
        _Process.is_writing = False
        log.use(queues, None)


def flush() -> None:
    """Write what waits, where this process writes by itself."""
    queues = log.queues()
    if queues is not None and _Process.writer is not None and _Process.is_writing:
        _receive(queues, _Process.writer)
        _Process.writer.flush()


def finish() -> None:
    """Write what is left, for a moment at most, now that no other process does: for PID 1, before
    it ends the machine.
    """
    queues = begin()
    if _Process.writer is not None:
        _Process.writer.finish(queues)


def run() -> None:
    """Write what comes in the queues. Returns after SIGTERM, when all is written or a moment later.

    Raises OSError where there can be no queues.
    """
    import signal  # noqa: PLC0415  not before the rules: it takes longer than all of this

    queues = log.queues() or Queues()
    writer = _Process.writer or ConsoleWriter()
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGTERM, _do_nothing)
    incoming = select.poll()
    for descriptor in (woken, *(queue.reader.fileno() for queue in queues.all())):
        incoming.register(descriptor, select.POLLIN)
    pause = writer.flush()
    while True:
        ready = dict(incoming.poll(None if pause is None else pause * 1000))
        if woken in ready:
            break
        for descriptor, event in ready.items():
            if event & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                incoming.unregister(descriptor)  # a process has shut it down, and it stays so
        _receive(queues, writer)
        pause = writer.flush()
    writer.finish(queues)


def _do_nothing(_: int, __: FrameType | None) -> None:
    """What a signal does that only wakes."""


def _receive(queues: Queues, writer: ConsoleWriter) -> bool:
    """Take lines from the queues; whether there was one."""
    found = False
    for queue in queues.all():
        for _ in range(AT_ONCE):
            try:
                data = queue.reader.recv(LONGEST_DATAGRAM)
            except OSError:
                break
            if not data:
                break
            found = True
            if queue is queues.stray:
                for line in _lines(data):
                    writer.put(line, own=False)
            else:
                (missed,) = COUNT.unpack_from(data)
                writer.put(data[COUNT.size :], missed, own=queue is queues.own)
    return found


def _lines(data: bytes) -> Iterator[bytes]:
    """What a process has written that may be hostile, as lines, which command no terminal."""
    for line in data.split(b"\n"):
        if line:
            yield format_line(printable(line))
