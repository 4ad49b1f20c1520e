"""A machine that passes packets on, its plan made by hand, not by the compiler.

In: nothing.  Out: `PLAN`, in both families:

    lan to wan    tcp 443, icmp to FAR, protocol 47, udp 7000 as the table HERE says
    wan to lan    the answers; tcp 8080 is prohibited
    refused       tcp 25 and all else: blackhole; to FAR's last host: prohibit; udp 7777: by no rule
    strange       udp 9999 is led into the sink; udp 7001 goes by its source, in IPv6
    told          the lan, by ICMP errors; the wan is told nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from pbrinit.compiler import sysctls
from pbrinit.net.addresses import Address, Family, Prefix
from pbrinit.net.services import Ports, Protocol
from pbrinit.plan.plan import (
    LOOPBACK,
    TABLE_LOCAL,
    TABLE_MAIN,
    Action,
    Link,
    Plan,
    Route,
    RouteType,
    Rule,
    Sysctl,
)

SINK, HERE, SOURCED = 100, 4000, 4001
GRE = 47
Selectors = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Who is where, in one family."""

    wan: str
    gateway: Address
    lan: str
    far: Prefix
    icmp: Protocol
    errors: tuple[tuple[int, int], ...]

    @property
    def inside(self) -> Prefix:
        """The prefix of the lan."""
        return ip_interface(self.lan).network

    def client(self, number: int) -> Address:
        """A host of the lan."""
        return self.inside[0x500 + number]

    def server(self, number: int) -> Address:
        """A host far away, behind the gateway."""
        return self.far[number]


PLACES = {
    Family.V4: Place(
        "192.0.2.2/24", ip_address("192.0.2.1"), "10.0.0.1/16", ip_network("203.0.113.0/24"),
        Protocol.ICMP, ((3, 0), (3, 4), (3, 13), (11, 0)),
    ),
    Family.V6: Place(
        "2001:db8::2/64", ip_address("2001:db8::1"), "fd00:10::1/64",
        ip_network("2001:db8:7::/120"),
        Protocol.ICMPV6, ((1, 0), (1, 1), (2, 0), (3, 0)),
    ),
}  # fmt: skip
LAST = 255
BLACKHOLED, PROHIBITED, THROWN = 8, 9, 10
"""Hosts of FAR for which HERE has routes of their own."""

GOES, GOES_NOWHERE, IS_REFUSED, IS_THROWN = 5, 6, 7, 8
"""Hosts of the lan for which SOURCED has routes."""


