"""One packet, put to a plan by the model and to the policy by its meaning.

In: a `Policy`, its `Plan`, a `Packet` and its direction.  Out: a `Conformance`: what the plan does,
what the policy means, and whether that is wrong.  No z3: the prover's counter-examples are brought
here, and the tests' mutants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from pbrinit.model.fib import Lookup
from pbrinit.model.kernel import KernelModel
from pbrinit.model.verdict import Verdict
from pbrinit.net.addresses import Family
from pbrinit.net.martians import UNSPECIFIED, is_broadcast
from pbrinit.net.packet import Egress, Ingress, Origin, Packet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import Action, Plan, RouteType
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import ROOT
from pbrinit.semantics.decision import DROPPED, LOCAL, Decision, PolicyDecider, lookup_flow
from pbrinit.semantics.header_space import Flow


@dataclass(frozen=True)
class Conformance:
    """Where a packet gets to, as `Decision.where` has it, and what the policy says of that:
    `wrong_next_hop` where it goes by the right way to the wrong router, which is wrong as well; and
    whether its sender is told that it is denied, or not, against what the policy says.
    """

    packet: Packet
    direction: Origin
    verdict: Verdict
    actual: str
    intended: Decision
    wrong: bool
    wrong_notice: bool = False
    wrong_next_hop: bool = False


class ConformanceChecker:
    """A policy and its plan, ready to be asked about many packets."""

    def __init__(self, policy: Policy, plan: Plan, link_local: Mapping[str, IPv6Address]) -> None:
        self._interfaces = policy.interfaces
        self._logs, self._logs_all = policy.logs, policy.log
        self._decider = PolicyDecider(policy)
        self._model = KernelModel(plan, link_local)
        self._link_local = link_local
        self._plan = plan
        self._names = {way.device: way.label for way in policy.zones}
        self._rooms = {room.device for room in policy.rooms}
        self._own = {a.ip for interface in policy.interfaces for a in interface.addresses}

    def check(self, packet: Packet, direction: Origin) -> Conformance:
        """What becomes of one packet, or of one look-up for it on the way out."""
        means = self._decider.decide(packet, direction)
        mistold = False
        if isinstance(direction, Ingress):
            verdict = self._model.decide(packet, direction)
            wrong = self._wrongly_arrives(packet, direction, verdict, means)
            mistold = self._wrong_notice(packet, direction, verdict, means)
        else:
            verdict = self._model.output(self._model.flow(packet, direction))
            wrong = self._wrongly_leaves(packet, direction, verdict, means)
        astray = self._wrong_next_hop(packet, verdict)
        return Conformance(
            packet,
            direction,
            verdict,
            self._where(verdict),
            means,
            wrong or astray,
            mistold,
            astray,
        )

    def _wrongly_arrives(
        self, packet: Packet, direction: Ingress, verdict: Verdict, means: Decision
    ) -> bool:
        does = self._where(verdict)
        if self._goes_to_all(packet, verdict):
            # Nothing decides but the return path, and from nobody not even that.
            let_in = does != DROPPED and packet.source != UNSPECIFIED
            if direction.device in self._rooms:
                return let_in
            return let_in and not (
                self._may_reach_us(packet, direction) or self._may_be_answered(packet, direction)
            )
        if packet.family is Family.V6 and packet.destination.is_link_local:
            # Which is the own one the policy does not know; no other is for us.
            own = self._link_local.get(direction.device) == packet.destination
            return does != means.where and (own or does != DROPPED)
        return does != means.where

    def _wrongly_leaves(
        self, packet: Packet, direction: Egress, verdict: Verdict, means: Decision
    ) -> bool:
        does = self._where(verdict)
        if not verdict.traces:
            # Refused for its source alone, or sent without a look-up, which no rule decides.
            ours = packet.source is None or packet.source in self._own
            return does == DROPPED != means.where and ours
        return does != means.where and (direction.device is None or does != DROPPED)

    def _wrong_next_hop(self, packet: Packet, verdict: Verdict) -> bool:
        """Whether it is handed to another than leads to its destination."""
        asked = (t.hit for t in verdict.traces if t.lookup is not Lookup.RETURN_PATH)
        hit = next((hit for hit in asked if hit is not None), None)
        way = next((i for i in self._interfaces if i.device == verdict.device), None)
        if way is None or not verdict.traces or not verdict.allowed:
            return False
        router = hit.gateway if hit is not None else None
        routers = self._decider.topology.routers(way, packet.family)
        return any(packet.destination in there for by, there in routers if by != router)

    def _wrong_notice(
        self, packet: Packet, direction: Ingress, verdict: Verdict, means: Decision
    ) -> bool:
        """IPv4 tells nobody where nothing is passed on (ip_error, net/ipv4/route.c)."""
        four = packet.family is Family.V4
        silent = four and not self._plan.forwards_from(Family.V4, direction.device)
        asked = verdict.traces[:1]
        if not asked or asked[0].lookup is not Lookup.INPUT:
            return False
        told = not silent and asked[0].refused is Action.PROHIBIT
        ours = packet.source in self._own
        if told and self._logs_all:
            return ours and not four
        if told and self._logs and ours:
            return True
        return means.reports is not None and told != means.reports

    def _may_reach_us(self, packet: Packet, direction: Ingress) -> bool:
        """Whether the source may send the same to an own address."""
        family, arrives = packet.family, lookup_flow(packet, direction)
        return any(
            self._decider.path_policy(family, way, None).passes(
                replace(arrives, destination=address.ip)
            )
            for way in self._interfaces
            for address in way.addresses_of(family)
        )

    def _may_be_answered(self, packet: Packet, direction: Ingress) -> bool:
        """Whether root may send what would answer a packet that arrives."""
        one = lookup_flow(packet, direction)
        if one.source is None:
            return False
        ports = (one.destination_port, one.source_port)
        answer = Flow(None, one.source, one.protocol, *ports, uid=ROOT)
        path_policies = (
            self._decider.path_policy(packet.family, None, way) for way in self._interfaces
        )
        return any(path_policy.passes(answer) for path_policy in path_policies)

    def _where(self, verdict: Verdict) -> str:
        if not verdict.allowed:
            return DROPPED
        device = verdict.device
        return LOCAL if device is None else self._names.get(device, device)

    def _goes_to_all(self, packet: Packet, verdict: Verdict) -> bool:
        """Whether no look-up, or only the return path's, decides (`KernelModel._everybody_4`)."""
        if packet.family is Family.V6:
            return False
        hit = verdict.traces[0].hit if verdict.traces else None
        broadcast = hit is not None and hit.type is RouteType.BROADCAST and packet.protocol != ARP
        return packet.destination.is_multicast or is_broadcast(packet) or broadcast
