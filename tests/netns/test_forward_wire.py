"""Frames through a router: what is seen at either side is what the model says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from pbrinit.model.kernel import decide
from pbrinit.model.verdict import Outcome, Verdict
from pbrinit.net.addresses import Address, Family
from pbrinit.net.packet import Fragment, Ingress, Packet
from pbrinit.net.services import Protocol
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import TABLE_LOCAL, TABLE_MAIN, Action, Plan, Rule
from tests.support import router_plan
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Lab, Namespace
from tests.support.namespaces.marked_frames import PEER, frame, mark_of
from tests.support.router_plan import PLACES, PLAN

TCP_, UDP_ = Protocol.TCP, Protocol.UDP
MTU = 1400
"""What the way to the wan takes: less than a packet that is too big."""

FIRST_CLIENT, CLIENTS = 10, 90
"""A client of its own for each case, since the kernel tells one sender only so often (ip_error)."""

TELLING = replace(
    PLAN,
    rules=(*(Rule(family, 5, Action.LOOKUP, TABLE_MAIN, iif="lo") for family in Family),
           *PLAN.rules),
)  # fmt: skip
"""The router, which may send to everybody what the kernel has to say."""

OPEN = replace(
    PLAN,
    rules=tuple(Rule(family, table, Action.LOOKUP, table) for family in Family
                for table in (TABLE_LOCAL, TABLE_MAIN)),
)  # fmt: skip
"""A router that refuses nothing."""

PLANS = {"filtering": PLAN, "telling": TELLING, "open": OPEN}


@dataclass(frozen=True)
class Wire:
    """The router, its plan, and what stands at its two sides."""

    name: str
    plan: Plan
    sides: dict[str, Namespace]
    macs: dict[str, str]


@pytest.fixture(scope="module", params=PLANS)
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """The router in force. It knows all its neighbours, so that none has to answer."""
    plan = PLANS[request.param]
    with Lab([], []) as lab:
        inside = lab.connect("eth1", [], [])
        assert lab.machine.do(in_namespace.enforce, encode(plan, "router")) == []
        for key in ("net/ipv4/icmp_ratelimit=0", "net/ipv6/icmp/ratelimit=0"):
            lab.machine.run("sysctl", "-qw", key)
        for place in PLACES.values():
            neighbours = {str(place.client(number)): "eth1" for number in range(CLIENTS)}
            neighbours |= {str(place.gateway): "eth0", "fe80::9": "eth1"}
            for address, device in neighbours.items():
                lab.machine.run("ip", "neigh", "replace", address, "lladdr", PEER, "dev", device,
                                "nud", "permanent")  # fmt: skip
        lab.machine.run("ip", "link", "set", "eth0", "mtu", str(MTU))
        sides = {"eth0": lab.peer, "eth1": inside}
        for side in sides.values():
            side.do(in_namespace.capture)
        yield Wire(
            request.param,
            plan,
            sides,
            {device: lab.machine.do(in_namespace.mac, device) for device in sides},
        )


@dataclass(frozen=True)
class Case:
    """A packet as the model has it, and the device by which it arrives."""

    packet: Packet
    device: str


def cases(family: Family) -> Iterator[Case]:
    """What comes from the lan, from a client of its own each, then what comes from the wan."""
    place = PLACES[family]
    for number, packet in enumerate(_from_lan(family), FIRST_CLIENT):
        client = place.client(number)
        yield Case(replace(packet, source=packet.source or client), "eth1")
    for number, packet in enumerate(_from_wan(family), FIRST_CLIENT):
        client = place.client(number)
        known = packet.destination != place.gateway
        yield Case(packet if known else replace(packet, destination=client), "eth0")


def _from_lan(family: Family) -> Iterator[Packet]:
    """Packets whose source is None where it is the case's own client."""
    place = PLACES[family]
    server = place.server(7)
    web = Packet(TCP_, None, server, 40000, 443)
    yield web
    yield from (replace(web, destination_port=port) for port in (25, 80, 442, 444))
    yield from (replace(web, source_port=port) for port in (32767, 32768, 60999, 61000))
    yield replace(web, protocol=UDP_)
    yield replace(web, destination=place.server(router_plan.LAST))
    for host in (router_plan.BLACKHOLED, router_plan.PROHIBITED, router_plan.THROWN, 11):
        yield Packet(UDP_, None, place.server(host), 40000, 7000)
    for client in (
        router_plan.GOES,
        router_plan.GOES_NOWHERE,
        router_plan.IS_REFUSED,
        router_plan.IS_THROWN,
        9,
    ):
        yield Packet(UDP_, place.client(client), server, 40000, 7001)
    yield Packet(UDP_, None, server, 40000, 7777)
    yield Packet(UDP_, None, server, 40000, 9999)
    gre = Packet(router_plan.GRE, None, server)
    yield gre
    yield replace(gre, protocol=132)
    for piece in (Fragment.FIRST, Fragment.LATER):
        for whole in (web, gre, replace(web, destination=place.server(router_plan.LAST))):
            yield replace(whole, fragment=piece)
    echo = (8, 0) if family is Family.V4 else (128, 0)
    for kind in (echo, place.errors[0]):
        for host in (7, router_plan.LAST):
            yield Packet(place.icmp, None, place.server(host), icmp=kind)
    yield replace(web, ttl=1)
    yield replace(web, ttl=2)
    yield replace(web, too_big=True)
    for source in FORGED[family]:
        yield replace(web, source=ip_address(source))
    yield replace(web, destination=ip_address(GROUP[family]), protocol=UDP_)


