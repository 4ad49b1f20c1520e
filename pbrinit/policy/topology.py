"""Who lives where: the addresses behind each interface of a policy, in one family.

In: the interfaces and a `Family`.  Out: `Places`.  docs/meaning.md has the definition.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property
from ipaddress import IPv4Network

from pbrinit.net.addresses import AddressSet, Family, Prefix, holds
from pbrinit.net.special_addresses import NO_HOST
from pbrinit.policy.interfaces import Interface

LAST_WITH_BROADCAST = 30
"""The longest IPv4 prefix that has a broadcast address (RFC 3021)."""


class Places:
    """The addresses behind each interface, in one family; behind none are those that rooms have
    `inside` of the machine.
    """

    def __init__(
        self, interfaces: Iterable[Interface], family: Family, inside: Iterable[Prefix] = ()
    ) -> None:
        self.family = family
        self.inside = tuple(inside)
        self.interfaces = tuple(i for i in interfaces if i.own(family))
        self.told_apart = cache(self._told_apart)
        self._behind = {interface.name: self._find(interface) for interface in self.interfaces}

    @cached_property
    def own(self) -> AddressSet:
        """This machine's own addresses."""
        found = (a.ip for interface in self.interfaces for a in interface.own(self.family))
        return AddressSet.of(self.family, found)

    @property
    def nobody(self) -> tuple[Prefix, ...]:
        """What is no one host's address beyond this machine."""
        return (*NO_HOST[self.family], *self.inside)

    @cached_property
    def broadcasts(self) -> tuple[Prefix, ...]:
        """The broadcast addresses of the interfaces' IPv4 prefixes."""
        return tuple(
            IPv4Network(network.broadcast_address)
            for interface in self.interfaces
            for network in self.links(interface)
            if isinstance(network, IPv4Network) and network.prefixlen <= LAST_WITH_BROADCAST
        )

    def links(self, interface: Interface) -> tuple[Prefix, ...]:
        """The prefixes of an interface's own addresses."""
        return tuple(dict.fromkeys(a.network for a in interface.own(self.family)))

    @cached_property
    def prefixes(self) -> tuple[tuple[Prefix, Interface], ...]:
        """The prefixes of all links, and those beyond routers of these, each with its interface.
        No two are the same; of those that hold an address the longest decides.
        """
        return tuple(
            (prefix, interface)
            for interface in self.interfaces
            for prefix in (
                *self.links(interface),
                *(route.prefix for route in interface.routed(self.family)),
            )
        )

    def _told_apart(self, interface: Interface) -> tuple[tuple[Prefix, Interface], ...]:
        """By which prefixes those behind an interface are told from all others, and behind which
        those in one live; the first that holds an address decides, and where none does, whether
        the gateway is here.
        """
        asked: list[tuple[int, Prefix, Interface]] = []
        default = interface.gateway(self.family) is not None
        for prefix, owner in self.prefixes:
            wider = [(p, i) for p, i in self.prefixes if p != prefix and holds(p, prefix)]
            around = max(wider, key=lambda each: each[0].prefixlen, default=None)
            here = default if around is None else around[1] is interface
            if here != (owner is interface):
                asked.append((len(wider), prefix, owner))
        asked.sort(key=lambda each: -each[0])
        return tuple((prefix, owner) for _, prefix, owner in asked)

    def behind(self, *interfaces: Interface) -> AddressSet:
        """Everybody who lives behind one of these."""
        found = AddressSet(self.family)
        for interface in interfaces:
            found = found | self._behind.get(interface.name, AddressSet(self.family))
        return found

    @cached_property
    def everybody(self) -> AddressSet:
        """Everybody who can be reached at all."""
        return self.behind(*self.interfaces)

    @cached_property
    def elsewhere(self) -> AddressSet:
        """Everybody who may live somewhere, but those whom prefixes put behind an interface."""
        near = (prefix for prefix, _ in self.prefixes)
        return ~AddressSet.of(self.family, (*near, *self.nobody))

    def _find(self, interface: Interface) -> AddressSet:
        found = AddressSet(self.family)
        if interface.gateway(self.family) is not None:
            found = AddressSet.everything(self.family)
        for prefix, owner in reversed(self.told_apart(interface)):
            there = AddressSet.of(self.family, [prefix])
            found = found | there if owner is interface else found - there
        nobody = AddressSet.of(self.family, (*self.nobody, *self.broadcasts))
        return found - nobody - self.own
