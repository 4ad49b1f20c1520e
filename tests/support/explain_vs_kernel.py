"""`explain` and the kernel, asked the same: each question is a real packet as well.

In: a policy in force in a namespace, questions.  Out: those on which the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random

from pbrinit.analysis import explain
from pbrinit.model.kernel import KernelModel
from pbrinit.model.verdict import Outcome, Verdict
from pbrinit.net.addresses import Family
from pbrinit.net.packet import WITH_PORTS, Egress, Ingress
from pbrinit.net.services import Protocol
from pbrinit.plan.plan import LOOPBACK, Plan
from pbrinit.policy.policy import Policy
from tests.support.generate.questions import PROTOCOLS, Asked
from tests.support.model_vs_kernel import Host
from tests.support.namespaces import asked_sockets, in_namespace
from tests.support.namespaces.asked_sockets import Arriving, Sending
from tests.support.namespaces.marked_frames import frame

AT_ONCE = 50
"""Frames on the wire before what became of them is looked at."""

NOWHERE, HERE, BACK = "nowhere", "here", "back to this machine"


@dataclass(frozen=True)
class Contradiction:
    """One question, what `explain` answers, and what the kernel did."""

    text: str
    explained: str
    verdict: Verdict
    kernel: str


class AskedMachine:
    """A machine with the plan of a policy in force, of which questions are asked."""

    def __init__(self, policy: Policy, plan: Plan) -> None:
        self._policy, self._plan = policy, plan
        self._host = Host(plan)
        self._model = KernelModel(plan, {})
        self._do = self._host.namespace.do
        self._own = {str(a.ip) for i in policy.interfaces for a in i.addresses}
        outside = [interface.device for interface in policy.interfaces]
        rooms = [room.device for room in policy.rooms]
        self._devices = (*outside, *rooms)
        first = [link.device for link in plan.links[1:] if link.device not in rooms]
        self._far = {device: f"far{number}" for number, device in enumerate(first)}
        self._far |= {room: f"far-{room}"[:15] for room in rooms}
        protocols = tuple(int(protocol) for protocol in PROTOCOLS)
        self._do(asked_sockets.start, protocols, self._devices)
        self._macs = {d: self._do(in_namespace.mac, d) for d in self._devices}

    def close(self) -> None:
        """Give the namespace back."""
        self._host.close()

    def contradictions(self, questions: Sequence[Asked], random: Random) -> list[Contradiction]:
        """Ask every question of both."""
        sent = [asked for asked in questions if isinstance(asked.origin, Egress)]
        arrived = [asked for asked in questions if isinstance(asked.origin, Ingress)]
        told = [*zip(sent, self._sent(sent, random), strict=True)]
        told += zip(arrived, self._arrived(arrived), strict=True)
        found = []
        for asked, kernel in told:
            verdict = self._explained(asked)
            explained = self._where(verdict)
            if kernel not in self._same(asked, explained):
                found.append(Contradiction(asked.text, explained, verdict, kernel))
        return found

    def _explained(self, asked: Asked) -> Verdict:
        """The verdict that `explain` prints, by a model that is made once."""
        question = explain.parse(asked.text, self._policy, self._plan.programs)
        return self._model.decide(question.packet, question.direction)

    def _same(self, asked: Asked, explained: str) -> set[str]:
        """What the kernel may do. Where nothing is allowed to leave, it is one whether the look-up
        fails or leads back to this machine: a socket that is connected is looked up twice. What
        comes back to an own address is delivered there, so there it is not one.
        """
        if explained != BACK:
            return {explained}
        return (
            {BACK, NOWHERE, HERE} if str(asked.packet.destination) in self._own else {BACK, NOWHERE}
        )

    def _where(self, verdict: Verdict) -> str:
        if verdict.outcome in (Outcome.SENT, Outcome.FORWARDED):
            return verdict.device or ""
        if verdict.outcome is Outcome.DELIVERED:
            return HERE
        return BACK if verdict.outcome is Outcome.LOOPED_BACK else NOWHERE

    def _sent(self, questions: Sequence[Asked], random: Random) -> list[str]:
        sendings = [_sending(asked, random) for asked in questions]
        results = self._do(asked_sockets.send, sendings, self._devices)
        return [self._went(s, device) for s, (device, _) in zip(sendings, results, strict=True)]

    def _went(self, sending: Sending, device: str) -> str:
        if device != LOOPBACK:
            return device or NOWHERE
        to = sending.destination[0]
        source = sending.source[0] if sending.source is not None else ""
        group = ip_address(to).is_multicast or to == "255.255.255.255"
        everybody = group and source.startswith("127.") and sending.device is None
        near = to.startswith("127.") or to == "::1" or everybody
        return HERE if near or to in self._own else BACK

    def _arrived(self, questions: Sequence[Asked]) -> list[str]:
        told: list[str] = []
        for at in range(0, len(questions), AT_ONCE):
            arrivals = [
                self._arriving(asked, number)
                for number, asked in enumerate(questions[at : at + AT_ONCE], at % 90_000)
            ]
            told += self._do(asked_sockets.receive, arrivals, self._far, self._devices)
        return [where or NOWHERE for where in told]

    def _arriving(self, asked: Asked, number: int) -> Arriving:
        assert isinstance(asked.origin, Ingress)
        device = asked.origin.device
        return Arriving(device, frame(asked.packet, number, self._macs[device]), number)


def _sending(asked: Asked, random: Random) -> Sending:
    """The socket that the question is about. A datagram's may be connected or not; where a raw one
    connects, the type of the ICMP message is not known yet.
    """
    packet, sender = asked.packet, asked.origin
    assert isinstance(sender, Egress)
    any_address = "::" if packet.family is Family.V6 else "0.0.0.0"
    source = None
    if sender.bound:
        source = (str(packet.source), packet.source_port)
    elif sender.port_bound:
        source = (any_address, packet.source_port)
    port = packet.destination_port if packet.protocol in WITH_PORTS else 0
    made = Sending(
        packet.protocol, (str(packet.destination), port), sender.uid, source, sender.device,
        packet.icmp,
    )  # fmt: skip
    return replace(made, connects=packet.protocol == Protocol.UDP and random.random() < 0.5)
