"""Peers that cannot be where an entry looks for them.

In: the interfaces of a policy.  Out: the addresses behind some of them, and findings where
a policy names peers that its interfaces do not lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pbrinit.net.addresses import AddressSet, Family, Prefix
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, Peers
from pbrinit.policy.problems import SHOWN, Problems
from pbrinit.policy.topology import Places


class Reach:
    """Where the interfaces of one policy lead to, in both families."""

    def __init__(self, interfaces: Iterable[Interface]) -> None:
        self.interfaces = tuple(interfaces)
        self._places = {family: Places(self.interfaces, family) for family in Family}

    def behind(self, interfaces: Iterable[Interface], family: Family) -> AddressSet:
        """The addresses that live behind any of `interfaces`, or may once one is given its own."""
        ways = tuple(interfaces)
        found = self._places[family].behind(*ways)
        if any(interface.waits(family) for interface in ways):
            found = found | self._places[family].elsewhere
        return found

    def families(self, peers: Peers, interfaces: Iterable[Interface]) -> frozenset[Family]:
        """The families in which any of `peers` lives behind any of `interfaces`."""
        ways = tuple(interfaces)
        return frozenset(f for f in Family if peers.of(f).meets(self.behind(ways, f)))

    def check(
        self,
        problems: Problems,
        key: str,
        peers: Peers,
        interfaces: Sequence[Interface],
        *,
        whole: bool,
    ) -> None:
        """Note peers that none of `interfaces` leads to: a mistake, not a wish.

        `whole` holds each prefix to it, which is too much for a set that only says who is
        not meant.
        """
        near = {family: self.behind(interfaces, family) for family in Family}
        lost = [
            prefix
            for family in Family
            if whole and near[family] and not peers.of(family) <= near[family]
            for prefix in peers.of(family).prefixes
            if not AddressSet.of(family, [prefix]).meets(near[family])
        ]
        names = ", ".join(interface.name for interface in interfaces)
        for one in lost[:SHOWN]:
            problems.add(
                key, f"{one} cannot be reached by {names}", self._whereabouts(one, interfaces)
            )
        if len(lost) > SHOWN:
            problems.add(key, f"nor can {len(lost) - SHOWN} more prefixes of it")
        if not lost and not self.families(peers, interfaces):
            some = "" if peers is ANYBODY else f" of {peers.text}"
            problems.add(key, f"nobody{some} is behind {names}", "docs/meaning.md, Who lives where")

    def _whereabouts(self, prefix: Prefix, interfaces: Iterable[Interface]) -> str:
        family = Family.of(prefix)
        for other in self.interfaces:
            if AddressSet.of(family, [prefix]).meets(self.behind([other], family)):
                return f"it is behind {other.name}"
        if any(interface.gateway(family) for interface in interfaces):
            return "no other host has such an address"
        return "no gateway there"
