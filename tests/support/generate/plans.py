"""Plans that no policy made, drawn from a source of random numbers.

In: a `random.Random`.  Out: a `Plan` that a kernel takes, with rules of every action and routes
of every kind in any order, so that the model is asked about shapes that no compiler makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from random import Random
from typing import TypeVar

from pbrinit.compiler import sysctls
from pbrinit.net.addresses import Family, Prefix
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
from pbrinit.policy.interfaces import Interface
from tests.support.generate.policies import LINKS_4, LINKS_6, UIDS

OWN_TABLES = (100, 1000, 4000, 4001)
FOUR = ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "198.51.100.0/24", "198.51.100.64/27",
        "203.0.113.7/32", "10.0.0.0/8", "10.1.0.128/25", "10.1.0.192/26", "192.0.2.0/24",
        "192.0.2.128/25", "192.0.2.66/32", "172.16.3.4/30")  # fmt: skip
SIX = ("::/0", "::/1", "2000::/3", "2001:db8:5::/48", "2001:db8:5:8000::/49", "2001:db8:5::9/128",
       "2001:db8::/64", "2001:db8::/65", "2001:db8::66/128", "fd00:2::/126", "fe80::/10",
       "2001:db8::/32", "ff00::/8")  # fmt: skip
ABOVE_6 = ("::/0", "2000::/3", "2001:db8::/32", "fd00::/8")
OF_LINKS_6 = ("2001:db8::/64", "2001:db8:1::/120", "fd00:2::/126", "fe80::/64")
"""Prefixes of the main table: longer ones, or routes to a link's own from some source, would hide
the links' gateways when a route names them (ip6_route_check_nh_onlink, net/ipv6/route.c)."""

SOURCES_6 = ("::/1", "2000::/3", "2001:db8:5::/48", "2001:db8:5:8000::/49", "2001:db8::/64",
             "fd00:2::2/128")  # fmt: skip
PORTS = (Ports(1, 1), Ports(22, 22), Ports(1, 1023), Ports(32768, 60999), Ports(1024, 65534),
         Ports(2048, 2048))  # fmt: skip
ACTIONS = (*[Action.LOOKUP] * 12, Action.GOTO, Action.NOP, Action.BLACKHOLE, Action.PROHIBIT)
UNDRAWN = (RouteType.BROADCAST, RouteType.ANYCAST, RouteType.MULTICAST)
"""A plan has the first only where it logs, by loopback, and IPv6 has none; the others are in no
plan: the kernel alone makes them.
"""

KINDS = tuple(kind for kind in RouteType if kind not in UNDRAWN)

T = TypeVar("T")


def plan(random: Random) -> Plan:
    """A plan with one to three interfaces."""
    interfaces = list(_interfaces(random))
    devices = [interface.device for interface in interfaces]
    last = [Sysctl(f"net/ipv4/conf/{device}/forwarding", "1", "drawn")
            for device in devices if random.random() < 0.8]  # fmt: skip
    if random.random() < 0.8:
        last.append(Sysctl("net/ipv6/conf/all/forwarding", "1", "drawn"))
    rules = [rule for family in Family for rule in _rules(random, family, devices)]
    return Plan(
        hostname="drawn",
        summary=(),
        users=(),
        sysctls=sysctls.machine(),
        rules=tuple(rules),
        links=tuple(_links(random, interfaces)),
        tables=(),
        forwarding_sysctls=tuple(last),
    )


def _interfaces(random: Random) -> Iterator[Interface]:
    count = random.choice((1, 2, 2, 3))
    fours, sixes = (random.sample([*links], count) for links in (LINKS_4, LINKS_6))
    for number in range(count):
        addresses = random.choice(([fours[number]], [sixes[number]], *[[fours[number],
                                  sixes[number]]] * 4))  # fmt: skip
        known = ((LINKS_4 | LINKS_6)[address] for address in addresses)
        gateways = tuple(ip_address(gateway) for gateway in known if gateway)
        device = f"eth{number}"
        yield Interface(device, device, None, tuple(map(ip_interface, addresses)), gateways)


