"""Remarks on what is forwarded otherwise than its writer may think.

In: a `Policy` and its meaning.  Out: a remark for each forward entry whose clients nobody on the
Internet can answer, and for each deny entry with `on` that also takes what leaves there.
"""

from __future__ import annotations

from itertools import product

from pbrinit.analysis.internet import is_the_internet, private_part
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Allow, Deny, Direction, Policy
from pbrinit.policy.problems import Problems
from pbrinit.semantics.paths import PolicySemantics
from pbrinit.semantics.topology import Topology

SHOWN = 3
"""How many prefixes of a set are named."""


def remark_on_no_return(policy: Policy, semantics: PolicySemantics, remarks: Problems) -> None:
    """Take note of private addresses that are forwarded to the Internet: no address is translated,
    so no answer finds its way back.
    """
    topology = semantics.topology
    for entry in _forwards(policy):
        for family in Family:
            to = entry.destinations.in_family(family)
            leaving = [i for i in entry.egress_interfaces if _is_routed(i, family)]
            there = [topology.hosts_behind(interface, family) & to for interface in leaving]
            if not any(is_the_internet(hosts) for hosts in there):
                continue
            for interface in entry.interfaces:
                clients = topology.peers_behind(entry.sources, interface, family)
                private = private_part(clients)
                if private and private == clients:
                    remarks.report(
                        entry.key,
                        f"{_told(private, interface, topology)} behind {interface.name} is private:"
                        " the Internet has no way back to it, and no address is translated",
                        "let the next router translate, or use addresses that are routed",
                    )


def remark_on_wide_denies(policy: Policy, semantics: PolicySemantics, remarks: Problems) -> None:
    """Take note of deny entries with `on` that name hosts on both sides: they take what comes from
    there by the interface, and what leaves by it as well.
    """
    topology = semantics.topology
    for deny in policy.denies:
        if deny.sources is None or deny.destinations is not None or deny.user is not None:
            continue
        for entry, family in product(_forwards(policy), Family):
            taken = _taken(deny, entry, family, topology)
            if taken is not None:
                inside, addresses = taken
                told = _told(addresses, inside, topology)
                remarks.report(
                    deny.key,
                    f"also takes what {told} behind {inside.name} may send out by"
                    f" {', '.join(i.name for i in deny.interfaces)} by {entry.key}",
                    f"if only what arrives there is meant, name {told}, such as inside, and add"
                    ' "not inside" to from',
                )


def _taken(
    deny: Deny, entry: Allow, family: Family, topology: Topology
) -> tuple[Interface, AddressSet] | None:
    """Who may no longer send out, where the deny entry is about hosts behind its own interfaces
    too. Where it names hosts behind others alone, it is meant so.
    """
    sources = deny.sources.in_family(family) if deny.sources else AddressSet(family)
    near = (topology.hosts_behind(interface, family) for interface in deny.interfaces)
    if not any(sources.overlaps(hosts) for hosts in near):
        return None
    if not any(
        interface in deny.interfaces
        and topology.peers_behind(entry.destinations, interface, family)
        for interface in entry.egress_interfaces
    ):
        return None
    if deny.services and not any(
        mine.protocol == theirs.protocol
        and (mine.ports is None or theirs.ports is None or mine.ports.overlaps(theirs.ports))
        for mine, theirs in product(deny.services, entry.services)
    ):
        return None
    for interface in entry.interfaces:
        if interface in deny.interfaces:
            continue
        found = sources & topology.peers_behind(entry.sources, interface, family)
        if found:
            return interface, found
    return None


def _is_routed(interface: Interface, family: Family) -> bool:
    """Whether the next router is on the Internet itself. A private one has to translate anyway."""
    gateway = interface.gateway(family)
    if gateway is None:
        return False
    return gateway.is_link_local or not private_part(AddressSet.from_prefixes(family, [gateway]))


def _forwards(policy: Policy) -> list[Allow]:
    return [entry for entry in policy.allows if entry.direction is Direction.FORWARD]


def _told(addresses: AddressSet, interface: Interface, topology: Topology) -> str:
    """The prefixes of the interface that are all among them, then what is left of them."""
    family = addresses.family
    networks = [address.network for address in interface.addresses_of(family)]
    networks += [route.prefix for route in interface.routes_of(family)]
    behind = topology.hosts_behind(interface, family)
    words, left = [], addresses
    for network in networks:
        whole = AddressSet.from_prefixes(family, [network])
        hosts = whole & behind
        if hosts and hosts <= addresses:
            words.append(str(network))
            left = left - whole
    words += [str(prefix) for prefix in left.prefixes]
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"{', '.join(words[:SHOWN])}{more}"
