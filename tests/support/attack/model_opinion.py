"""What the model and explain say of a shot: a second opinion on what the shot expects.

In: a frame.  Out: the packet as the look-ups see it, the model's verdict, explain's words.
"""

from __future__ import annotations

from ipaddress import ip_address

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer

from pbrinit.analysis.explain import explain, text
from pbrinit.analysis.question import Question
from pbrinit.model.kernel import decide
from pbrinit.model.verdict import Outcome
from pbrinit.net.packet import Ingress, Packet
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from tests.support.attack.shot import Shot

KINDS_WITHOUT_OPINION = (
    "damaged", "fragment", "IP option", "extension header", "hardware address", "VLAN", "tunnel",
    "protocol",
)  # fmt: skip
"""Kinds of shots that are not one whole packet in a frame to the guest, or whose ports differ
(docs/model.md, "What is left out")."""

JOINED_GROUPS = ("224.0.0.1", "ff01::1", "ff02::1")
"""The groups that every machine joins; the model treats every group as joined."""


def packet_of(shot: Shot) -> Packet | None:
    """The packet of a shot; None if the model cannot decide about it."""
    if shot.kind in KINDS_WITHOUT_OPINION:
        return None
    body = Ether(shot.frames[0]).payload
    if not isinstance(body, IP | IPv6):
        return None
    source, destination = ip_address(body.src), ip_address(body.dst)
    if destination.is_multicast and str(destination) not in JOINED_GROUPS:
        return None
    inner: Layer = body.payload
    protocol = body.proto if isinstance(body, IP) else body.nh
    ports = (inner.sport, inner.dport) if isinstance(inner, TCP | UDP) else (0, 0)
    icmp = None
    if protocol == (1 if isinstance(body, IP) else 58):
        # By hand: scapy's classes for some types have no code.
        kind, code = bytes(inner)[:2]
        icmp = kind, code
    hops = body.ttl if isinstance(body, IP) else body.hlim
    return Packet(protocol, source, destination, ports[0], ports[1], icmp, ttl=hops)


def verdict(plan: Plan, shot: Shot, device: str) -> tuple[bool, bool] | None:
    """Whether the model delivers and whether it forwards it; None if it cannot decide."""
    packet = packet_of(shot)
    if packet is None:
        return None
    outcome = decide(plan, packet, Ingress(device)).outcome
    return outcome is Outcome.DELIVERED, outcome is Outcome.FORWARDED


def explanation(plan: Plan, policy: Policy, shot: Shot, device: str) -> str:
    """The lines that explain writes about it."""
    packet = packet_of(shot)
    if packet is None:
        return "explain cannot be asked about it"
    return "\n".join(text(explain(plan, policy, Question(packet, Ingress(device), None))))
