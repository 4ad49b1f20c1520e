"""A policy with the addresses that are given to it on its links, as if they stood in its file.

In: a `Policy` and what a lease gives, or a router's advertisement, or nothing.  Out: a `Policy`.
What asks the lease's server for more time is an entry like any other: the compiler and the proof
know nothing of leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from itertools import product

from pbrinit.net.addresses import Address, AddressSet, Family, InterfaceAddress, Prefix
from pbrinit.net.services import DHCP_CLIENT, DHCP_SERVER, Protocol, Service
from pbrinit.policy.interfaces import GIVEN, Interface, Routed
from pbrinit.policy.policy import ANYBODY, Direction, Entry, Peers, Policy
from pbrinit.policy.programs import ROOT, User
from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp import classless_routes, lease
from pbrinit.wire.ndp import address


@dataclass(frozen=True)
class Given:
    """What is given to an interface: an address and perhaps the way to everybody else.

    IPv4's is a lease, whose `server` is asked for more time, None being any, and which may have
    routes; IPv6's is what a router advertises, its prefix filled up to an address, and has neither.
    """

    address: InterfaceAddress
    gateway: Address | None
    server: IPv4Address | None = None
    routes: tuple[Routed, ...] = ()

    @property
    def family(self) -> Family:
        """Of which family it is."""
        return Family.of(self.address)

    @property
    def text(self) -> str:
        """It in the form of FORM."""
        server = f",{self.server or ANY}" if self.family is Family.V4 else ""
        routes = "".join(f",{route.prefix}={route.via}" for route in self.routes)
        return f"{self.address},{self.gateway or ''}{server}{routes}"

    def __str__(self) -> str:
        ways = f", gateway {self.gateway}" if self.gateway else ""
        ways += "".join(f", {route}" for route in self.routes)
        server = f" from {self.server or 'any server'}" if self.family is Family.V4 else ""
        return f"{self.address}{ways}{server}"


class GivenError(Exception):
    """What is written otherwise, or the policy cannot use; the text says why."""


FORM = "ADDRESS/LENGTH[,[GATEWAY][,[SERVER][,PREFIX=ROUTER]…]]"
ANY = "any"
NAMES = {Family.V4: "a lease", Family.V6: "an advertisement"}
EXAMPLES = {
    Family.V4: (
        "192.0.2.77/24,192.0.2.1", "198.51.100.77/24,198.51.100.1",
        "203.0.113.77/24,203.0.113.1", "10.77.77.77/24,10.77.77.1",
        "172.31.77.77/24,172.31.77.1", "192.168.77.77/24,192.168.77.1",
    ),
    Family.V6: (
        "2001:db8:77:77:5054:ff:fe12:3456/64,fe80::1",
        "3fff:77:77:77:5054:ff:fe12:3456/64,fe80::1",
        "fd77:77:77:77:5054:ff:fe12:3456/64,fe80::1",
    ),
}  # fmt: skip
"""What to show a policy with: of documentation (RFC 5737, 3849, 9637), and private."""


def given(policy: Policy, text: str) -> Given:
    """What is written in the form of FORM; the gateway of a lease is its server where none is
    named, and "any" as a server is any.

    Raises GivenError.
    """
    found = _written(text)
    if found is None:
        hint = f"write {FORM}, of a lease the gateway or the server at least"
        raise GivenError(f'"{text}" is no lease and no advertisement: {hint}')
    family = found.family
    awaited = next((one for one in awaits(policy) if one.family is family), None)
    if awaited is None:
        raise GivenError(f"no interface of the policy gets its address {GIVEN[family]}")
    check = lease.check_address if family is Family.V4 else address.check_address
    ends = str(found.address.ip), found.address.network.prefixlen
    try:
        check(*ends, str(found.gateway) if found.gateway else None, awaited.taken)
        if family is Family.V4:
            routes = tuple((str(route.prefix), str(route.via)) for route in found.routes)
            classless_routes.check_routes(routes, *ends, awaited.taken)
    except LeaseError as error:
        raise GivenError(f"{text}: {error}") from None
    return found


def _written(text: str) -> Given | None:
    first, *others = text.split(",")
    four = ":" not in first
    if "/" not in first or (len(others) > 1 and not four):
        return None
    gateway, server, *ways = (*others, "", "")[: max(len(others), 2)]
    try:
        if not four:
            hop = IPv6Address(gateway) if gateway else None
            return Given(IPv6Interface(first), hop)
        return Given(
            IPv4Interface(first),
            IPv4Address(gateway) if gateway else None,
            None if server == ANY else IPv4Address(server or gateway),
            tuple(_route(way) for way in ways),
        )
    except ValueError:
        return None


def _route(text: str) -> Routed:
    """Raises ValueError."""
    prefix, _, router = text.partition("=")
    return Routed(IPv4Network(prefix), IPv4Address(router))


def awaits(policy: Policy) -> tuple[Awaits, ...]:
    """The interfaces that are given an address, and what that must not overlap with."""
    return tuple(
        Awaits(family, interface.name, interface.device, tuple(_taken(policy, family)))
        for family in Family
        for interface in policy.interfaces
        if family in interface.asks
    )


def _taken(policy: Policy, family: Family) -> Iterator[tuple[int, int]]:
    """The prefixes of other interfaces; and of the one that asks those of its routes that a link's
    prefix must not have in it. Around it a route may be.
    """
    for interface in policy.interfaces:
        asks = family in interface.asks
        near: list[Prefix] = [] if asks else [a.network for a in interface.own(family)]
        near += [
            route.prefix
            for route in interface.routes_of(family)
            if not asks or route.prefix.prefixlen >= address.LENGTH
        ]
        for prefix in near:
            yield int(prefix.network_address), prefix.prefixlen


def states(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """What the policy is in turn, with words for it: all that can be given is shown for an
    example, and without.
    """
    families = [one.family for one in awaits(policy)]
    for found in product(*(dict.fromkeys((None, _example(policy, f))) for f in families)):
        words = (
            f"with {NAMES[family]} of {one}" if one else f"without {NAMES[family]}"
            for family, one in zip(families, found, strict=True)
        )
        yield ", ".join(words), configured(policy, *found)


def whole(policy: Policy) -> Policy:
    """The policy as it is when all of it matters: with all that is to be given."""
    *_, (_, found) = states(policy)
    return found


def _example(policy: Policy, family: Family) -> Given | None:
    for text in EXAMPLES[family]:
        try:
            return given(policy, text)
        except GivenError:
            continue
    return None


def configured(policy: Policy, *found: Given | None) -> Policy:
    """The policy with what is given to the interfaces that ask for it; without that, as it is in
    its file.
    """
    for one in found:
        if one is not None:
            policy = _with(policy, one)
    return policy


def _with(policy: Policy, one: Given) -> Policy:
    family = one.family
    waiting = next((interface for interface in policy.interfaces if family in interface.asks), None)
    if waiting is None:
        return policy
    gateway = (one.gateway,) if one.gateway else ()
    found = replace(
        waiting,
        addresses=tuple(sorted((*waiting.addresses, one.address), key=Family.of)),
        gateways=tuple(sorted((*waiting.gateways, *gateway), key=Family.of)),
        routes=(*waiting.routes, *one.routes),
    )

    def now(interfaces: Iterable[Interface]) -> tuple[Interface, ...]:
        return tuple(found if interface == waiting else interface for interface in interfaces)

    return replace(
        policy,
        given=tuple(sorted((*policy.given, one.text))),
        interfaces=now(policy.interfaces),
        entries=(
            *(
                replace(e, interfaces=now(e.interfaces), ways_out=now(e.ways_out))
                for e in policy.entries
            ),
            *((_more_time(found, one.server),) if family is Family.V4 else ()),
        ),
        denies=tuple(replace(d, interfaces=now(d.interfaces)) for d in policy.denies),
        expectations=tuple(
            replace(e, interfaces=now(e.interfaces), ways_out=now(e.ways_out))
            for e in policy.expectations
        ),
    )


def _more_time(interface: Interface, server: IPv4Address | None) -> Entry:
    """What asks for more time: from the one port to the other, by a socket that root opened. Its
    answers come to the address; a refusal comes to everybody, and is heard from whom root may ask.
    """
    only = AddressSet.of(Family.V4, [server]) if server else ANYBODY.four
    return Entry(
        key=f"interface.{interface.name}.address",
        direction=Direction.OUTPUT,
        interfaces=(interface,),
        ways_out=(),
        sources=ANYBODY,
        destinations=Peers(str(server or ANYBODY.text), only, AddressSet(Family.V6)),
        services=(Service(Protocol.UDP, DHCP_SERVER),),
        clients=DHCP_CLIENT,
        user=User("root", ROOT),
    )


@dataclass(frozen=True)
class Awaits:
    """An interface whose address of a family is given to it on its link, and the prefixes of the
    others, as (number, length), with which what is given must not overlap.
    """

    family: Family
    name: str
    device: str
    taken: tuple[tuple[int, int], ...]
