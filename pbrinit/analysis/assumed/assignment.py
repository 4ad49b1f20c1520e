"""Whether a policy with a lease or an advertisement is the one with the address written in.

In: the `Policy` as its file has it, and as it is with what its `assignments` say.  Out: `Claim`
values.  Both sides of the proof are made of the policy with the address, so neither would miss what
was lost on the way to it.  Here every field of every entry is compared, whatever fields there are.
Definition: docs/meaning.md, "With a lease" and "With an advertisement".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.net.addresses import Address, AddressSet, Family, InterfaceAddress, family_of
from pbrinit.net.services import Ports, Service
from pbrinit.policy.interfaces import Interface, StaticRoute
from pbrinit.policy.policy import Allow, Direction, Policy
from pbrinit.policy.programs import ROOT

UDP = 17
CLIENT, SERVER = Ports(68, 68), Ports(67, 67)
"""BOOTP's ports (RFC 2131, section 4.1)."""


@dataclass(frozen=True)
class _Given:
    """What an assignment says, read here once more from its text."""

    address: InterfaceAddress
    gateway: Address | None
    server: Address | None
    routes: tuple[StaticRoute, ...]

    @property
    def family(self) -> Family:
        return family_of(self.address)


def claims(written: Policy, assigned: Policy) -> Iterator[Claim]:
    """That nothing but the address, what comes with it, and the lease's renewal is another."""
    yield Claim("with what it is assigned the policy is the one with that written in",
                tuple(_flaws(written, assigned)))  # fmt: skip


def _flaws(written: Policy, assigned: Policy) -> Iterator[Flaw]:
    given = sorted(map(_read, assigned.assignments), key=lambda each: each.family)
    expected = replace(written, assignments=assigned.assignments)
    for each in given:
        dynamic = [i for i in expected.interfaces if each.family in i.dynamic_families]
        if len(dynamic) != 1:
            yield Flaw(str(each.address), "no interface gets its address so")
            return
        expected = _substituted(expected, dynamic[0], _with(dynamic[0], each))
    leases = [each for each in given if each.family is Family.V4]
    renewals = assigned.allows[len(expected.allows) :]
    for field in fields(Policy):
        needed, found = getattr(expected, field.name), getattr(assigned, field.name)
        if field.name == "allows":
            found = found[: len(needed)]
        if found != needed:
            yield Flaw(field.name, "it is another than with the address written in")
    if len(renewals) != len(leases):
        yield Flaw("allows", f"{len(renewals)} entries are for the renewal of {len(leases)} leases")
    for renewal, lease in zip(renewals, leases, strict=False):
        if not _is_renewal(renewal, lease, expected):
            yield Flaw(renewal.key, "it allows another exchange than the renewal of the lease")


def _read(text: str) -> _Given:
    """ADDRESS/LENGTH,GATEWAY, and in IPv4 ,SERVER and any number of ,PREFIX=ROUTER."""
    address, gateway, *others = text.split(",")
    server = others[0] if others else "any"
    routes = (route.split("=") for route in others[1:])
    return _Given(
        ip_interface(address),
        ip_address(gateway) if gateway else None,
        None if server == "any" else ip_address(server),
        tuple(StaticRoute(ip_network(prefix), ip_address(router)) for prefix, router in routes),
    )


def _with(interface: Interface, given: _Given) -> Interface:
    """The interface as it would be in a file: IPv4 is written before IPv6."""
    gateways = (*interface.gateways, *([given.gateway] if given.gateway else []))
    return replace(
        interface,
        addresses=tuple(sorted((*interface.addresses, given.address), key=lambda a: a.version)),
        gateways=tuple(sorted(gateways, key=lambda gateway: gateway.version)),
        routes=(*interface.routes, *given.routes),
    )


def _substituted(value: Any, old: Interface, new: Interface) -> Any:
    """A value with another interface in the place of one, wherever it is."""
    if value == old:
        return new
    if isinstance(value, tuple):
        return tuple(_substituted(each, old, new) for each in value)
    if isinstance(value, AddressSet) or not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {}
    for field in fields(value):
        before = getattr(value, field.name)
        after = _substituted(before, old, new)
        if after is not before and after != before:
            changed[field.name] = after
    return replace(value, **changed) if changed else value


def _is_renewal(entry: Allow, lease: _Given, policy: Policy) -> bool:
    """From the client's port to the server's, to the lease's server or any, by root alone."""
    dynamic = tuple(i for i in policy.interfaces if Family.V4 in i.dynamic_families)
    servers = AddressSet.everything(Family.V4)
    if lease.server is not None:
        servers = AddressSet.from_prefixes(Family.V4, [lease.server])
    return (
        (entry.direction, entry.interfaces, entry.egress_interfaces)
        == (Direction.OUTPUT, dynamic, ())
        and entry.destinations.both == (servers, AddressSet(Family.V6))
        and entry.sources.both
        == (AddressSet.everything(Family.V4), AddressSet.everything(Family.V6))
        and (entry.services, entry.client_ports) == ((Service(UDP, SERVER),), CLIENT)
        and entry.user is not None
        and (entry.user.uid, entry.room) == (ROOT, None)
    )