def _rules(family: Family) -> Iterator[Rule]:
    place = PLACES[family]
    inside, asked = place.inside, Ports(32768, 60999)

    def rule(
        preference: int, action: Action, argument: int | None = None, **selectors: Any
    ) -> Rule:
        made = Rule(family, preference, action, argument, note=f"rule {preference}")
        return replace(made, **selectors)

    def port(number: int) -> Ports:
        return Ports(number, number)

    tcp, udp, look_up = Protocol.TCP, Protocol.UDP, Action.LOOKUP
    yield rule(10, Action.GOTO, 1000, iif=LOOPBACK)
    yield rule(20, Action.GOTO, 2000, iif="eth0")
    yield rule(30, Action.GOTO, 3000, iif="eth1")
    yield rule(40, Action.BLACKHOLE)

    here: Selectors = {"iif": LOOPBACK}
    yield rule(1000, look_up, TABLE_LOCAL, **here)
    for number, (kind, code) in enumerate(place.errors, 1010):
        error: Selectors = {"protocol": place.icmp, "destination_ports": port(kind << 8 | code)}
        yield rule(number, look_up, TABLE_MAIN, **here, **error, destination=inside, uid=0)
    sunk: Selectors = {"protocol": udp, "source_ports": port(9999), "destination": inside}
    yield rule(1020, look_up, TABLE_MAIN, **here, **sunk)
    yield rule(1900, Action.PROHIBIT, **here)

    back: Selectors = {"iif": "eth0", "destination": inside}
    for number, protocol, ports in ((2010, tcp, port(443)), (2020, udp, Ports(7000, 7001))):
        answers: Selectors = {
            "protocol": protocol,
            "source_ports": ports,
            "destination_ports": asked,
        }
        yield rule(number, look_up, TABLE_MAIN, **back, **answers)
    yield rule(2000, Action.BLACKHOLE, iif="eth0", source=inside)
    yield rule(2030, look_up, TABLE_MAIN, **back, protocol=place.icmp, source=place.far)
    yield rule(2040, look_up, TABLE_MAIN, **back, protocol=GRE)
    yield rule(2050, Action.PROHIBIT, **back, protocol=tcp, destination_ports=port(8080))
    yield rule(2900, Action.BLACKHOLE, iif="eth0")

    out: Selectors = {"iif": "eth1"}
    yield rule(3000, Action.GOTO, 3010, **out, source=inside)
    yield rule(3001, Action.BLACKHOLE, **out)
    yield rule(3010, Action.PROHIBIT, **out, destination=ip_network(place.server(LAST)))
    yield rule(3020, look_up, TABLE_MAIN, **out, protocol=place.icmp, destination=place.far)
    yield rule(3030, look_up, TABLE_MAIN, **out, protocol=GRE)
    for number, protocol, ports, table in (
        (3040, tcp, port(443), TABLE_MAIN),
        (3050, udp, port(7000), HERE),
        (3060, udp, port(7001), SOURCED),
        (3070, udp, port(9999), SINK),
    ):
        asks: Selectors = {"protocol": protocol, "source_ports": asked, "destination_ports": ports}
        yield rule(number, look_up, table, **out, **asks)
    yield rule(3080, Action.GOTO, 9000, **out, protocol=udp, destination_ports=port(7777))
    yield rule(3900, Action.BLACKHOLE, **out)
    yield rule(9000, Action.NOP)


def _by_loopback() -> Iterator[Route]:
    yield Route(Family.V4, SINK, RouteType.UNICAST)
    yield Route(Family.V6, SINK, RouteType.UNICAST)
    for family, place in PLACES.items():
        for host, kind in ((BLACKHOLED, RouteType.BLACKHOLE), (PROHIBITED, RouteType.PROHIBIT),
                           (THROWN, RouteType.THROW)):  # fmt: skip
            yield Route(family, HERE, kind, ip_network(place.server(host)))
    place = PLACES[Family.V6]
    for host, kind in ((GOES_NOWHERE, RouteType.BLACKHOLE), (IS_REFUSED, RouteType.PROHIBIT),
                       (IS_THROWN, RouteType.THROW)):  # fmt: skip
        yield Route(Family.V6, SOURCED, kind, source=ip_network(place.client(host)))


def _by_wan() -> Iterator[Route]:
    for family, place in PLACES.items():
        for table in (TABLE_MAIN, HERE):
            yield Route(family, table, RouteType.UNICAST, gateway=place.gateway)
    place = PLACES[Family.V6]
    source = ip_network(place.client(GOES))
    yield Route(Family.V6, SOURCED, RouteType.UNICAST, gateway=place.gateway, source=source)


def _link(device: str, addresses: list[str], routes: Iterator[Route]) -> Link:
    own = tuple(ip_interface(address) for address in addresses)
    six = any(address.version == Family.V6.version for address in own)
    found = sysctls.device(device, six=six)
    return Link(device, device, None, found, (), own, tuple(routes))


PLAN = Plan(
    hostname="router",
    summary=(),
    users=(),
    sysctls=sysctls.machine(),
    rules=tuple(rule for family in Family for rule in _rules(family)),
    links=(
        Link(LOOPBACK, LOOPBACK, None, (), tuple(_by_loopback()), (), ()),
        _link("eth0", [place.wan for place in PLACES.values()], _by_wan()),
        _link("eth1", [place.lan for place in PLACES.values()], iter(())),
    ),
    tables=(),
    forwarding_sysctls=tuple(
        Sysctl(f"net/{key}/forwarding", "1", "it passes packets on")
        for key in ("ipv4/conf/eth0", "ipv4/conf/eth1", "ipv6/conf/all")
    ),
)