FORGED = {
    Family.V4: ("203.0.113.9", "192.0.2.1", "0.0.0.0", "127.0.0.1", "224.0.0.1",
                "255.255.255.255", "240.0.0.1"),
    Family.V6: ("2001:db8:7::9", "2001:db8::1", "::", "::1", "ff02::1", "fe80::9",
                "::ffff:127.0.0.1"),
}  # fmt: skip
GROUP = {Family.V4: "239.1.1.1", Family.V6: "ff05::3"}


def _from_wan(family: Family) -> Iterator[Packet]:
    """Packets to the gateway where their destination is the case's own client."""
    place = PLACES[family]
    there, here = place.server(7), place.gateway
    answer = Packet(TCP_, there, here, 443, 40000)
    yield answer
    yield from (replace(answer, source_port=port) for port in (80, 442, 444))
    yield from (replace(answer, destination_port=port) for port in (22, 32767, 60999, 61000))
    yield replace(answer, source=place.inside[0x600])
    yield Packet(TCP_, there, here, 40000, 8080)
    yield Packet(UDP_, there, here, 7000, 40000)
    yield Packet(router_plan.GRE, there, here)
    for piece in (Fragment.FIRST, Fragment.LATER):
        yield Packet(router_plan.GRE, there, here, fragment=piece)
        yield replace(answer, fragment=piece)
    echo = (0, 0) if family is Family.V4 else (129, 0)
    for source in (there, place.gateway):
        yield Packet(place.icmp, source, here, icmp=echo)
    yield replace(answer, ttl=1)
    yield replace(answer, destination=place.server(9))


@dataclass(frozen=True)
class Seen:
    """A frame that the router sent: by which device, and what it is."""

    device: str
    source: Address
    destination: Address
    hops: int
    icmp: tuple[int, int] | None


