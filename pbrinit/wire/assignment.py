"""What is given to an interface for a time, whoever gives it.

In: nothing (values only).  Out: `Given`, which a `Lease` is, and what is `Advertised`; and what is
raised of both.
"""

from __future__ import annotations

import os

from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.prefix import Prefix

    Sent = list[tuple[bytes, str]]


class LeaseError(Exception):
    """What is given and cannot be used; the text says why."""


class Assignment(Record):
    """An address for some time, and the resolvers that come with it; seconds are from when it was
    told on.
    """

    resolvers: tuple[str, ...]

    def pack(self) -> bytes:
        """It as bytes of a size that is always the same."""
        raise NotImplementedError

    def as_assignment(self, age: float) -> str | None:
        """It as `pbrctl lease` takes it, at an age of so many seconds; None once it is over."""
        raise NotImplementedError

    def change_times(self) -> tuple[int, ...]:
        """The ages at which it is written otherwise."""
        raise NotImplementedError

    def describe(self, age: float) -> str:
        """It as a person reads it."""
        raise NotImplementedError


class Identity(Record):
    """Who asks: the machine's name, and the prefixes of its other interfaces (number, length)."""

    hostname: str
    taken: tuple[Prefix, ...]


class AddressClient:
    """What is held, and what is to be done about it: `due` is when to `tick` next. `refused` says
    why what was given last was not taken.
    """

    refused: str
    due: float

    @property
    def held(self) -> tuple[Assignment, float] | None:
        """What is held, and since when; more time for the same is another."""
        raise NotImplementedError

    def tick(self, now: float) -> Sent:
        """What is due: datagrams, each with the address that it goes to."""
        raise NotImplementedError


def random_below(number: int) -> int:
    """A number below another one that nobody can guess."""
    return int.from_bytes(os.urandom(8), "big") % number
