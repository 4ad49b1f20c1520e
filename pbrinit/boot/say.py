"""What PID 1 says on the console, a line each, with the seconds since the kernel started.

In: text.  Out: lines on standard output, which is the console.
"""

from __future__ import annotations

import os
import time


def seconds() -> float:
    """Seconds since the kernel's clock started (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(text: str) -> None:
    """One line, at once: a console that went away must not stop PID 1."""
    line = f"[{seconds():9.3f}] pbrinit: {text}\n"
    try:
        os.write(1, line.encode())
    except OSError:
        return
