"""An address that an interface is assigned for some time, whatever the protocol.

In: nothing (values only).  Out: `Assignment`, the base of `Lease` (DHCP) and `AdvertisedAddress`
(router advertisements), and the error that is raised for both.
"""

from __future__ import annotations

import os

from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.prefix import Prefix

    Sent = list[tuple[bytes, str]]


class LeaseError(Exception):
    """An assignment that cannot be used; the text says why."""


class Assignment(Record):
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


class Identity(Record):
    """Who asks: the machine's name, and the prefixes of its other interfaces (number, length)."""

    hostname: str
    taken: tuple[Prefix, ...]


class AddressClient:
    """What is held, and what is to be done about it: `due` is when to `tick` next. `rejection` says
    why the last assignment was not accepted, `remarks` what of the one that is held was left out.
    """

    rejection: str
    remarks: tuple[str, ...] = ()
    due: float

    @property
    def held(self) -> tuple[Assignment, float] | None:
        """What is held, and since when; more time for the same is another."""
        raise NotImplementedError

    def tick(self, now: float) -> Sent:
        """What is due: datagrams, each with the address that it goes to."""
        raise NotImplementedError

    def reconnect(self, now: float) -> None:
        """The cable came back, perhaps to another network: ask at once."""
        raise NotImplementedError


def random_below(number: int) -> int:
    """A number below another one that nobody can guess."""
    return int.from_bytes(os.urandom(8), "big") % number
