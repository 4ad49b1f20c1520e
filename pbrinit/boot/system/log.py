"""What PID 1 says, a line each, with the seconds since the kernel started.

In: text.  Out: lines on standard output, which is the console, and on the others there are.
"""

from __future__ import annotations

import os
import time


def seconds() -> float:
    """Seconds since the kernel's clock started (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


extra_consoles: list[int] = []
"""Consoles besides standard output, open."""


def log(text: str) -> None:
    """One line, at once: a console that went away must not stop PID 1."""
    line = f"[{seconds():9.3f}] pbrinit: {text}\n".encode()
    for console in (1, *extra_consoles):
        try:
            os.write(console, line)
        except OSError:
            continue
