"""A policy with addresses that are assigned at run time, as if they were in its file.

In: a `Policy`, and what a DHCP lease or a router advertisement assigns, or nothing.  Out: a
`Policy`.  The renewal of a lease is an allow entry like any other, so that the compiler and the
proof know nothing of leases.  Definition: docs/meaning.md, "With a lease", "With an advertisement".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from itertools import product

from pbrinit.net.addresses import Address, AddressSet, Family, InterfaceAddress, Prefix, family_of
from pbrinit.net.services import DHCP_CLIENT, DHCP_SERVER, Protocol, Service
from pbrinit.policy.interfaces import ASSIGNED_BY, Interface, StaticRoute
from pbrinit.policy.policy import ANYBODY, AddressGroup, Allow, Direction, Policy
from pbrinit.policy.programs import ROOT, User
from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp import classless_routes, lease
from pbrinit.wire.dhcp.classless_routes import ON_LINK
from pbrinit.wire.ndp import address as advertised


@dataclass(frozen=True)
class Assignment:
    """What an interface is assigned: an address, and the gateway if there is one.

    In IPv4 it is a DHCP lease, which may have routes. Renewal requests go to its `server`; None is
    any server. In IPv6 it comes from a router advertisement, its prefix completed to an address,
    and has neither server nor routes.
    """

    address: InterfaceAddress
    gateway: Address | None
    server: IPv4Address | None = None
    routes: tuple[StaticRoute, ...] = ()

    @property
    def family(self) -> Family:
        """The family of the address."""
        return family_of(self.address)

    @property
    def text(self) -> str:
        """The assignment in the form FORM."""
        server = f",{self.server or ANY}" if self.family is Family.V4 else ""
        routes = "".join(f",{route.prefix}={route.via or ''}" for route in self.routes)
        return f"{self.address},{self.gateway or ''}{server}{routes}"

    def __str__(self) -> str:
        next_hops = f", gateway {self.gateway}" if self.gateway else ""
        next_hops += "".join(f", {route}" for route in self.routes)
        server = f" from {self.server or 'any server'}" if self.family is Family.V4 else ""
        return f"{self.address}{next_hops}{server}"


class AssignmentError(Exception):
    """An assignment that has another form, or that the policy cannot use; the text says why."""


FORM = "ADDRESS/LENGTH[,[GATEWAY][,[SERVER][,PREFIX=[ROUTER]]…]]"
ANY = "any"
NAMES = {Family.V4: "a lease", Family.V6: "an advertisement"}
EXAMPLES: dict[Family, tuple[str, ...]] = {
    Family.V4: (
        "192.0.2.77/24,192.0.2.1", "198.51.100.77/24,198.51.100.1",
        "203.0.113.77/24,203.0.113.1", "10.77.77.77/24,10.77.77.1",
        "172.31.77.77/24,172.31.77.1", "192.168.77.77/24,192.168.77.1",
        *(f"{first}.77.77.77/{length},{first}.77.77.78"
          for length in (24, 30) for first in range(1, 224)),
    ),
    Family.V6: (
        "2001:db8:77:77:5054:ff:fe12:3456/64,fe80::1",
        "3fff:77:77:77:5054:ff:fe12:3456/64,fe80::1",
        "fd77:77:77:77:5054:ff:fe12:3456/64,fe80::1",
        *(f"{first:x}:77:77:77:5054:ff:fe12:3456/64,fe80::1"
          for first in range(0x2001, 0x4000, 0x101)),
    ),
}  # fmt: skip
"""Example assignments: from documentation prefixes (RFC 5737, 3849, 9637), private ones, and others
for a policy that has taken all of these."""


def parse_assignment(policy: Policy, text: str) -> Assignment:
    """Parse an assignment in the form FORM, and check it against the policy.

    The server of a lease is its gateway where none is given; "any" is any server.

    Raises AssignmentError.
    """
    assignment = _parse(text)
    if assignment is None:
        hint = f"write {FORM}; a lease has at least a gateway or a server"
        raise AssignmentError(f'"{text}" is neither a lease nor an advertisement: {hint}')
    family = assignment.family
    interface = next((i for i in dynamic_interfaces(policy) if i.family is family), None)
    if interface is None:
        raise AssignmentError(f"no interface of the policy gets its address {ASSIGNED_BY[family]}")
    address = str(assignment.address.ip), assignment.address.network.prefixlen
    gateway = str(assignment.gateway) if assignment.gateway else None
    try:
        if family is Family.V6:
            advertised.check_address(*address, gateway, interface.taken)
            return assignment
        written = tuple((str(r.prefix), str(r.via or ON_LINK)) for r in assignment.routes)
        routes = classless_routes.with_host_routes(written, gateway, *address)
        lease.check_ways(*address, gateway, routes, interface.taken)
    except LeaseError as error:
        raise AssignmentError(f"{text}: {error}") from None
    return replace(assignment, routes=tuple(_static_route(*route) for route in routes))


def _parse(text: str) -> Assignment | None:
    address, *others = text.split(",")
    is_lease = ":" not in address
    if "/" not in address or (len(others) > 1 and not is_lease):
        return None
    gateway, server, *routes = (*others, "", "")[: max(len(others), 2)]
    try:
        if not is_lease:
            router = IPv6Address(gateway) if gateway else None
            return Assignment(IPv6Interface(address), router)
        return Assignment(
            IPv4Interface(address),
            IPv4Address(gateway) if gateway else None,
            None if server == ANY else IPv4Address(server or gateway),
            tuple(_parse_route(route) for route in routes),
        )
    except ValueError:
        return None


def _parse_route(text: str) -> StaticRoute:
    """Raises ValueError."""
    prefix, equals, router = text.partition("=")
    if not equals:
        raise ValueError(text)
    return _static_route(prefix, router or ON_LINK)


def _static_route(prefix: str, router: str) -> StaticRoute:
    """Raises ValueError."""
    return StaticRoute(IPv4Network(prefix), None if router == ON_LINK else IPv4Address(router))


def dynamic_interfaces(policy: Policy) -> tuple[DynamicInterface, ...]:
    """The interfaces whose address is assigned, and the prefixes that it must not overlap."""
    return tuple(
        DynamicInterface(family, interface.name, interface.device, tuple(_taken(policy, family)))
        for family in Family
        for interface in policy.interfaces
        if family in interface.dynamic_families
    )


def _taken(policy: Policy, family: Family) -> Iterator[tuple[int, int]]:
    """The prefixes of other interfaces and their routes; of the dynamic interface itself those
    routes that the prefix of a link must not contain. A route may contain the prefix of a link.
    """
    for interface in policy.interfaces:
        dynamic = family in interface.dynamic_families
        prefixes: list[Prefix] = (
            [] if dynamic else [address.network for address in interface.addresses_of(family)]
        )
        prefixes += [
            route.prefix
            for route in interface.routes_of(family)
            if not dynamic or route.prefix.prefixlen >= advertised.LENGTH
        ]
        for prefix in prefixes:
            yield int(prefix.network_address), prefix.prefixlen


def assignment_states(
    policy: Policy, given: Iterable[Assignment] = ()
) -> Iterator[tuple[str, Policy]]:
    """Every state of the policy, each with a description: with and without each assignment that it
    can have; with those `given`, and with an example of the others.

    Raises AssignmentError where no example fits: then nothing could be said of that state.
    """
    known = {assignment.family: assignment for assignment in given}
    families = [interface.family for interface in dynamic_interfaces(policy)]
    examples = [known.get(family) or _example(policy, family) for family in families]
    for assignments in product(*((None, example) for example in examples)):
        words = (
            f"with {NAMES[family]} of {assignment}" if assignment else f"without {NAMES[family]}"
            for family, assignment in zip(families, assignments, strict=True)
        )
        yield ", ".join(words), with_assignments(policy, *assignments)


def with_example_assignments(policy: Policy) -> Policy:
    """The policy with an example of every assignment that it can have.

    Raises AssignmentError.
    """
    *_, (_, assigned) = assignment_states(policy)
    return assigned


def _example(policy: Policy, family: Family) -> Assignment:
    for text in EXAMPLES[family]:
        try:
            return parse_assignment(policy, text)
        except AssignmentError:
            continue
    raise AssignmentError(
        f"no example of {NAMES[family]} fits the policy, since its other prefixes leave no room for"
        " one: the state with it is unknown; give one that fits, or take a route out"
    )


def with_assignments(policy: Policy, *assignments: Assignment | None) -> Policy:
    """The policy with what its dynamic interfaces are assigned; None changes nothing."""
    for assignment in assignments:
        if assignment is not None:
            policy = _with_assignment(policy, assignment)
    return policy


def _with_assignment(policy: Policy, assignment: Assignment) -> Policy:
    family = assignment.family
    dynamic = next(
        (interface for interface in policy.interfaces if family in interface.dynamic_families), None
    )
    if dynamic is None:
        return policy
    gateway = (assignment.gateway,) if assignment.gateway else ()
    assigned = replace(
        dynamic,
        addresses=tuple(sorted((*dynamic.addresses, assignment.address), key=family_of)),
        gateways=tuple(sorted((*dynamic.gateways, *gateway), key=family_of)),
        routes=(*dynamic.routes, *assignment.routes),
    )

    def with_address(interfaces: Iterable[Interface]) -> tuple[Interface, ...]:
        return tuple(assigned if interface == dynamic else interface for interface in interfaces)

    return replace(
        policy,
        assignments=tuple(sorted((*policy.assignments, assignment.text))),
        interfaces=with_address(policy.interfaces),
        allows=(
            *(
                replace(
                    e,
                    interfaces=with_address(e.interfaces),
                    egress_interfaces=with_address(e.egress_interfaces),
                )
                for e in policy.allows
            ),
            *((_renewal(assigned, assignment.server),) if family is Family.V4 else ()),
        ),
        denies=tuple(replace(d, interfaces=with_address(d.interfaces)) for d in policy.denies),
        expectations=tuple(
            replace(
                e,
                interfaces=with_address(e.interfaces),
                egress_interfaces=with_address(e.egress_interfaces),
            )
            for e in policy.expectations
        ),
    )


def _renewal(interface: Interface, server: IPv4Address | None) -> Allow:
    """The entry for the renewal of a lease: from the client's port to the server's, sent by root.
    Answers come to the address. A DHCPNAK is broadcast, and is accepted from the hosts that root
    may send requests to.
    """
    servers = AddressSet.from_prefixes(Family.V4, [server]) if server else ANYBODY.four
    return Allow(
        key=f"interface.{interface.name}.address",
        direction=Direction.OUTPUT,
        interfaces=(interface,),
        egress_interfaces=(),
        sources=ANYBODY,
        destinations=AddressGroup(str(server or ANYBODY.text), servers, AddressSet(Family.V6)),
        services=(Service(Protocol.UDP, DHCP_SERVER),),
        client_ports=DHCP_CLIENT,
        user=User("root", ROOT),
    )


@dataclass(frozen=True)
class DynamicInterface:
    """An interface whose address of a family is assigned at run time, and the prefixes, as
    (number, length), that the assigned prefix must not overlap.
    """

    family: Family
    name: str
    device: str
    taken: tuple[tuple[int, int], ...]
