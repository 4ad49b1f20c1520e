"""What a policy says of one packet.

In: a `Policy`, a `Packet` and its direction.  Out: a `Decision`: where it gets to, and which
entries name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pbrinit.net.addresses import AddressSet, Family, family_of
from pbrinit.net.martians import UNSPECIFIED
from pbrinit.net.packet import Egress, Ingress, Origin, Packet
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Zone
from pbrinit.semantics.header_space import Flow, PathPolicy
from pbrinit.semantics.paths import PolicySemantics

LOCAL = "here"
DROPPED = "nowhere"


@dataclass(frozen=True)
class Decision:
    """Where a packet gets to: `here`, `nowhere`, or the label of an interface or a room.

    `names` are the keys of the entries that name it, allow and deny, and of what passes whatever
    they say; those among `answers` name it only as an answer.
    `tells`: whether the kernel speaks of it, to who sends it through and is rejected or to the log;
    None is as it comes.
    """

    where: str
    keys: tuple[str, ...]
    reports: bool | None = False
    answers: frozenset[str] = frozenset()


class PolicyDecider:
    """A policy, ready to be asked about many packets."""

    def __init__(self, policy: Policy) -> None:
        self._semantics = PolicySemantics(policy)
        self.topology = self._semantics.topology
        self._ways = {way.device: way for way in policy.zones}
        self._parts: dict[tuple[Family, str | None, str | None], PathPolicy] = {}

    def decide(self, packet: Packet, direction: Origin) -> Decision:
        """What the policy says of a packet; of one that is sent, to one look-up for it."""
        family = packet.family
        ways = self._ways.values()
        if isinstance(direction, Egress):
            if packet.destination in self._here[family]:
                kept = direction.device is None and any(
                    space.holds(lookup_flow(packet, direction))
                    for space in self._semantics.refusal_log.log_only(family)
                )
                return Decision(DROPPED, ("log",)) if kept else Decision(LOCAL, ("to ourselves",))
            path_policies = [(way.label, self.path_policy(family, None, way)) for way in ways]
        elif (ingress := self._ways.get(direction.device)) is not None:
            path_policies = [(LOCAL, self.path_policy(family, ingress, None))]
            path_policies += [
                (out.label, self.path_policy(family, ingress, out))
                for out in ways
                if out is not ingress
            ]
        else:
            path_policies = []
        flow = lookup_flow(packet, direction)
        where = next(
            (name for name, path_policy in path_policies if path_policy.passes(flow)), DROPPED
        )
        names = dict.fromkeys(
            key for _, path_policy in path_policies for key in path_policy.matching_keys(flow)
        )
        asks = {key for _, path_policy in path_policies for key in path_policy.request_keys(flow)}
        told = {path_policy.rejects(flow) for name, path_policy in path_policies if name != LOCAL}
        if isinstance(direction, Ingress) and ingress is not None:
            told |= self._spoken_of(flow, ingress, path_policies, where)
        tells = True if True in told else None if None in told else False
        return Decision(where, tuple(names), tells, frozenset(names) - asks)

    def _spoken_of(
        self,
        packet: Flow,
        ingress: Zone,
        path_policies: Sequence[tuple[str, PathPolicy]],
        where: str,
    ) -> set[bool | None]:
        """Whether the log hears of it: True, or None where it may."""
        if where == DROPPED and any(path_policy.logs(packet) for _, path_policy in path_policies):
            return {True}
        family = family_of(packet.destination)
        may = any(
            space.holds(packet) for space in self._semantics.refusal_log.loggable(family, ingress)
        )
        return {None} if may else set()

    def path_policy(self, family: Family, ingress: Zone | None, egress: Zone | None) -> PathPolicy:
        """`PolicySemantics.path_policy`, made once."""
        key = (family, ingress.device if ingress else None, egress.device if egress else None)
        if key not in self._parts:
            self._parts[key] = self._semantics.path_policy(family, ingress, egress)
        return self._parts[key]

    @cached_property
    def _here(self) -> dict[Family, AddressSet]:
        return {family: self._semantics.local_addresses(family) for family in Family}


def lookup_flow(packet: Packet, direction: Origin) -> Flow:
    """A packet as the kernel looks it up: without ports where it arrives as a fragment, with
    ICMP's type and code for a port where it is sent (`Packet.ports`, `Packet.flow_ports`).
    """
    ends = (packet.source, packet.destination, packet.protocol)
    if isinstance(direction, Ingress):
        return Flow(*ends, *packet.ports)
    chosen = packet.source if packet.source != UNSPECIFIED else None
    return Flow(chosen, *ends[1:], *packet.flow_ports, direction.uid)