def seen(wire: Wire, family: Family) -> dict[int, list[Seen]]:
    """What the router sent, by the number of the packet that is in it."""
    found: dict[int, list[Seen]] = {}
    for device, side in wire.sides.items():
        for data in side.do(in_namespace.captured_frames):
            ethernet = Ether(data)
            marked = mark_of(data)
            if ethernet.src != wire.macs[device] or marked is None:
                continue
            if family is Family.V4 and IP in ethernet:
                network = ethernet[IP]
                header, hops, protocol = network.proto, network.ttl, Protocol.ICMP
            elif family is Family.V6 and IPv6 in ethernet:
                network = ethernet[IPv6]
                header, hops, protocol = network.nh, network.hlim, Protocol.ICMPV6
            else:
                continue
            first = bytes(network.payload)[:2]
            icmp = (first[0], first[1]) if header == protocol else None
            ends = ip_address(network.src), ip_address(network.dst)
            found.setdefault(marked, []).append(Seen(device, *ends, hops, icmp))
    return found


def expected(case: Case, verdict: Verdict) -> list[tuple[object, ...]]:
    """What is to be seen of a packet, as the model has it."""
    packet, notice = case.packet, verdict.icmp_error
    if verdict.outcome is Outcome.FORWARDED:
        return [(verdict.device, packet.source, packet.destination, packet.ttl - 1, packet.icmp)]
    if notice is not None and notice.verdict.outcome is Outcome.SENT:
        return [(notice.verdict.device, packet.source, notice.packet.icmp)]
    return []


def observed(case: Case, frames: list[Seen]) -> list[tuple[object, ...]]:
    """The same of what was seen: an error is what comes from the router itself."""
    return [
        (s.device, s.source, s.destination, s.hops, s.icmp)
        if s.source == case.packet.source and s.destination == case.packet.destination
        else (s.device, s.destination, s.icmp)
        for s in frames
    ]


@pytest.mark.parametrize("family", list(Family), ids=["IPv4", "IPv6"])
def test_what_leaves_the_router_is_what_the_model_says(wire: Wire, family: Family) -> None:
    first = 1000 * family.version
    asked = dict(enumerate(cases(family), first))
    for number, case in asked.items():
        data = frame(case.packet, number, wire.macs[case.device])
        wire.sides[case.device].do(in_namespace.transmit, [data])
        time.sleep(0.005)
    found = seen(wire, family)
    verdicts = {
        n: decide(wire.plan, case.packet, Ingress(case.device)) for n, case in asked.items()
    }
    for number, case in asked.items():
        told = observed(case, found.get(number, []))
        assert told == expected(case, verdicts[number]), (case, verdicts[number])
    outcomes = {verdict.outcome for verdict in verdicts.values()}
    assert {Outcome.FORWARDED, Outcome.REJECTED, Outcome.DROPPED} <= outcomes


TOLD_OUTSIDE = {
    "filtering": [],
    "telling": ["prohibited", "out of hops"],
    "open": ["out of hops"],
}
"""Why the wan is told of a packet that is not passed on."""


@pytest.mark.parametrize("family", list(Family), ids=["IPv4", "IPv6"])
def test_the_outside_is_told_nothing_but_what_a_prohibit_says(wire: Wire, family: Family) -> None:
    place, first = PLACES[family], 50000 + family.version
    client, server, stranger = place.client(50), place.server(7), place.server(9)
    answer = Packet(TCP_, server, client, 443, 40000)
    refused = {
        "blackholed": replace(answer, source_port=444),
        "prohibited": Packet(TCP_, server, client, 40000, 8080),
        "forged": replace(answer, source=place.client(51)),
        "back out": replace(answer, destination=stranger, source_port=444),
        "in pieces": replace(answer, fragment=Fragment.FIRST),
        "of another protocol": Packet(132, server, client),
        "out of hops": replace(answer, ttl=1),
    }
    numbers = dict(enumerate(refused, first))
    for number, name in numbers.items():
        data = frame(refused[name], number, wire.macs["eth0"])
        wire.sides["eth0"].do(in_namespace.transmit, [data])
    found = seen(wire, family)
    told = [name for number, name in numbers.items()
            if any(s.destination == server and s.icmp for s in found.get(number, []))]  # fmt: skip
    assert told == TOLD_OUTSIDE[wire.name]
