"""What both filters are given: packets from the wire, and acts of programs inside.

In: nothing.  Out: `STREAMS`, by policy. For the host and the router these are the adversary's own
tables; the other two get every pairing of peers and ports that matters to their policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

from scapy.packet import Raw

from tests.adversary.tables import (
    host_fields,
    host_groups,
    host_inside,
    host_raw,
    host_tricks,
    host_wire,
    router_wire,
)
from tests.adversary.tables.host_tricks import CUTS, cut
from tests.support.attack.act import (
    BINDTODEVICE,
    DGRAM,
    FAMILY,
    NOBODY,
    ROOT,
    SOCKET_LEVEL,
    STREAM,
    Act,
    Step,
)
from tests.support.attack.shot import Shot, echo, ether, ip, tcp, udp
from tests.support.host_example import NEIGHBOUR, RESOLVER, ROUTER
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.router_example import INSIDE

Place = dict[int, str]
VERSIONS = (4, 6)
MGMT: Place = {4: "198.51.100.9", 6: "2001:db8:5::9"}
STRANGER: Place = {4: "203.0.113.7", 6: "2001:db8:7::7"}
PORTS = (22, 53, 80, 123, 443, 1023, 32767, 32768, 40000, 60999, 61000)
OWN_PORTS = (22, 53, 80, 123, 443, 33333)


@dataclass(frozen=True)
class Stream:
    """What is sent to a machine and done inside it. `neighbours`: whom it knows, by device."""

    policy: Path
    ruleset: Path
    neighbours: tuple[tuple[str, ...], ...]
    shots: Callable[[], Iterator[Shot]]
    acts: Callable[[], Iterator[Act]]


@dataclass(frozen=True)
class Knocker:
    """Who is at a device, and what of the machine is knocked at."""

    nic: int
    own: Place
    peers: dict[str, Place]


def knocks(knockers: Sequence[Knocker]) -> Iterator[Shot]:
    """Everybody, from every port to every port; and pings, and packets that are cut."""
    for at, version in product(knockers, VERSIONS):
        macs = PEER_MACS[at.nic], GUEST_MACS[at.nic]
        own = at.own[version]
        for who, place in at.peers.items():
            head = ip(place[version], own)
            for (name, body), sport, dport in product(
                (("tcp", tcp), ("udp", udp)), OWN_PORTS, PORTS
            ):
                frame = bytes(ether(*macs) / head / body(sport, dport))
                what = f"IPv{version} {name} from {who} port {sport} to {own} port {dport}"
                yield Shot("knock", what, (frame,), nic=at.nic)
            ping = bytes(ether(*macs) / head / echo(version))
            yield Shot("knock", f"IPv{version} ping from {who} to {own}", (ping,), nic=at.nic)
            for how in CUTS:
                pieces = cut(head / tcp(33333, 22) / Raw(bytes(64)), how)
                frames = tuple(bytes(ether(*macs) / piece) for piece in pieces)
                what = f"IPv{version} ssh from {who} to {own}, {how}"
                yield Shot("fragment", what, frames, nic=at.nic)


def calls(uids: Sequence[int], own: Place, places: Sequence[Place]) -> Iterator[Act]:
    """Every user, to everybody, by plain sockets and by such as are bound."""
    for uid, place, version in product(uids, places, VERSIONS):
        ways: dict[str, list[Step]] = {
            "a plain socket": [],
            "our own address": [("bind", (own[version], 0))],
            "SO_BINDTODEVICE": [("setsockopt", SOCKET_LEVEL, BINDTODEVICE, b"eth0\0")],
            "port 1022": [("bind", ("", 1022))],
            "port 45000": [("bind", ("", 45000))],
        }
        for (how, before), port in product(ways.items(), (22, 53, 80, 123, 443)):
            target = (place[version], port)
            begin = (("socket", FAMILY[version], STREAM), *before)
            what = f"to {place[version]} port {port} with {how}"
            yield Act("call", f"tcp {what}", uid, (*begin, ("connect", target)))
            begin = (("socket", FAMILY[version], DGRAM), *before)
            yield Act("call", f"udp {what}", uid, (*begin, ("sendto", b"?", 0, target)))


def _host_shots() -> Iterator[Shot]:
    yield from chain.from_iterable(
        table() for table in (*host_wire.TABLES, *host_tricks.TABLES, *host_fields.TABLES)
    )  # fmt: skip


def _host_acts() -> Iterator[Act]:
    tables = (*host_inside.TABLES, *host_raw.TABLES, *host_groups.TABLES)
    yield from chain.from_iterable(table() for table in tables)


def _router_shots() -> Iterator[Shot]:
    yield from chain.from_iterable(table() for table in router_wire.TABLES)


KIOSK: Place = {4: "192.0.2.30", 6: "2001:db8::30"}
HOUSE: Place = {4: "192.0.2.66", 6: "2001:db8::66"}
KIOSK_USER = 1000


def _kiosk_shots() -> Iterator[Shot]:
    peers = {"mgmt": MGMT, "stranger": STRANGER, "resolver": RESOLVER, "the house": HOUSE}
    yield from knocks([Knocker(0, KIOSK, peers)])


def _kiosk_acts() -> Iterator[Act]:
    places = (MGMT, STRANGER, RESOLVER, HOUSE)
    yield from calls((KIOSK_USER, NOBODY, ROOT), KIOSK, places)


OUTER: Place = {4: "192.0.2.2", 6: "2001:db8::2"}
INNER: Place = {4: "10.0.0.1", 6: "fd00:10::1"}
SERVER: Place = {4: "10.0.1.7", 6: "fd00:10::7"}
ELSEWHERE_INSIDE: Place = {4: "10.0.2.7", 6: "fd00:11::7"}
CLOCK: Place = {4: "192.0.2.123", 6: "2001:db8::123"}


def _bastion_shots() -> Iterator[Shot]:
    outside = {"the admins": MGMT, "stranger": STRANGER, "the clock": CLOCK, "a server": SERVER}
    inside = {"a server": SERVER, "another": ELSEWHERE_INSIDE, "the admins": MGMT}
    yield from knocks([Knocker(0, OUTER, outside), Knocker(1, INNER, inside)])
    # Through it, and by the wrong side.
    yield from knocks([Knocker(0, SERVER, {"the admins": MGMT}), Knocker(0, INNER, {"an": MGMT})])
    yield from knocks([Knocker(1, MGMT, {"a server": SERVER}), Knocker(1, OUTER, {"a": SERVER})])


def _bastion_acts() -> Iterator[Act]:
    places = (MGMT, STRANGER, CLOCK, SERVER)
    yield from calls((NOBODY, ROOT), OUTER, places)


def _stream(
    name: str,
    neighbours: tuple[tuple[str, ...], ...],
    shots: Callable[[], Iterator[Shot]],
    acts: Callable[[], Iterator[Act]],
) -> Stream:
    ruleset = Path(__file__).with_name(f"{name}.nft")
    return Stream(Path(f"examples/{name}.toml"), ruleset, neighbours, shots, acts)


_ON_LINK = (*ROUTER.values(), *RESOLVER.values(), *NEIGHBOUR.values(), "fe80::1")
STREAMS = {
    "host": _stream("host", (_ON_LINK,), _host_shots, _host_acts),
    "router": _stream(
        "router",
        (
            (*ROUTER.values(),),
            tuple(a for place in INSIDE.values() for a in place.values()),
        ),
        _router_shots,
        lambda: iter(()),
    ),
    "kiosk": _stream("kiosk", (_ON_LINK,), _kiosk_shots, _kiosk_acts),
    "bastion": _stream(
        "bastion",
        ((*ROUTER.values(), *CLOCK.values()), (*SERVER.values(), ELSEWHERE_INSIDE[4])),
        _bastion_shots,
        _bastion_acts,
    ),
}


def table() -> str:
    """How many of each are compared, for docs/oracle.md."""
    rows = ["| policy | rules by hand | packets | acts |", "|---|---|---:|---:|"]
    counts = []
    for name, stream in STREAMS.items():
        shots, acts = (sum(1 for _ in made()) for made in (stream.shots, stream.acts))
        counts.append((shots, acts))
        link = f"[{name}.nft](../tests/nftables/{name}.nft)"
        rows.append(f"| [{name}](../{stream.policy}) | {link} | {shots:,} | {acts:,} |")
    packets, acts = map(sum, zip(*counts, strict=True))
    return "\n".join([*rows, f"| | | **{packets:,}** | **{acts:,}** |"])


if __name__ == "__main__":
    print(table())
