"""The interfaces of a machine, with their addresses, gateways and routes.

In: nothing (values only).  Out: `Interface` and its parts.  `reader.interfaces` makes them from a
file.
"""

from __future__ import annotations

from dataclasses import dataclass

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix

GIVEN = {Family.V4: "by DHCP", Family.V6: "by router advertisement"}
"""How an address of a family is given to an interface on its link."""


@dataclass(frozen=True)
class Routed:
    """A prefix that lives beyond a router of a link, and that router's address there."""

    prefix: Prefix
    via: Address

    def __str__(self) -> str:
        return f"{self.prefix} via {self.via}"


@dataclass(frozen=True)
class Interface:
    """An interface that may be brought up; every other one stays down.

    Of the families in `asks` its address and gateway are given to it on its link: IPv4's by DHCP,
    IPv6's by router advertisement. `addresses`, `gateways` and `routes` have what is given for as
    long as it is (`configured`).
    """

    name: str
    device: str
    mac: str | None
    addresses: tuple[InterfaceAddress, ...]
    gateways: tuple[Address, ...]
    asks: frozenset[Family] = frozenset()
    routes: tuple[Routed, ...] = ()

    def waits(self, family: Family) -> bool:
        """Whether it is still to be given its address of the family."""
        return family in self.asks and not self.own(family)

    def speaks(self, family: Family) -> bool:
        """Whether anything of the family passes by it, if only what asks for an address."""
        return family in self.asks or bool(self.own(family))

    @property
    def label(self) -> str:
        """What it is called where rooms are spoken of as well."""
        return self.name

    def own(self, family: Family) -> tuple[InterfaceAddress, ...]:
        """The addresses of one family."""
        return tuple(a for a in self.addresses if a.version == family.version)

    def routes_of(self, family: Family) -> tuple[Routed, ...]:
        """The routes of one family, as they are written."""
        return tuple(route for route in self.routes if route.via.version == family.version)

    def routed(self, family: Family) -> tuple[Routed, ...]:
        """The same, for as long as there is an address of the family: before nobody lives there."""
        return self.routes_of(family) if self.own(family) else ()

    def gateway(self, family: Family) -> Address | None:
        """The gateway of one family, where there is one."""
        return next((g for g in self.gateways if g.version == family.version), None)
