"""Which addresses are behind which interface, in one family, as the compiler computes it.

In: the interfaces and a `Family`.  Out: `Topology`.  Definition: docs/meaning.md, "Which addresses
are behind which interface".  `semantics.topology` computes the same independently.
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


class Topology:
    """The addresses behind each interface, in one family. The inside addresses of rooms,
    `room_prefixes`, are behind none.
    """

    def __init__(
        self, interfaces: Iterable[Interface], family: Family, room_prefixes: Iterable[Prefix] = ()
    ) -> None:
        self.family = family
        self.room_prefixes = tuple(room_prefixes)
        self.interfaces = tuple(i for i in interfaces if i.addresses_of(family))
        self.discriminating_prefixes = cache(self._discriminating_prefixes)
        self._behind = {
            interface.name: self._hosts_behind(interface) for interface in self.interfaces
        }

    @cached_property
    def own_addresses(self) -> AddressSet:
        """The addresses of this machine."""
        addresses = (
            address.ip
            for interface in self.interfaces
            for address in interface.addresses_of(self.family)
        )
        return AddressSet.from_prefixes(self.family, addresses)

    @property
    def reserved(self) -> tuple[Prefix, ...]:
        """The prefixes whose addresses belong to no single host outside of this machine."""
        return (*NO_HOST[self.family], *self.room_prefixes)

    @cached_property
    def broadcasts(self) -> tuple[Prefix, ...]:
        """The broadcast addresses of the interfaces' IPv4 prefixes."""
        return tuple(
            IPv4Network(network.broadcast_address)
            for interface in self.interfaces
            for network in self.link_prefixes(interface)
            if isinstance(network, IPv4Network) and network.prefixlen <= LAST_WITH_BROADCAST
        )

    def link_prefixes(self, interface: Interface) -> tuple[Prefix, ...]:
        """The prefixes of an interface's own addresses."""
        return tuple(dict.fromkeys(a.network for a in interface.addresses_of(self.family)))

    @cached_property
    def prefixes(self) -> tuple[tuple[Prefix, Interface], ...]:
        """The prefixes of all links and of all routes, each with its interface. No two are the
        same; of those that contain an address the longest decides.
        """
        return tuple(
            (prefix, interface)
            for interface in self.interfaces
            for prefix in (
                *self.link_prefixes(interface),
                *(route.prefix for route in interface.active_routes(self.family)),
            )
        )

    def _discriminating_prefixes(
        self, interface: Interface
    ) -> tuple[tuple[Prefix, Interface], ...]:
        """The prefixes, longest first, that tell the addresses behind this interface from all
        others, each with the interface that its addresses are behind. The first one that contains
        an address decides; if none does, the address is here if the gateway is.
        """
        prefixes: list[tuple[int, Prefix, Interface]] = []
        has_gateway = interface.gateway(self.family) is not None
        for prefix, owner in self.prefixes:
            wider = [(p, i) for p, i in self.prefixes if p != prefix and holds(p, prefix)]
            longest = max(wider, key=lambda each: each[0].prefixlen, default=None)
            without_it = has_gateway if longest is None else longest[1] is interface
            if without_it != (owner is interface):
                prefixes.append((len(wider), prefix, owner))
        prefixes.sort(key=lambda each: -each[0])
        return tuple((prefix, owner) for _, prefix, owner in prefixes)

    def hosts_behind(self, *interfaces: Interface) -> AddressSet:
        """The addresses behind any of these interfaces."""
        hosts = AddressSet(self.family)
        for interface in interfaces:
            hosts = hosts | self._behind.get(interface.name, AddressSet(self.family))
        return hosts

    @cached_property
    def reachable(self) -> AddressSet:
        """The addresses behind any interface."""
        return self.hosts_behind(*self.interfaces)

    @cached_property
    def unassigned(self) -> AddressSet:
        """The addresses that a host can have and that no prefix puts behind an interface."""
        prefixes = (prefix for prefix, _ in self.prefixes)
        return ~AddressSet.from_prefixes(self.family, (*prefixes, *self.reserved))

    def _hosts_behind(self, interface: Interface) -> AddressSet:
        hosts = AddressSet(self.family)
        if interface.gateway(self.family) is not None:
            hosts = AddressSet.everything(self.family)
        for prefix, owner in reversed(self.discriminating_prefixes(interface)):
            addresses = AddressSet.from_prefixes(self.family, [prefix])
            hosts = hosts | addresses if owner is interface else hosts - addresses
        reserved = AddressSet.from_prefixes(self.family, (*self.reserved, *self.broadcasts))
        return hosts - reserved - self.own_addresses
