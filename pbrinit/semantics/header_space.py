"""Sets of packets, each a product of sets of what its packets have.

In: nothing (values only).  Out: `HeaderSpace`, and `PathPolicy`, what passes on one path.  `paths`
makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pbrinit.net.addresses import Address, AddressSet
from pbrinit.net.services import PortSet
from pbrinit.semantics.exchange import PacketPattern


@dataclass(frozen=True)
class HeaderSpace:
    """Packets of one path: each that has its fields in all of these sets. uid None is anybody.

    On the way out a source that is still to be chosen is in every set of sources.  `key` is the
    entry's that names them; `answer` says whether they have the form of its answers, `reject`
    whether who sends them through is told that they are denied.
    """

    pattern: PacketPattern
    sources: AddressSet
    destinations: AddressSet
    key: str
    answer: bool = False
    uid: int | None = None
    reject: bool = False

    def holds(self, packet: Flow) -> bool:
        """Whether the packet is one of them."""
        pattern = self.pattern
        return (
            pattern.protocol in (None, packet.protocol)
            and self.uid in (None, packet.uid)
            and (packet.source is None or packet.source in self.sources)
            and packet.destination in self.destinations
            and any(p.first <= packet.source_port <= p.last for p in pattern.source_ports)
            and any(p.first <= packet.destination_port <= p.last for p in pattern.destination_ports)
        )

    def overlaps(self, other: HeaderSpace) -> bool:
        """Whether a packet can be one of both."""
        mine, others = self.pattern, other.pattern
        return (
            (None in (mine.protocol, others.protocol) or mine.protocol == others.protocol)
            and (None in (self.uid, other.uid) or self.uid == other.uid)
            and self.sources.overlaps(other.sources)
            and self.destinations.overlaps(other.destinations)
            and _share_a_port(mine.source_ports, others.source_ports)
            and _share_a_port(mine.destination_ports, others.destination_ports)
        )


def _share_a_port(some: PortSet, others: PortSet) -> bool:
    return any(one.overlaps(other) for one in some for other in others)


@dataclass(frozen=True)
class Flow:
    """A packet as it is looked up; source None is one still to be chosen, on the way out."""

    source: Address | None
    destination: Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    uid: int = 0


@dataclass(frozen=True)
class PathPolicy:
    """What passes on one path: what the entries allow less what they deny, and what always does;
    and what is logged, where it does not pass: by a deny entry, or since the policy logs all, but
    for what may be missed of that.

    Exchanges are allowed and denied: a deny entry takes what asks from what asks, and answers
    from answers.
    """

    allowed: tuple[HeaderSpace, ...]
    denied: tuple[HeaderSpace, ...] = ()
    always: tuple[HeaderSpace, ...] = ()
    logged: tuple[HeaderSpace, ...] = ()
    all_logged: tuple[HeaderSpace, ...] = ()
    missed: tuple[HeaderSpace, ...] = ()

    def logs(self, packet: Flow) -> bool:
        """Whether the log hears of the packet for sure where it does not pass."""
        return any(space.holds(packet) for space in self.logged) or (
            any(space.holds(packet) for space in self.all_logged)
            and not any(space.holds(packet) for space in self.missed)
        )

    def passes(self, packet: Flow) -> bool:
        """Whether the packet is to pass."""
        return any(space.holds(packet) for space in self.always) or any(
            any(space.holds(packet) for space in allowed)
            and not any(space.holds(packet) for space in denied)
            for allowed, denied in self.by_direction
        )

    @cached_property
    def by_direction(self) -> tuple[tuple[tuple[HeaderSpace, ...], tuple[HeaderSpace, ...]], ...]:
        """What is allowed and what is denied, of those who ask and of those who answer."""
        return tuple(
            (
                tuple(space for space in self.allowed if space.answer is answer),
                tuple(space for space in self.denied if space.answer is answer),
            )
            for answer in (False, True)
        )

    @cached_property
    def requests(self) -> dict[str, list[HeaderSpace]]:
        """What is allowed of those who ask, by the keys of entries."""
        return _by_key(self.by_direction[0][0])

    @cached_property
    def denied_requests(self) -> dict[str, list[HeaderSpace]]:
        """What is denied of those who ask, by the keys of deny entries."""
        return _by_key(self.by_direction[0][1])

    def rejects(self, packet: Flow) -> bool | None:
        """Whether its sender is told that it is denied: where it would pass were it not rejected.
        None, as it comes: where it would not pass anyhow, and the sender is one who is rejected.
        """
        asks, denied = self.by_direction[0]
        said = {space.reject for space in denied if space.holds(packet)}
        asked = any(space.holds(packet) for space in asks)
        if said == {True} and asked and not self.passes(packet):
            return True
        named = any(space.reject and packet.source in space.sources for space in self.denied
                    if packet.source is not None)  # fmt: skip
        return None if named else False

    def matching_keys(self, packet: Flow) -> tuple[str, ...]:
        """The keys of the entries that name it, allow and deny, and of what always passes."""
        spaces = (*self.always, *self.allowed, *self.denied)
        return tuple(dict.fromkeys(space.key for space in spaces if space.holds(packet)))

    def request_keys(self, packet: Flow) -> frozenset[str]:
        """The keys of those that name it otherwise than as an answer."""
        spaces = (*self.always, *self.allowed, *self.denied)
        return frozenset(space.key for space in spaces if not space.answer and space.holds(packet))


def _by_key(spaces: Iterable[HeaderSpace]) -> dict[str, list[HeaderSpace]]:
    found: dict[str, list[HeaderSpace]] = {}
    for space in spaces:
        found.setdefault(space.key, []).append(space)
    return found
