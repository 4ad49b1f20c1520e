"""The numbers that the users of a room have on the machine: each room has a range of its own.

In: a `Policy` and one of its rooms.  Out: numbers.  User N of a room is user `first` + N of the
machine, for N below COUNT: no other room, no file of the machine and no process outside has it.
"""

from __future__ import annotations

from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Program

FIRST = 1 << 30
"""Those from here on are for rooms; the users of a policy have lower numbers."""

COUNT = 1 << 16
NOBODY = COUNT - 2
"""The highest number that a user in a room may have."""


def first(policy: Policy, program: Program) -> int:
    """The machine's number for user 0 of the room, who is no other user than any there."""
    return FIRST + policy.rooms.index(program) * COUNT
