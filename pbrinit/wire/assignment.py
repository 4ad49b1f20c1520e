"""What is given to an interface for a time, whoever gives it.

In: nothing (values only).  Out: `Given`, which a `Lease` is, and what is `Advertised`; and what is
raised of both.
"""

from __future__ import annotations

from types import SimpleNamespace


class LeaseError(Exception):
    """What is given and cannot be used; the text says why."""


class Assignment(SimpleNamespace):
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
