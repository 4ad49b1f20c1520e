"""The hardware's watchdog: it starts the machine afresh when PID 1 no longer comes round.

In: nothing.  Out: a Watchdog, or None where the machine has none.
(Documentation/watchdog/watchdog-api.rst of the kernel.)
"""

from __future__ import annotations

import fcntl
import os
import struct

DEVICE = "/dev/watchdog"
WDIOC_SETTIMEOUT = 0xC0045706
SECONDS = 30
"""Between PID 1's last word and the reset; the hardware may choose another."""

INT = struct.Struct("=i")


class Watchdog:
    """A running watchdog. It is never closed: nothing but a reset ends it."""

    def __init__(self, device: int, seconds: int) -> None:
        self._device = device
        self.seconds = seconds

    @property
    def pause(self) -> float:
        """How long PID 1 may rest between two feeds."""
        return self.seconds / 3

    def feed(self) -> None:
        """Say that PID 1 is alive. Raises OSError where the device went away."""
        os.write(self._device, b"\0")


def start_watchdog() -> Watchdog | None:
    """Start the watchdog, where there is one."""
    try:
        device = os.open(DEVICE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        answer = fcntl.ioctl(device, WDIOC_SETTIMEOUT, INT.pack(SECONDS))
        seconds = INT.unpack(answer)[0]
    except OSError:
        seconds = SECONDS
    return Watchdog(device, seconds)
