"""Who lives where: docs/meaning.md, "Who lives where", as code.

In: a `Policy`.  Out: `Topology`: for each interface the addresses that this machine has there, and
those who live behind it.  The compiler has its own account of this, `policy.topology`.
"""

from __future__ import annotations

from functools import cache, cached_property
from ipaddress import IPv4Network, IPv6Network

from pbrinit.net.addresses import Address, AddressSet, Family, Prefix
from pbrinit.policy import room_addresses
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import AddressGroup, Policy
from pbrinit.policy.programs import Program

NEVER_BEHIND: dict[Family, tuple[Prefix, ...]] = {
    Family.V4: tuple(
        map(IPv4Network, ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"))
    ),
    Family.V6: tuple(
        map(IPv6Network, ("::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8"))
    ),
}
LONGEST_WITH_BROADCAST = 30


class Topology:
    """Who lives where under one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.addresses_of = cache(self._own)
        self.hosts_behind = cache(self._behind)
        self.routers = cache(self._routers)
        self.peers_behind = cache(self._peers)
        self.room_address = cache(self._inside)

    def _own(self, interface: Interface, family: Family) -> AddressSet:
        """This machine's addresses on an interface."""
        return AddressSet.from_prefixes(
            family, (address.ip for address in interface.addresses_of(family))
        )

    def own_addresses(self, family: Family) -> AddressSet:
        """This machine's addresses on all of its interfaces."""
        own = (a.ip for interface in self._policy.interfaces for a in interface.addresses)
        return AddressSet.from_prefixes(family, own)

    def _behind(self, interface: Interface, family: Family) -> AddressSet:
        """Those who live behind an interface."""
        if not interface.addresses_of(family):
            return AddressSet(family)
        found, decided = AddressSet(family), AddressSet(family)
        for prefix, owner in self._longest_first(family):
            there = AddressSet.from_prefixes(family, [prefix]) - decided
            found = found | there if owner is interface else found
            decided = decided | there
        if interface.gateway(family) is not None:
            found = found | ~decided
        return found - self._nowhere[family]

    def _longest_first(self, family: Family) -> list[tuple[Prefix, Interface]]:
        """The prefixes of links and of routes, each with its interface."""
        found: list[tuple[Prefix, Interface]] = []
        for interface in self._policy.interfaces:
            found += [(address.network, interface) for address in interface.addresses_of(family)]
            found += [(route.prefix, interface) for route in interface.active_routes(family)]
        return sorted(found, key=lambda each: -each[0].prefixlen)

    def _routers(
        self, interface: Interface, family: Family
    ) -> tuple[tuple[Address | None, AddressSet], ...]:
        """By whom those behind an interface are reached: the routers of its link, each with those
        beyond it, the gateway with all that are left; None stands for the link itself.
        """
        left = self.hosts_behind(interface, family)
        found: dict[Address | None, AddressSet] = {}
        routers = {route.prefix: route.via for route in interface.active_routes(family)}
        for prefix in (p for p, owner in self._longest_first(family) if owner is interface):
            router = routers.get(prefix)
            there = left & AddressSet.from_prefixes(family, [prefix])
            found[router] = found.get(router, AddressSet(family)) | there
            left = left - there
        gateway = interface.gateway(family)
        if gateway is not None:
            found[gateway] = found.get(gateway, AddressSet(family)) | left
        return tuple(found.items())

    def dhcp_servers(self, interface: Interface) -> AddressSet:
        """Those who may give an interface its IPv4 address: all but those behind the others."""
        family = Family.V4
        others = (p for p, owner in self._longest_first(family) if owner is not interface)
        return ~AddressSet.from_prefixes(family, others) - self._nowhere[family]

    def _peers(self, peers: AddressGroup, interface: Interface, family: Family) -> AddressSet:
        """Those of some peers who live behind an interface."""
        return peers.in_family(family) & self.hosts_behind(interface, family)

    def _inside(self, room: Program, family: Family) -> AddressSet:
        """The address of a room that exists inside alone."""
        return AddressSet.from_prefixes(
            family, [room_addresses.room_address(self._policy, room, family)]
        )

    @cached_property
    def _nowhere(self) -> dict[Family, AddressSet]:
        """Those who live behind no interface."""
        addresses = [a for interface in self._policy.interfaces for a in interface.addresses]
        ours: list[Prefix | Address] = [address.ip for address in addresses]
        ours += [
            a.network.broadcast_address
            for a in addresses
            if a.version == Family.V4.version and a.network.prefixlen <= LONGEST_WITH_BROADCAST
        ]
        return {
            family: AddressSet.from_prefixes(
                family,
                [
                    *ours,
                    *NEVER_BEHIND[family],
                    *room_addresses.reserved_prefixes(self._policy, family),
                ],
            )
            for family in Family
        }
