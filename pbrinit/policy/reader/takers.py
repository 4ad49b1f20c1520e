"""Who takes what arrives at a port: one program, or the machine itself.

In: the entries of a policy.  Out: findings where two would take the same packets.  Sets of ports
that clients take are shared out by `programs`, and none of them is a service's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from pbrinit.net.services import Service
from pbrinit.policy.policy import Direction, Entry
from pbrinit.policy.problems import Problems


def check(problems: Problems, entries: Sequence[Entry]) -> None:
    """Note services that by one interface would reach a room and somebody else."""
    asked = [entry for entry in entries if entry.direction is Direction.INPUT]
    for first, second in combinations(asked, 2):
        if first.room is second.room or not {*first.interfaces} & {*second.interfaces}:
            continue
        shared = _shared(first, second)
        if shared is not None:
            problems.add(
                f"{second.key}.service",
                f"{shared} goes to {_name(second)} here, and to {_name(first)} by {first.key}",
                "a packet has one taker: let one of them have another port, or name the same run",
            )


def _shared(first: Entry, second: Entry) -> Service | None:
    """A service of the second that is in part one of the first."""
    pairs = ((one, other) for other in second.services for one in first.services)
    for one, other in pairs:
        both = one.ports and other.ports and one.ports.overlaps(other.ports)
        if both and one.protocol == other.protocol:
            return other
    return None


def _name(entry: Entry) -> str:
    return f"the room {entry.room.name}" if entry.room else "the machine itself"
