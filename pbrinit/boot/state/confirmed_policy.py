"""The policy that a machine keeps which is not its image's: one that was tried and confirmed.

In: what is tried.  Out: the same, for whoever makes another plan of it when an address changes: its
plan with nothing given, and the files that it is read from.  Each stands in a file below /run that
is whole, or as it was before; where there is none, the image's policy is kept.

Where no address is given no other plan is ever made, and nothing is kept here.
"""

from __future__ import annotations

import contextlib
import os

from pbrinit.boot.state import active_plan
from pbrinit.boot.system.atomic_file import atomic_write
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pbrinit.wire.bootplan import BootPlan

TRIED, KEPT = "/run/tried", "/run/kept"


class ConfirmedPolicy:
    """A policy: the digest of the plan that is on trial, or was, the plan with nothing given, and
    its files by name, the policy's own first.
    """

    def __init__(self, digest: str, plan: BootPlan, files: Mapping[str, bytes]) -> None:
        self.digest = digest
        self.plan = plan
        self.files = files


def write(kept: ConfirmedPolicy) -> None:
    """Put down what is about to be tried. Raises OSError."""
    told = (kept.digest, bootplan.pack(kept.plan), tuple(kept.files.items()))
    atomic_write(TRIED, bootplan.sealed(told))


def read(path: str) -> ConfirmedPolicy | None:
    """What stands there. Raises OSError, BootFileError."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  pathlib is not in the image
            values = bootplan.unsealed(file.read())
    except FileNotFoundError:
        return None
    match values:
        case (str() as digest, bytes() as plan, tuple() as files):
            return ConfirmedPolicy(digest, bootplan.unpack(plan), dict(files))
    raise BootFileError(f"{path} holds no policy")


def plan(image: BootPlan) -> BootPlan:
    """The plan of the policy that is kept, with nothing given. Raises OSError, BootFileError."""
    kept = read(KEPT)
    return kept.plan if kept else image


def now() -> BootPlan:
    """The same on this machine. Raises OSError, BootFileError."""
    return plan(active_plan.load(active_plan.IMAGE))


def confirm() -> None:
    """What is tried is kept. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(TRIED, KEPT)  # noqa: PTH105


def forget() -> None:
    """What was tried is not. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(TRIED)  # noqa: PTH108
