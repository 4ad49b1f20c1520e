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
from pbrinit.policy.programs import ROOT, Way
from pbrinit.semantics.exchange import asks, icmp, spoken
from pbrinit.semantics.header_space import Box
from pbrinit.semantics.topology import Whereabouts


class Hearing:
    """The log of one policy."""

    def __init__(self, policy: Policy, homes: Whereabouts) -> None:
        self._policy = policy
        self._homes = homes

    def logged(self, family: Family, way_in: Interface, there: AddressSet) -> tuple[Box, ...]:
        """What is logged where it is refused, of what those behind an interface ask of some."""
        return tuple(
            replace(box, form=form, sources=box.sources & behind, destinations=asked)
            for behind in [self._homes.behind(way_in, family)]
            for box in self.spoken_of(family, way_in)
            for asked in [box.destinations & there]
            if asked and box.sources.meets(behind)
            for form in spoken(box.form, family)
        )

    @cache  # noqa: B019  it lives as long as the program
    def spoken_of(self, family: Family, way_in: Way) -> tuple[Box, ...]:
        """What the log may hear of, of what arrives by an interface: all that asks as a logged
        entry says, whoever it claims to be and wherever it is to go.
        """
        found: list[Box] = []
        anyone = AddressSet.everything(family)
        own = self._homes.ours(family)
        for deny in self._policy.logged if isinstance(way_in, Interface) else ():
            asking = deny.sources.of(family) if deny.sources else anyone
            asked = deny.destinations.of(family) - own if deny.destinations else anyone
            if way_in not in deny.interfaces:
                beyond = AddressSet(family)
                for way_out in (i for i in deny.interfaces if i is not way_in):
                    beyond = beyond | self._homes.behind(way_out, family)
                asked = asked & beyond
            if deny.user is None:
                found += [Box(form, asking, asked, deny.key)
                          for form in asks(deny.services, family, ANY_PORT)]  # fmt: skip
        return tuple(found)

    @cache  # noqa: B019  it lives as long as the program
    def not_here(self, family: Family) -> tuple[Box, ...]:
        """What is sent to ourselves and yet is for nobody here but the log: in IPv4, where all who
        are refused are logged, the kernel's word about who claims to be us.
        """
        if family is Family.V6 or not self._policy.log:
            return ()
        own = self._homes.ours(family)
        word = icmp(family, PROHIBITED[family])
        return (Box(word, AddressSet.everything(family), own, "log", uid=ROOT),)
