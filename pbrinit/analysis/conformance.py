"""One packet, put to a plan by the model and to the policy by its meaning.

In: a `Policy`, its `Plan`, a `Packet` and its direction.  Out: a `Judgement`: what the plan does,
what the policy means, and whether that is wrong.  No z3: the prover's counter-examples are
brought here, and the tests' mutants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from pbrinit.model.fib import Lookup
from pbrinit.model.kernel import Model
from pbrinit.model.tables import Kind
from pbrinit.model.verdict import Verdict
from pbrinit.net.addresses import Family
from pbrinit.net.martians import UNSPECIFIED, is_broadcast
from pbrinit.net.packet import Direction, In, Out, Packet
from pbrinit.net.special_addresses import ARP
from pbrinit.plan.plan import LOOPBACK, Action, Plan
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import ROOT
from pbrinit.semantics.decision import HERE, NOWHERE, Ruling, Rulings, seen
from pbrinit.semantics.header_space import Seen


@dataclass(frozen=True)
class Judgement:
    """Where a packet gets to, as `Ruling.where` has it, and what the policy says of that: `astray`
    where it goes by the right way to the wrong router, which is wrong as well; and whether its
    sender is told that it is denied, or not, against what the policy says.
    """

    packet: Packet
    direction: Direction
    verdict: Verdict
    does: str
    means: Ruling
    wrong: bool
    mistold: bool = False
    astray: bool = False


class Judge:
    """A policy and its plan, ready to be asked about many packets."""

    def __init__(self, policy: Policy, plan: Plan, link_local: Mapping[str, IPv6Address]) -> None:
        self._interfaces = policy.interfaces
        self._logs, self._logs_all = policy.logs, policy.log
        self._rulings = Rulings(policy)
        self._model = Model(plan, link_local)
        self._link_local = link_local
        self._plan = plan
        self._names = {way.device: way.label for way in policy.ways}
        self._rooms = {room.device for room in policy.rooms}
        self._own = {a.ip for interface in policy.interfaces for a in interface.addresses}

    def judge(self, packet: Packet, direction: Direction) -> Judgement:
        """What becomes of one packet, or of one look-up for it on the way out."""
        means = self._rulings.of(packet, direction)
        mistold = False
        if isinstance(direction, In):
            verdict = self._model.decide(packet, direction)
            wrong = self._wrongly_arrives(packet, direction, verdict, means)
            mistold = self._mistold(packet, direction, verdict, means)
        else:
            verdict = self._model.output(self._model.flow(packet, direction))
            wrong = self._wrongly_leaves(packet, direction, verdict, means)
        astray = self._astray(packet, verdict)
        return Judgement(
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
        self, packet: Packet, direction: In, verdict: Verdict, means: Ruling
    ) -> bool:
        does = self._where(verdict)
        if self._goes_to_all(packet, verdict):
            # Nothing decides but the return path, and from nobody not even that.
            let_in = does != NOWHERE and packet.source != UNSPECIFIED
            if direction.device in self._rooms:
                return let_in
            return let_in and not (
                self._may_reach_us(packet, direction) or self._may_be_answered(packet, direction)
            )
        if packet.family is Family.V6 and packet.destination.is_link_local:
            # Which is the own one the policy does not know; no other is for us.
            own = self._link_local.get(direction.device) == packet.destination
            return does != means.where and (own or does != NOWHERE)
        return does != means.where

    def _wrongly_leaves(
        self, packet: Packet, direction: Out, verdict: Verdict, means: Ruling
    ) -> bool:
        does = self._where(verdict)
        if not verdict.traces:
            # Refused for its source alone, or sent without a look-up, which no rule decides.
            ours = packet.source is None or packet.source in self._own
            return does == NOWHERE != means.where and ours
        return does != means.where and (direction.device is None or does != NOWHERE)

    def _astray(self, packet: Packet, verdict: Verdict) -> bool:
        """Whether it is handed to another than leads to its destination."""
        asked = (t.hit for t in verdict.traces if t.lookup is not Lookup.RETURN_PATH)
        hit = next((hit for hit in asked if hit is not None), None)
        way = next((i for i in self._interfaces if i.device == verdict.device), None)
        if way is None or not verdict.traces or not verdict.allowed:
            return False
        router = hit.gateway if hit is not None else None
        routers = self._rulings.homes.routers(way, packet.family)
        return any(packet.destination in there for by, there in routers if by != router)

    def _mistold(self, packet: Packet, direction: In, verdict: Verdict, means: Ruling) -> bool:
        """IPv4 tells nobody where nothing is passed on (ip_error, net/ipv4/route.c)."""
        four = packet.family is Family.V4
        silent = four and not self._plan.passes_on(Family.V4, direction.device)
        asked = verdict.traces[:1]
        if not asked or asked[0].lookup is not Lookup.INPUT:
            return False
        told = not silent and asked[0].refused is Action.PROHIBIT
        ours = packet.source in self._own
        if told and self._logs_all:
            return ours and not four
        if told and self._logs and ours:
            return True
        return means.tells is not None and told != means.tells

    def _may_reach_us(self, packet: Packet, direction: In) -> bool:
        """Whether the source may send the same to an own address."""
        family, arrives = packet.family, seen(packet, direction)
        return any(
            self._rulings.part(family, way, None).passes(replace(arrives, destination=address.ip))
            for way in self._interfaces
            for address in way.own(family)
        )

    def _may_be_answered(self, packet: Packet, direction: In) -> bool:
        """Whether root may send what would answer a packet that arrives."""
        one = seen(packet, direction)
        if one.source is None:
            return False
        ports = (one.destination_port, one.source_port)
        answer = Seen(None, one.source, one.protocol, *ports, uid=ROOT)
        parts = (self._rulings.part(packet.family, None, way) for way in self._interfaces)
        return any(part.passes(answer) for part in parts)

    def _where(self, verdict: Verdict) -> str:
        if not verdict.allowed:
            return HERE if _stays(verdict) else NOWHERE
        device = verdict.device
        return HERE if device is None else self._names.get(device, device)

    def _goes_to_all(self, packet: Packet, verdict: Verdict) -> bool:
        """Whether no look-up, or only the return path's, decides (model.Model._everybody_4)."""
        if packet.family is Family.V6:
            return False
        hit = verdict.traces[0].hit if verdict.traces else None
        broadcast = hit is not None and hit.kind is Kind.BROADCAST and packet.protocol != ARP
        return packet.destination.is_multicast or is_broadcast(packet) or broadcast


def _stays(verdict: Verdict) -> bool:
    """Whether it was sent to 127.255.255.255, which is broadcast by loopback and stays here."""
    last = verdict.traces[-1] if verdict.traces else None
    if last is None or last.hit is None or last.lookup is Lookup.RETURN_PATH:
        return False
    by_loopback = last.hit.kind is Kind.BROADCAST and last.hit.device == LOOPBACK
    return by_loopback and last.flow.destination.is_loopback
