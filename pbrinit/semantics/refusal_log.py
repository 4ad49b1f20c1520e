"""What the log hears of, as a policy means it (docs/meaning.md).

In: a `Policy`, and where everybody lives.  Out: the boxes of packets that are logged where they are
refused, and of those that may be.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ANY_PORT, PROHIBITED
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import ROOT, Zone
from pbrinit.semantics.exchange import (
    PacketPattern,
    icmp_pattern,
    logged_patterns,
    service_patterns,
)
from pbrinit.semantics.header_space import HeaderSpace
from pbrinit.semantics.topology import Topology

FEW_PREFIXES = 8
"""Entries with more than so many prefixes are decided by tables, which refuse without a word."""


class RefusalLog:
    """The log of one policy."""

    def __init__(self, policy: Policy, topology: Topology) -> None:
        self._policy = policy
        self._topology = topology

    def logged(
        self, family: Family, ingress: Interface, there: AddressSet
    ) -> tuple[HeaderSpace, ...]:
        """What is logged where it is refused, of what those behind an interface ask of some."""
        return tuple(
            replace(space, pattern=pattern, sources=space.sources & behind, destinations=asked)
            for behind in [self._topology.hosts_behind(ingress, family)]
            for space in self.loggable(family, ingress)
            for asked in [space.destinations & there]
            if asked and space.sources.overlaps(behind)
            for pattern in logged_patterns(space.pattern, family)
        )

    def all_logged(
        self, family: Family, ingress: Interface, there: AddressSet
    ) -> tuple[HeaderSpace, ...]:
        """What is logged where it is refused, of what those behind an interface send to some, where
        the policy logs all.
        """
        behind = self._topology.hosts_behind(ingress, family)
        if not (self._policy.log and behind and there):
            return ()
        return tuple(
            HeaderSpace(pattern, behind, there, "log")
            for pattern in logged_patterns(PacketPattern(None), family)
        )

    @cache  # noqa: B019  it lives as long as the program
    def missed(self, family: Family) -> tuple[HeaderSpace, ...]:
        """What the log may miss although the policy logs all: where entries have large sets, what
        some entry names by its protocol and ports, whoever sends it.
        """
        if not self._policy.log or self._prefixes(family) <= FEW_PREFIXES:
            return ()
        anyone = AddressSet.everything(family)
        patterns = (
            pattern
            for entry in self._policy.all_allows
            for pattern in service_patterns(entry.services, family, ANY_PORT)
        )
        return tuple(
            HeaderSpace(form, anyone, anyone, "log")
            for pattern in dict.fromkeys(patterns)
            for form in dict.fromkeys((pattern, pattern.reversed))
        )

    def _prefixes(self, family: Family) -> int:
        """How many prefixes all entries have together, each set as itself or as what it leaves."""
        groups = [
            end for allow in self._policy.allows for end in (allow.sources, allow.destinations)
        ]
        groups += [end for deny in self._policy.denies for end in (deny.sources, deny.destinations)
                   if end is not None]  # fmt: skip
        sets = {group.in_family(family) for group in groups}
        return sum(min(found.prefix_count, (~found).prefix_count) for found in sets)

    @cache  # noqa: B019  it lives as long as the program
    def loggable(self, family: Family, ingress: Zone) -> tuple[HeaderSpace, ...]:
        """What the log may hear of, of what arrives by an interface: all that asks as a logged
        entry says, whoever it claims to be and wherever it is to go.
        """
        found: list[HeaderSpace] = []
        anyone = AddressSet.everything(family)
        own = self._topology.own_addresses(family)
        for deny in self._policy.logged if isinstance(ingress, Interface) else ():
            asking = deny.sources.in_family(family) if deny.sources else anyone
            asked = deny.destinations.in_family(family) - own if deny.destinations else anyone
            if ingress not in deny.interfaces:
                beyond = AddressSet(family)
                for egress in (i for i in deny.interfaces if i is not ingress):
                    beyond = beyond | self._topology.hosts_behind(egress, family)
                asked = asked & beyond
            if deny.user is None:
                found += [
                    HeaderSpace(pattern, asking, asked, deny.key)
                    for pattern in service_patterns(deny.services, family, ANY_PORT)
                ]
        return tuple(found)

    @cache  # noqa: B019  it lives as long as the program
    def log_only(self, family: Family) -> tuple[HeaderSpace, ...]:
        """What is sent to ourselves and yet is for nobody here but the log: in IPv4, where all who
        are refused are logged, the kernel's word about who claims to be us.
        """
        if family is Family.V6 or not self._policy.log:
            return ()
        own = self._topology.own_addresses(family)
        word = icmp_pattern(family, PROHIBITED[family])
        return (HeaderSpace(word, AddressSet.everything(family), own, "log", uid=ROOT),)
