"""The interfaces of a machine, with their addresses, gateways and routes.

In: nothing (values only).  Out: `Interface` and its parts.  `reader.interfaces` makes them from a
file.
"""

from __future__ import annotations

from dataclasses import dataclass

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix

ASSIGNED_BY = {Family.V4: "by DHCP", Family.V6: "by router advertisement"}
"""How an interface is assigned an address of each family."""


@dataclass(frozen=True)
class StaticRoute:
    """A prefix that is reached through a router of a link, and the address of that router; None
    where the prefix is on the link itself.
    """

    prefix: Prefix
    via: Address | None

    def __str__(self) -> str:
        return f"{self.prefix} via {self.via}" if self.via else f"{self.prefix} on the link"


@dataclass(frozen=True)
class Interface:
    """An interface that may be brought up; every other one stays down.

    In `dynamic_families` its address and gateway are assigned at run time: in IPv4 by DHCP, in
    IPv6 by router advertisement. `addresses`, `gateways` and `routes` have what is assigned for as
    long as it is valid (`with_assignments`).
    """

    name: str
    device: str
    mac: str | None
    addresses: tuple[InterfaceAddress, ...]
    gateways: tuple[Address, ...]
    dynamic_families: frozenset[Family] = frozenset()
    routes: tuple[StaticRoute, ...] = ()
    arp_from: tuple[Prefix, ...] = ()
    """Who gets answers to ARP besides the hosts of its own IPv4 prefixes."""

    def __hash__(self) -> int:
        """No two interfaces of a policy have one device; this is asked for very often."""
        return hash(self.device)

    def awaiting_address(self, family: Family) -> bool:
        """Whether its address of the family is dynamic and not assigned yet."""
        return family in self.dynamic_families and not self.addresses_of(family)

    def has_family(self, family: Family) -> bool:
        """Whether it passes packets of the family, if only the requests for an address."""
        return family in self.dynamic_families or bool(self.addresses_of(family))

    @property
    def label(self) -> str:
        """Its name in texts that name rooms as well."""
        return self.name

    def addresses_of(self, family: Family) -> tuple[InterfaceAddress, ...]:
        """Its addresses of one family."""
        return tuple(a for a in self.addresses if a.version == family.version)

    def routes_of(self, family: Family) -> tuple[StaticRoute, ...]:
        """The routes of one family, as the policy has them."""
        return tuple(route for route in self.routes if route.prefix.version == family.version)

    def active_routes(self, family: Family) -> tuple[StaticRoute, ...]:
        """The routes of one family that are in force: none without an address of the family."""
        return self.routes_of(family) if self.addresses_of(family) else ()

    def source_for(self, router: Address | None, family: Family) -> Address | None:
        """The own address from which a router is reached: one whose prefix has it, else the first
        (fib_info_update_nhc_saddr, net/ipv4/fib_semantics.c).
        """
        own = self.addresses_of(family)
        near = (a.ip for a in own if router is not None and router in a.network)
        return next(near, own[0].ip if own else None)

    def gateway(self, family: Family) -> Address | None:
        """The gateway of one family, if there is one."""
        return next((g for g in self.gateways if g.version == family.version), None)
