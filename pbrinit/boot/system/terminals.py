"""The terminals that a person may sit at: screen and keyboard, serial line, or both.

In: what the kernel speaks on.  Out: names of devices, and a process's standard input and output.
"""

from __future__ import annotations

import os

ACTIVE = "/sys/class/tty/console/active"
SCREEN, FIRST_SCREEN = "tty0", "tty1"
"""The kernel calls the screen that is shown tty0; a session needs one by number (console(4))."""


def active() -> list[str]:
    """What the kernel speaks on; the last is /dev/console (proc-tty.txt, console.rst)."""
    with open(ACTIVE) as file:  # noqa: PTH123  pathlib is not in the image
        return file.read().split()


def usable() -> list[str]:
    """Those of them that answer: a serial port may be configured and not be there."""
    names = [FIRST_SCREEN if name == SCREEN else name for name in active()]
    return [name for name in names if _answers(name)]


def open_extra_consoles() -> list[int]:
    """Those besides /dev/console, open, for what PID 1 has to say."""
    opened = []
    for name in active()[:-1]:
        try:
            opened.append(os.open(f"/dev/{name}", os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:
            continue
    return opened


def take(name: str) -> None:
    """Make a terminal this session's, so that Ctrl-C is heard, and read and write there.

    /dev/console cannot be one; the device behind it can (tty_ioctl(4), TIOCSCTTY).
    """
    terminal = os.open(f"/dev/{name}", os.O_RDWR)
    for number in range(3):
        os.dup2(terminal, number)


def _answers(name: str) -> bool:
    """Writing fails with EIO where the driver found no port (tty_io_error, tty_io.c)."""
    try:
        terminal = os.open(f"/dev/{name}", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.write(terminal, b"\n") == 1
    except OSError:
        return False
    finally:
        os.close(terminal)
