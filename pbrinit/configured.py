"""A policy with the addresses that a lease gives it, as if they stood in its file.

In: a `Policy` and what a lease gives, or nothing.  Out: a `Policy`.  What asks the lease's server
for more time is an entry like any other: the compiler and the proof know nothing of leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface

from pbrinit.addresses import AddressSet, Family
from pbrinit.boot.lease import LeaseError, check_address
from pbrinit.claim import ROOT
from pbrinit.plan import Awaits
from pbrinit.policy import ANYBODY, Direction, Entry, Interface, Peers, Policy, User
from pbrinit.service import DHCP_CLIENT, DHCP_SERVER, Protocol, Service


@dataclass(frozen=True)
class Given:
    """What a lease gives an interface; `server` None is any, when any is asked for more time."""

    address: IPv4Interface
    gateway: IPv4Address | None
    server: IPv4Address | None

    def __str__(self) -> str:
        gateway = f", gateway {self.gateway}" if self.gateway else ""
        return f"{self.address}{gateway} from {self.server or 'any server'}"


class GivenError(Exception):
    """A lease that is written otherwise, or that the policy cannot use; the text says why."""


FORM = "ADDRESS/LENGTH[,[GATEWAY][,SERVER]]"
ANY = "any"
EXAMPLES = (
    "192.0.2.77/24,192.0.2.1", "198.51.100.77/24,198.51.100.1", "203.0.113.77/24,203.0.113.1",
    "10.77.77.77/24,10.77.77.1", "172.31.77.77/24,172.31.77.1", "192.168.77.77/24,192.168.77.1",
)  # fmt: skip
"""Leases to show what a policy is with one: of documentation (RFC 5737), and private."""


def given(policy: Policy, text: str) -> Given:
    """The lease that is written in the form of FORM; the gateway is the server where none is named.

    Raises GivenError.
    """
    awaited = awaits(policy)
    if awaited is None:
        raise GivenError("no interface of the policy gets its address by DHCP")
    found = _written(text)
    if found is None:
        raise GivenError(f'"{text}" is no lease: write {FORM}, and "{ANY}" for any server')
    gateway = str(found.gateway) if found.gateway else None
    try:
        check_address(
            str(found.address.ip), found.address.network.prefixlen, gateway, awaited.taken
        )
    except LeaseError as error:
        raise GivenError(f"{text}: {error}") from None
    return found


def _written(text: str) -> Given | None:
    first, *others = text.split(",")
    if "/" not in first or len(others) > 2:  # noqa: PLR2004  a gateway and a server
        return None
    gateway, server = (*others, "", "")[:2]
    try:
        return Given(
            IPv4Interface(first),
            IPv4Address(gateway) if gateway else None,
            None if server == ANY else IPv4Address(server or gateway),
        )
    except ValueError:
        return None


def awaits(policy: Policy) -> Awaits | None:
    """The interface that is to have a lease, and what that must not overlap with."""
    networks = (a.network for i in policy.interfaces if not i.dhcp for a in i.own(Family.V4))
    taken = tuple((int(network.network_address), network.prefixlen) for network in networks)
    return next((Awaits(i.name, i.device, taken) for i in policy.interfaces if i.dhcp), None)


def states(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """What the policy is in turn, with a word for it: with a lease it is shown for an example."""
    if awaits(policy) is None:
        yield "", policy
        return
    yield "without a lease", policy
    example = _example(policy)
    if example is not None:
        yield f"with a lease of {example}", configured(policy, example)


def whole(policy: Policy) -> Policy:
    """The policy as it is when all of it matters: with a lease, where it is to have one."""
    *_, (_, found) = states(policy)
    return found


def _example(policy: Policy) -> Given | None:
    for text in EXAMPLES:
        try:
            return given(policy, text)
        except GivenError:
            continue
    return None


def configured(policy: Policy, given: Given | None) -> Policy:
    """The policy with what a lease gives to the interface that is to have one; without a lease
    as it is in its file.
    """
    waiting = next((interface for interface in policy.interfaces if interface.dhcp), None)
    if waiting is None or given is None:
        return policy
    gateway = (given.gateway,) if given.gateway else ()
    found = replace(
        waiting,
        addresses=(given.address, *waiting.addresses),
        gateways=(*gateway, *waiting.gateways),
    )

    def now(interfaces: Iterable[Interface]) -> tuple[Interface, ...]:
        return tuple(found if interface == waiting else interface for interface in interfaces)

    return replace(
        policy,
        interfaces=now(policy.interfaces),
        entries=(
            *(
                replace(e, interfaces=now(e.interfaces), ways_out=now(e.ways_out))
                for e in policy.entries
            ),
            _more_time(found, given.server),
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
