"""Sets of packets, each a product of sets of what its packets have.

In: nothing (values only).  Out: `Box`, and `Part`, what passes on one path.  `meaning` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pbrinit.net.addresses import Address, AddressSet
from pbrinit.semantics.exchange import Form


@dataclass(frozen=True)
class Box:
    """Packets of one path: each that has its fields in all of these sets. uid None is anybody.

    On the way out a source that is still to be chosen is in every set of sources.  `key` is the
    entry's that names them; `answer` says whether they have the form of its answers, `reject`
    whether who sends them through is told that they are denied.
    """

    form: Form
    sources: AddressSet
    destinations: AddressSet
    key: str
    answer: bool = False
    uid: int | None = None
    reject: bool = False

    def holds(self, packet: Seen) -> bool:
        """Whether the packet is one of them."""
        form = self.form
        return (
            form.protocol in (None, packet.protocol)
            and self.uid in (None, packet.uid)
            and (packet.source is None or packet.source in self.sources)
            and packet.destination in self.destinations
            and any(p.first <= packet.source_port <= p.last for p in form.source_ports)
            and any(p.first <= packet.destination_port <= p.last for p in form.destination_ports)
        )


@dataclass(frozen=True)
class Seen:
    """A packet as it is looked up; source None is one still to be chosen, on the way out."""

    source: Address | None
    destination: Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    uid: int = 0


@dataclass(frozen=True)
class Part:
    """What passes on one path: what the entries allow less what they deny, and what always does;
    and what is logged, where it does not pass.

    Exchanges are allowed and denied: a deny entry takes what asks from what asks, and answers
    from answers.
    """

    allowed: tuple[Box, ...]
    denied: tuple[Box, ...] = ()
    always: tuple[Box, ...] = ()
    logged: tuple[Box, ...] = ()

    def passes(self, packet: Seen) -> bool:
        """Whether the packet is to pass."""
        return any(box.holds(packet) for box in self.always) or any(
            any(box.holds(packet) for box in allowed)
            and not any(box.holds(packet) for box in denied)
            for allowed, denied in self.halves
        )

    @cached_property
    def halves(self) -> tuple[tuple[tuple[Box, ...], tuple[Box, ...]], ...]:
        """What is allowed and what is denied, of those who ask and of those who answer."""
        return tuple(
            (
                tuple(box for box in self.allowed if box.answer is answer),
                tuple(box for box in self.denied if box.answer is answer),
            )
            for answer in (False, True)
        )

    def tells(self, packet: Seen) -> bool | None:
        """Whether its sender is told that it is denied: where it would pass were it not rejected.
        None, as it comes: where it would not pass anyhow, and the sender is one who is rejected.
        """
        asks, denied = self.halves[0]
        said = {box.reject for box in denied if box.holds(packet)}
        asked = any(box.holds(packet) for box in asks)
        if said == {True} and asked and not self.passes(packet):
            return True
        named = any(box.reject and packet.source in box.sources for box in self.denied
                    if packet.source is not None)  # fmt: skip
        return None if named else False

    def names(self, packet: Seen) -> tuple[str, ...]:
        """The keys of the entries that name it, allow and deny, and of what always passes."""
        boxes = (*self.always, *self.allowed, *self.denied)
        return tuple(dict.fromkeys(box.key for box in boxes if box.holds(packet)))

    def asks(self, packet: Seen) -> frozenset[str]:
        """The keys of those that name it otherwise than as an answer."""
        boxes = (*self.always, *self.allowed, *self.denied)
        return frozenset(box.key for box in boxes if not box.answer and box.holds(packet))
