"""Which plan is in force, and which was before it while one is on trial, in files below /run.

In: plans.  Out: the same, read by whoever comes: the guard that is started again, the console.
Each file is whole, or as it was before.  Where there is none, it is the image's plan, for good.
"""

from __future__ import annotations

import os

from pbrinit.boot.network import slots
from pbrinit.boot.system.atomic_file import atomic_write
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan

IMAGE = bootplan.PATH
IN_FORCE, TRIAL = "/run/plan", "/run/trial"
"""The plan that the machine started with; the one in force; and what was before it."""


class Rollback:
    """The plan that comes back where nobody confirms the one on trial, and when: in seconds of the
    kernel's clock. `owner` is the program that tries, empty for root; its confirmation must name
    the `token`, which nobody else is told.
    """

    def __init__(self, plan: BootPlan, deadline: float, owner: str = "", token: str = "") -> None:
        self.plan = plan
        self.deadline = deadline
        self.owner = owner
        self.token = token


def read(image: BootPlan) -> BootPlan:
    """The plan in force; `image` is the one that the machine started with.

    Raises OSError, BootFileError.
    """
    try:
        return load(IN_FORCE)
    except FileNotFoundError:
        return image


def version() -> tuple[int, int]:
    """Another one where another plan is in force than was; the same where none has come since the
    machine started.
    """
    try:
        told = os.stat(IN_FORCE)  # noqa: PTH116  pathlib is not in the image
    except FileNotFoundError:
        return 0, 0
    return told.st_ino, told.st_mtime_ns


def now() -> BootPlan:
    """The plan in force on this machine. Raises OSError, BootFileError."""
    return read(load(IMAGE))


def load(path: str) -> BootPlan:
    """The plan in a file. Raises OSError, BootFileError."""
    with open(path, "rb") as file:  # noqa: PTH123  pathlib is not in the image
        return bootplan.unpack(file.read())


def rollback(plan: BootPlan) -> Rollback | None:
    """What comes back unless `plan`, which is in force, is confirmed; None where it is for good.

    Raises OSError, BootFileError.
    """
    try:
        with open(TRIAL, "rb") as file:  # noqa: PTH123
            values = bootplan.unsealed(file.read())
    except FileNotFoundError:
        return None
    match values:
        case (digest, place, float() as deadline, str() as owner, str() as token, bytes() as data):
            if (digest, place) != (plan.digest, slots.slot_of(plan)):
                return None
            return Rollback(bootplan.unpack(data), deadline, owner, token)
    raise BootFileError(f"{TRIAL} holds no trial")


def write(plan: BootPlan, rollback: Rollback | None) -> None:
    """Note that `plan` is in force, on trial where there is something before it. Raises OSError.

    What was before is written first, with the plan that it is about: if that does not follow, it
    says nothing.
    """
    if rollback is not None:
        told = (
            plan.digest,
            slots.slot_of(plan),
            rollback.deadline,
            rollback.owner,
            rollback.token,
            bootplan.pack(rollback.plan),
        )
        atomic_write(TRIAL, bootplan.sealed(told))
    atomic_write(IN_FORCE, bootplan.pack(plan))
    if rollback is None and os.path.exists(TRIAL):  # noqa: PTH110
        os.unlink(TRIAL)  # noqa: PTH108