def _links(random: Random, interfaces: list[Interface]) -> Iterator[Link]:
    taken: set[tuple[Family, int, Prefix | None, Prefix | None]] = {
        (Family.V4, TABLE_MAIN, address.network, None)
        for interface in interfaces
        for address in interface.addresses_of(Family.V4)
    }
    early = [r for _ in range(20) if (r := _route(random, None, taken))]
    yield Link(LOOPBACK, LOOPBACK, None, (), tuple(early), (), ())
    for interface in interfaces:
        routes = [r for _ in range(20) if (r := _route(random, interface, taken))]
        before = tuple(r for r in routes if r.family is Family.V4 and r.type is RouteType.LOCAL)
        yield Link(
            name=interface.name,
            device=interface.device,
            mac=None,
            sysctls=sysctls.device(interface.device, six=bool(interface.addresses_of(Family.V6))),
            preaddress_routes=before,
            addresses=interface.addresses,
            routes=tuple(route for route in routes if route not in before),
        )


def _route(
    random: Random,
    interface: Interface | None,
    taken: set[tuple[Family, int, Prefix | None, Prefix | None]],
) -> Route | None:
    """A route by an interface, or by loopback; None where a like one is already there.

    IPv6 is off on a device without an address of it.
    """
    family = random.choice(list(Family))
    if interface is not None and family is Family.V6 and not interface.addresses_of(family):
        return None
    table = random.choice((TABLE_MAIN, *OWN_TABLES, *OWN_TABLES))
    kind = random.choice((*[RouteType.UNICAST] * 5, *KINDS))
    main = table == TABLE_MAIN
    sourced = family is Family.V6 and random.random() < 0.4
    pool: tuple[str, ...] = FOUR
    if family is Family.V6:
        pool = (ABOVE_6 if sourced else ABOVE_6 + OF_LINKS_6) if main else SIX
    destination = random.choice((None, *map(ip_network, pool)))
    source = ip_network(random.choice(SOURCES_6)) if sourced else None
    key = family, table, destination if destination and destination.prefixlen else None, source
    if key in taken:
        return None
    taken.add(key)
    gateway = None
    if interface and kind is RouteType.UNICAST and random.random() < 0.5:
        gateway = interface.gateway(family)
    return Route(family, table, kind, destination, gateway, source)


def _rules(random: Random, family: Family, devices: list[str]) -> Iterator[Rule]:
    """Rules in order; the last ones let most packets find something."""
    count = random.randint(3, 20)
    preferences = sorted(random.sample(range(1, 30000), count))
    for at, preference in enumerate(preferences):
        action = random.choice(ACTIONS)
        argument = None
        if action is Action.LOOKUP:
            argument = random.choice((TABLE_LOCAL, TABLE_LOCAL, TABLE_MAIN, *OWN_TABLES))
        elif action is Action.GOTO:
            argument = random.choice((*preferences[at + 1 :], 30000))
        yield _selecting(random, Rule(family, preference, action, argument), devices)
    yield Rule(family, 30000, Action.NOP)
    for preference, table in ((31000, TABLE_LOCAL), (31001, OWN_TABLES[-1]), (31002, TABLE_MAIN)):
        if random.random() < 0.8:
            yield Rule(family, preference, Action.LOOKUP, table)


def _selecting(random: Random, rule: Rule, devices: list[str]) -> Rule:
    """The rule, about some packets."""
    # A prefix of length 0 is none to the kernel.
    pool = [ip_network(text) for text in (FOUR if rule.family is Family.V4 else SIX)[1:]]
    icmp = Protocol.ICMP if rule.family is Family.V4 else Protocol.ICMPV6
    protocol = _at_times(random, 0.4, (Protocol.TCP, Protocol.UDP, icmp))
    return Rule(
        rule.family,
        rule.preference,
        rule.action,
        rule.argument,
        iif=_at_times(random, 0.6, (LOOPBACK, *devices, *devices)),
        oif=_at_times(random, 0.1, devices),
        source=_at_times(random, 0.3, pool),
        destination=_at_times(random, 0.3, pool),
        protocol=protocol,
        source_ports=_at_times(random, 0.2, PORTS),
        destination_ports=_at_times(random, 0.3, PORTS),
        uid=_at_times(random, 0.15, UIDS),
    )


def _at_times(random: Random, share: float, choices: list[T] | tuple[T, ...]) -> T | None:
    return random.choice(choices) if random.random() < share else None
