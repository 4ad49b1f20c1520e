"""The terminals that a person may sit at: screen and keyboard, serial line, or both.

In: the consoles that the kernel has.  Out: names of devices, and a process's standard input and
output with a terminal behind them, in a known state.
"""

from __future__ import annotations

import fcntl
import os
import termios

from pbrinit.boot.system.console_writer import active

TYPE = "/sys/class/tty/{}/type"
NO_PORT = "0"
"""PORT_UNKNOWN: the driver found no port there, and opens a terminal that gives EIO
(uart_port_startup, drivers/tty/serial/serial_core.c)."""

SCREEN, FIRST_SCREEN = "tty0", "tty1"
"""The kernel calls the screen that is shown tty0; a session needs one by number (console(4))."""

TAKE_OVER = 1
"""To TIOCSCTTY: also where another session has the terminal (tty_ioctl(4))."""

SPECIAL_CHARACTERS = {
    termios.VINTR: 0x03, termios.VQUIT: 0x1C, termios.VERASE: 0x7F, termios.VKILL: 0x15,
    termios.VEOF: 0x04, termios.VSTART: 0x11, termios.VSTOP: 0x13, termios.VSUSP: 0x1A,
    termios.VEOL: 0, termios.VEOL2: 0, termios.VREPRINT: 0x12, termios.VDISCARD: 0x0F,
    termios.VWERASE: 0x17, termios.VLNEXT: 0x16,
}  # fmt: skip
"""As a terminal has them when it is new (INIT_C_CC, linux/tty.h)."""

LINES = (
    termios.ISIG | termios.ICANON | termios.IEXTEN
    | termios.ECHO | termios.ECHOE | termios.ECHOK | termios.ECHOCTL | termios.ECHOKE
)  # fmt: skip
INPUT, OUTPUT, LOCAL = 0, 1, 3
CONTROL, CHARACTERS = 2, 6
"""Places in what tcgetattr gives (termios(3))."""


def usable() -> list[str]:
    """Those that answer: a serial port may be configured and not be there.  None is opened: to
    open or close a terminal may take as long as a terminal that is stopped.
    """
    names = [FIRST_SCREEN if name == SCREEN else name for name in active()]
    return [name for name in names if _has_port(name)]


def attach(name: str) -> None:
    """Make a terminal this session's, so that Ctrl-C is heard, and read and write there.

    /dev/console cannot be one; the device behind it can (tty_ioctl(4), TIOCSCTTY).  It is opened
    without waiting for a carrier, and left as one that was just made: not as another program, or
    whoever sat there before, has set it.  Raises OSError, termios.error.
    """
    terminal = os.open(f"/dev/{name}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, TAKE_OVER)
    make_ordinary(terminal)
    os.set_blocking(terminal, True)
    for number in range(3):
        os.dup2(terminal, number)
    if terminal > 2:  # noqa: PLR2004  standard error
        os.close(terminal)


def make_ordinary(terminal: int) -> None:
    """Lines with echo, Ctrl-C and Ctrl-S, whatever was before; the speed stays.

    Raises termios.error.
    """
    _set(terminal, termios.ICRNL | termios.IXON, LINES)


def make_silent(terminal: int) -> None:
    """Lines, and nothing else: what is typed is not shown, no key is a signal, none stops the
    output, and neither does a break on the line.  What was typed before is dropped.

    Raises termios.error.
    """
    _set(terminal, termios.ICRNL | termios.IGNBRK, termios.ICANON)
    termios.tcflush(terminal, termios.TCIFLUSH)


def _set(terminal: int, of_input: int, local: int) -> None:
    """At once: to wait for the output to drain would be to wait for whoever reads it.  CLOCAL: a
    cable of three wires has no carrier, and its loss would be a hang-up.
    """
    found = termios.tcgetattr(terminal)
    found[INPUT], found[OUTPUT], found[LOCAL] = of_input, termios.OPOST | termios.ONLCR, local
    found[CONTROL] |= termios.CREAD | termios.CLOCAL
    for index, character in SPECIAL_CHARACTERS.items():
        found[CHARACTERS][index] = bytes([character])
    termios.tcsetattr(terminal, termios.TCSANOW, found)


def _has_port(name: str) -> bool:
    """Terminals that are no serial ports have no such file."""
    try:
        with open(TYPE.format(name)) as file:  # noqa: PTH123
            return file.read().strip() != NO_PORT
    except FileNotFoundError:
        return True
