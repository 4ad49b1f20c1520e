"""Addresses that are not behind the interfaces of the entry that names them.

In: the interfaces of a policy.  Out: the addresses behind some of them, and problems where an
entry names addresses that its interfaces do not lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pbrinit.net.addresses import AddressSet, Family, Prefix, family_of
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, AddressGroup
from pbrinit.policy.problems import SHOWN, Problems
from pbrinit.policy.topology import Topology

DEFINITION = 'docs/meaning.md, "Which addresses are behind which interface"'


class Reachability:
    """Which addresses the interfaces of one policy lead to, in both families."""

    def __init__(self, interfaces: Iterable[Interface]) -> None:
        self.interfaces = tuple(interfaces)
        self._topologies = {family: Topology(self.interfaces, family) for family in Family}

    def hosts_behind(self, interfaces: Iterable[Interface], family: Family) -> AddressSet:
        """The addresses behind any of `interfaces`, now or once a dynamic address is assigned."""
        ends = tuple(interfaces)
        hosts = self._topologies[family].hosts_behind(*ends)
        if any(interface.awaiting_address(family) for interface in ends):
            hosts = hosts | self._topologies[family].unassigned
        return hosts

    def families(self, group: AddressGroup, interfaces: Iterable[Interface]) -> frozenset[Family]:
        """The families in which some address of the group is behind one of `interfaces`."""
        ends = tuple(interfaces)
        return frozenset(
            family
            for family in Family
            if group.in_family(family).overlaps(self.hosts_behind(ends, family))
        )

    def check_each_reachable(
        self,
        problems: Problems,
        key: str,
        group: AddressGroup,
        interfaces: Sequence[Interface],
        *,
        each_prefix: bool,
    ) -> None:
        """Report addresses that are behind none of `interfaces`: that is a mistake.

        `each_prefix` checks every prefix of the group. A group that only says which addresses are
        excluded is checked as a whole.
        """
        behind = {family: self.hosts_behind(interfaces, family) for family in Family}
        unreachable = [
            prefix
            for family in Family
            if each_prefix and behind[family] and not group.in_family(family) <= behind[family]
            for prefix in group.in_family(family).prefixes
            if not AddressSet.from_prefixes(family, [prefix]).overlaps(behind[family])
        ]
        names = ", ".join(interface.name for interface in interfaces)
        for prefix in unreachable[:SHOWN]:
            hint = self._location(prefix, interfaces)
            problems.report(key, f"{prefix} cannot be reached by {names}", hint)
        if len(unreachable) > SHOWN:
            problems.report(key, f"nor can {len(unreachable) - SHOWN} more prefixes of it")
        if not unreachable and not self.families(group, interfaces):
            some = "" if group is ANYBODY else f" of {group.text}"
            problems.report(key, f"no address{some} is behind {names}", DEFINITION)

    def _location(self, prefix: Prefix, interfaces: Iterable[Interface]) -> str:
        family = family_of(prefix)
        for other in self.interfaces:
            behind = self.hosts_behind([other], family)
            if AddressSet.from_prefixes(family, [prefix]).overlaps(behind):
                return f"it is behind {other.name}"
        if any(interface.gateway(family) for interface in interfaces):
            return "no other host has such an address"
        return "no gateway there"
