"""The power button: pressed, it is a key, and the machine goes down in order.

In: the kernel's input devices.  Out: POWER_OFF to PID 1.
(Documentation/input/event-codes.rst; ACPI's button is such a device, drivers/acpi/button.c.)
"""

from __future__ import annotations

import os
import select
import struct

INPUTS = "/sys/class/input"
EVENT = struct.Struct("=qqHHi")
"""struct input_event of 64-bit programs: seconds, microseconds, type, code, value."""

EV_KEY = 1
KEY_POWER = 116
PRESSED = 1
WORD = 64


def devices() -> list[str]:
    """The event devices that have a power key."""
    if not os.path.isdir(INPUTS):  # noqa: PTH112  pathlib is not in the image
        return []
    names = (name for name in sorted(os.listdir(INPUTS)) if name.startswith("event"))  # noqa: PTH208
    return [f"/dev/input/{name}" for name in names if _has_power(name)]


def watch(paths: list[str], pid: int, signal: int) -> None:
    """Wait for the key on any of the devices and send the signal, each time. Never returns."""
    opened = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths]
    while True:
        ready, _, _ = select.select(opened, [], [])
        for device in ready:
            for *_, kind, code, value in EVENT.iter_unpack(os.read(device, EVENT.size * 16)):
                if (kind, code, value) == (EV_KEY, KEY_POWER, PRESSED):
                    os.kill(pid, signal)


def _has_power(name: str) -> bool:
    """The keys of a device are a bitmap in words, the highest first (input_print_bitmap)."""
    with open(f"{INPUTS}/{name}/device/capabilities/key") as file:  # noqa: PTH123
        words = [int(word, 16) for word in file.read().split()][::-1]
    index, bit = divmod(KEY_POWER, WORD)
    return index < len(words) and bool(words[index] >> bit & 1)
