"""Rules by which the kernel generates an ICMP error for what logged deny entries name.

In: the `CompileContext` of one family, and an interface.  Out: rules at the head of the tail.  What
reaches them is refused in any case, so they only decide what is logged, and accept nothing: they
prohibit instead of dropping, and `output_rules` routes the ICMP error to this machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.compiler.context import CompileContext
from pbrinit.compiler.prohibit import prohibit
from pbrinit.compiler.rectangles import AddressPair, without
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports, Protocol
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Deny, Policy
from pbrinit.policy.topology import Topology

Requested = tuple[int | None, Ports | None]
"""Protocol and destination ports of a request, None being any."""

LOGGED_PROTOCOLS = (Protocol.TCP, Protocol.UDP, Protocol.ICMP)
"""The protocols of an entry without services, in IPv4. A rule for every protocol would match ARP
too: see `rules`."""


def log_rules(context: CompileContext, interface: Interface) -> None:
    """Write the rules for what arrives by an interface.

    Raises CompileError where a set of sources is too large for rules.
    """
    any_address = AddressSet.everything(context.family)
    pairs_by_service: dict[Requested, list[AddressPair]] = {}
    for deny, pair in logged_pairs(context.policy, context.topology, interface):
        for service in _requested(deny, context.family):
            pairs_by_service.setdefault(service, []).append(pair)
    for (protocol, ports), pairs in pairs_by_service.items():
        for pair in without(pairs, ()):
            note = f"{', '.join(pair.keys)}, logged"
            prohibit(context, pair, (any_address, any_address), "log", note, entries=pair.keys,
                     iif=interface.device, protocol=protocol, destination_ports=ports)  # fmt: skip


def logged_pairs(
    policy: Policy, topology: Topology, interface: Interface
) -> Iterator[tuple[Deny, AddressPair]]:
    """For each logged deny entry the addresses behind an interface that it names, and the
    destinations of their requests: this machine, and addresses behind other interfaces. Entries
    with a user are left out, since programs of this machine get an error at once.
    """
    if interface not in topology.interfaces:
        return
    family = topology.family
    any_address = AddressSet.everything(family)
    others = [other for other in topology.interfaces if other is not interface]
    behind_others = topology.hosts_behind(*others)
    for deny in policy.logged:
        sources = deny.sources.in_family(family) if deny.sources else any_address
        destinations = any_address
        reached = behind_others | topology.own_addresses
        if deny.destinations:
            destinations = deny.destinations.in_family(family) - topology.own_addresses
            reached = behind_others
        if interface not in deny.interfaces:
            named = (other for other in others if other in deny.interfaces)
            destinations = reached = destinations & topology.hosts_behind(*named)
        arrives = sources.overlaps(topology.hosts_behind(interface))
        if deny.user is None and arrives and destinations.overlaps(reached):
            yield deny, AddressPair(sources, destinations, (deny.key,))


def _requested(deny: Deny, family: Family) -> Iterator[Requested]:
    """The services of an entry, as rules match them."""
    for service in deny.services:
        yield service.number(family), service.ports
    if not deny.services:
        protocols = LOGGED_PROTOCOLS if family is Family.V4 else (None,)
        yield from ((number, None) for number in protocols)
