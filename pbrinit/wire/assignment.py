"""An address that an interface is assigned for some time, whatever the protocol.

In: nothing (values only).  Out: `Assignment`, the base of `Lease` (DHCP) and `AdvertisedAddress`
(router advertisements), and the error that is raised for both.
"""

from __future__ import annotations

from types import SimpleNamespace


class LeaseError(Exception):
    """An assignment that cannot be used; the text says why."""


class Assignment(SimpleNamespace):
    """An address for some time, and the DNS resolvers that come with it. Its age is in seconds and
    begins when the client process reported it.
    """

    resolvers: tuple[str, ...]

    def pack(self) -> bytes:
        """The assignment as bytes; all of one protocol have the same size."""
        raise NotImplementedError

    def as_assignment(self, age: float) -> str | None:
        """The assignment at this age, as `pbrctl lease` takes it; None once it has ended."""
        raise NotImplementedError

    def change_times(self) -> tuple[int, ...]:
        """The ages at which the result of `as_assignment` changes."""
        raise NotImplementedError

    def describe(self, age: float) -> str:
        """The assignment in words, for the log."""
        raise NotImplementedError
