"""The closed state: every interface down, the reason said, and what the policy wants done.

In: why.  Out: a machine that nobody on the wire hears.  It needs no netlink and no plan, since
they may be what failed.
"""

from __future__ import annotations

import os

from pbrinit.boot.system.log import log, seconds

DEVICES = "/sys/class/net"
REASON = "/run/closed"
PLAN, TRIED = "/etc/pbrinit/plan", "/run/plan"
"""The image's plan, and the one that was put in force while the machine ran."""

HEAD_SIZE = 256
"""Of the plan, with its head in it: memory may be short."""

GOING = (2, 19, 22)
"""What /sys says of a device that is gone or about to be: ENOENT, ENODEV, EINVAL."""

IFF_UP = 1
STAY = ("stay", 0)


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
    """Take every interface down, and say so. Never raises; `Closed` is what is to follow.

    An interface that stays up makes it a reboot at once: a machine starts closed.
    """
    left = take_down(why)
    ending, pause = ("reboot", 0) if left else _on_failure()
    log("CLOSED: the rules are not in force, so no interface is up.")
    log(f"CLOSED: {why}")
    if left:
        log(f"CLOSED: {' '.join(left)} cannot be set down, so the machine starts again")
    elif ending == "stay":
        log("CLOSED: the machine stays like this; `poweroff` and `reboot` work on the console.")
    else:
        log(f"CLOSED: on-failure is {ending}, in {pause} s")
    return Closed(why, ending, seconds() + pause)


def take_down(why: str) -> list[str]:
    """Every interface, and note why. The devices that are up in spite of it; a machine without
    /sys has none that is.
    """
    try:
        with open(REASON, "w") as file:  # noqa: PTH123  pathlib is not in the image
            file.write(why)
    except OSError:
        log("CLOSED: there is no place to write down why")
    try:
        devices = os.listdir(DEVICES)  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"whatever there is ({error})"]
    for device in devices:
        # Told by the file and not by an error: what counts is that it is down.
        try:
            if _flags(device) & IFF_UP:
                with open(f"{DEVICES}/{device}/flags", "w") as file:  # noqa: PTH123
                    file.write(hex(_flags(device) & ~IFF_UP))
        except OSError as error:
            log(f"CLOSED: {device}: {error}")
    return [device for device in devices if _is_up(device)]


def reason() -> str | None:
    """Why the machine was closed while it ran, if it was."""
    try:
        with open(REASON) as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return None


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
        with open(plan, "rb") as file:  # noqa: PTH123
            return bootplan.on_failure(file.read(HEAD_SIZE))
    except Exception as error:
        log(f"CLOSED: what the policy wants done cannot be read: {error}")
        return STAY
