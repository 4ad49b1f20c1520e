"""What a policy says of one packet.

In: a `Policy`, a `Packet` and its direction.  Out: a `Ruling`: where it gets to, and which entries
name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.martians import UNSPECIFIED
from pbrinit.net.packet import Direction, In, Out, Packet
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Way
from pbrinit.semantics.header_space import Part, Seen
from pbrinit.semantics.paths import Meaning

HERE = "here"
NOWHERE = "nowhere"


@dataclass(frozen=True)
class Ruling:
    """Where a packet gets to: `here`, `nowhere`, or the label of an interface or a room.

    `names` are the keys of the entries that name it, allow and deny, and of what passes whatever
    they say; those among `answers` name it only as an answer.
    `tells`: whether the kernel speaks of it, to who sends it through and is rejected or to the log;
    None is as it comes.
    """

    where: str
    names: tuple[str, ...]
    tells: bool | None = False
    answers: frozenset[str] = frozenset()


class Rulings:
    """A policy, ready to be asked about many packets."""

    def __init__(self, policy: Policy) -> None:
        self._meaning = Meaning(policy)
        self.homes = self._meaning.homes
        self._ways = {way.device: way for way in policy.ways}
        self._parts: dict[tuple[Family, str | None, str | None], Part] = {}

    def of(self, packet: Packet, direction: Direction) -> Ruling:
        """What the policy says of a packet; of one that is sent, to one look-up for it."""
        family = packet.family
        ways = self._ways.values()
        if isinstance(direction, Out):
            if packet.destination in self._here[family]:
                kept = direction.device is None and any(
                    box.holds(seen(packet, direction))
                    for box in self._meaning.hearing.not_here(family)
                )
                return Ruling(NOWHERE, ("log",)) if kept else Ruling(HERE, ("to ourselves",))
            parts = [(way.label, self.part(family, None, way)) for way in ways]
        elif (way_in := self._ways.get(direction.device)) is not None:
            parts = [(HERE, self.part(family, way_in, None))]
            parts += [
                (out.label, self.part(family, way_in, out)) for out in ways if out is not way_in
            ]
        else:
            parts = []
        packet_seen = seen(packet, direction)
        where = next((name for name, part in parts if part.passes(packet_seen)), NOWHERE)
        names = dict.fromkeys(key for _, part in parts for key in part.names(packet_seen))
        asks = {key for _, part in parts for key in part.asks(packet_seen)}
        told = {part.tells(packet_seen) for name, part in parts if name != HERE}
        if isinstance(direction, In) and way_in is not None:
            told |= self._spoken_of(packet_seen, way_in, parts, where)
        tells = True if True in told else None if None in told else False
        return Ruling(where, tuple(names), tells, frozenset(names) - asks)

    def _spoken_of(
        self, packet: Seen, way_in: Way, parts: Sequence[tuple[str, Part]], where: str
    ) -> set[bool | None]:
        """Whether the log hears of it: True, or None where it may."""
        named = (box for _, part in parts for box in part.logged)
        if where == NOWHERE and any(box.holds(packet) for box in named):
            return {True}
        family = Family.of(packet.destination)
        may = any(box.holds(packet) for box in self._meaning.hearing.spoken_of(family, way_in))
        return {None} if may else set()

    def part(self, family: Family, way_in: Way | None, way_out: Way | None) -> Part:
        """`Meaning.part`, made once."""
        key = (family, way_in.device if way_in else None, way_out.device if way_out else None)
        if key not in self._parts:
            self._parts[key] = self._meaning.part(family, way_in, way_out)
        return self._parts[key]

    @cached_property
    def _here(self) -> dict[Family, AddressSet]:
        return {family: self._meaning.here(family) for family in Family}


def seen(packet: Packet, direction: Direction) -> Seen:
    """A packet as the kernel looks it up: without ports where it arrives as a fragment, with
    ICMP's type and code for a port where it is sent (`Packet.ports`, `Packet.flow_ports`).
    """
    ends = (packet.source, packet.destination, packet.protocol)
    if isinstance(direction, In):
        return Seen(*ends, *packet.ports)
    chosen = packet.source if packet.source != UNSPECIFIED else None
    return Seen(chosen, *ends[1:], *packet.flow_ports, direction.uid)
