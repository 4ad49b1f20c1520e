"""Real packets under drawn policies: what gets where is what the model says, and the meaning.

Whoever is root in a room sends there what others send on the wire, and sees what gets into it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from pbrinit.analysis.conformance import ConformanceChecker
from pbrinit.cli.build import loaded
from pbrinit.model.kernel import KernelModel
from pbrinit.model.verdict import Outcome
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Egress, Ingress, Origin, Packet
from pbrinit.net.services import Protocol
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from tests.support.generate import policies
from tests.support.generate.packets import Packets, seeded
from tests.support.namespaces import in_namespace, room_netns, taps
from tests.support.namespaces.lab import Lab
from tests.support.namespaces.marked_frames import frame, mark_of

PACKETS = 300
TAPPED = (Protocol.TCP, Protocol.UDP, Protocol.ICMP, Protocol.ICMPV6, 47)


def worth_it(seed: str) -> tuple[Policy, Plan]:
    """The first drawn policy that has two interfaces and lets something pass through, and logs for
    a deny entry where the seed says so; or else two rooms that are not mute.
    """
    source = seeded(f"wire.{seed}")
    made = (policies.compiled(source)[1:] for _ in itertools.count())
    if seed.startswith("rooms"):
        spoken = ((p, plan) for p, plan in made if any(entry.room for entry in p.allows))
        return next((policy, plan) for policy, plan in spoken if policy.rooms[1:])
    logs = seed.startswith("logged")
    return next((policy, plan) for policy, plan in made
                if plan.forwards and not policy.rooms and (policy.logged or not logs)
                and passes(plan, seed))  # fmt: skip


def passes(plan: Plan, seed: str) -> bool:
    """Whether something that is sent passes through."""
    model = KernelModel(plan, {})
    sent = ((packet, direction) for _, packet, direction in drawn(plan, seed))
    return any(model.decide(*each).outcome is Outcome.FORWARDED for each in sent)


def to_one_host(packet: Packet) -> bool:
    """Whether a look-up decides, and a frame and a tap can show it."""
    destination = packet.destination
    scoped = destination.is_multicast or destination.is_link_local or destination.is_unspecified
    everybody = destination == ip_address("255.255.255.255")
    return packet.protocol in TAPPED and not (scoped or everybody or destination.is_loopback)


def has_ports(packet: Packet) -> bool:
    """Whether a program's socket sends it: none is sent to port 0 (udp_sendmsg, net/ipv4/udp.c)."""
    return bool(packet.source_port and packet.destination_port)


def drawn(plan: Plan, seed: str) -> Iterator[tuple[int, Packet, Origin]]:
    """Packets that arrive, and datagrams that programs send."""
    packets = ((p, d) for p, d in Packets(plan, seeded(f"packets.{seed}")) if to_one_host(p))
    for count, (packet, direction) in enumerate(itertools.islice(packets, 4 * PACKETS)):
        if isinstance(direction, Ingress) and packet.source is not None:
            yield count, packet, direction
        elif (
            isinstance(direction, Egress) and packet.protocol == Protocol.UDP and has_ports(packet)
        ):
            yield count, replace(packet, source=None), replace(direction, device=None, bound=False)


EXAMPLE = Path("examples/rooms.toml")
SEEDS = ["1", "2", "4", "logged.0", "logged.2", "rooms.0", "rooms.1", "rooms.2"]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_passes_is_what_the_model_says(seed: str) -> None:
    compare(*worth_it(seed), seed)


def test_what_passes_is_what_the_model_says_of_the_example_with_rooms() -> None:
    compare(*loaded(EXAMPLE), EXAMPLE.stem)


def compare(policy: Policy, plan: Plan, seed: str) -> None:
    """Send packets that lie near what the plan speaks of, and see where each comes out."""
    devices = [link.device for link in plan.links[1:]]
    others = [interface.device for interface in policy.interfaces[1:]]
    with Lab([], []) as lab, ExitStack() as stack:
        sides = {"eth0": lab.peer, **{d: lab.connect(d, [], []) for d in others}}
        inside = room_netns.enforce(lab.machine, plan)
        for device in sides:
            # Then nobody has to say where he is: every neighbour has the device's own address.
            lab.machine.run("ip", "link", "set", device, "arp", "off")
        for name, room in inside.items():
            stack.callback(room.close)
            sides[f"r-{name}"] = room
        for side in sides.values():
            side.do(in_namespace.capture)
        lab.machine.do(taps.tap_all, TAPPED)
        macs = {device: lab.machine.do(in_namespace.mac, device) for device in devices}
        asked = {n: (packet, direction) for n, packet, direction in drawn(plan, seed)}
        for n, (packet, direction) in asked.items():
            if isinstance(direction, Ingress):
                data = frame(packet, n, macs[direction.device])
                sides[direction.device].do(in_namespace.transmit, [data])
            else:
                ports = (packet.source_port, packet.destination_port)
                lab.machine.do(taps.send_marked, direction.uid, str(packet.destination), ports, n)
        delivered = {mark_of(data) for data in lab.machine.do(taps.delivered_packets)}
        passed = {
            mark: device
            for device, side in sides.items()
            for mark, data in (
                (mark_of(data), data) for data in side.do(in_namespace.captured_frames)
            )
            if mark is not None and came_out(data, asked[mark][0], macs[device])
        }
    model, judge = KernelModel(plan, {}), ConformanceChecker(policy, plan, {})
    outcomes = set()
    for n, (packet, direction) in asked.items():
        verdict = model.decide(packet, direction)
        outcomes.add(verdict.outcome)
        through = verdict.outcome in (Outcome.FORWARDED, Outcome.SENT)
        assert passed.get(n) == (verdict.device if through else None), (packet, direction, verdict)
        if isinstance(direction, Ingress):
            assert (n in delivered) == (verdict.outcome is Outcome.DELIVERED), (packet, verdict)
            judgement = judge.check(packet, direction)
            assert not judgement.wrong
            assert not judgement.wrong_notice
    assert {Outcome.FORWARDED, Outcome.DROPPED} <= outcomes
    ways = {(asked[n][1].device, device) for n, device in passed.items()}
    doors = {f"r-{name}" for name in inside}
    assert not doors or doors & {ingress for ingress, _ in ways}
    assert not doors or doors & {egress for _, egress in ways}


def came_out(data: bytes, packet: Packet, mac: str) -> bool:
    """Whether this frame is the packet itself, sent by the machine."""
    ethernet = Ether(data)
    layer = IP if packet.family is Family.V4 else IPv6
    if ethernet.src != mac or layer not in ethernet:
        return False
    source = str(packet.source) if packet.source else ethernet[layer].src
    ends: tuple[str, str] = (ethernet[layer].src, ethernet[layer].dst)
    return ends == (source, str(packet.destination))
