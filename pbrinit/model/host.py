"""A machine on which a plan is in force: what its kernel knows, ready to be asked.

In: a `Plan`.  Out: `Machine`, which the steps of the model share.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address

from pbrinit.model.fib import Fib
from pbrinit.net.addresses import Address, Family, InterfaceAddress, family_of
from pbrinit.plan.plan import Plan


class HostState:
    """Rules, tables, addresses and what is passed on.

    `link_local` gives the link-local address that the kernel made for a device; where it is
    not known, no destination in fe80::/64 is this machine's.
    """

    def __init__(self, plan: Plan, link_local: Mapping[str, IPv6Address]) -> None:
        self.fib = Fib(plan, link_local)
        self._links = {link.device: link for link in plan.links}
        self._own = {a.ip for link in plan.links for a in link.addresses} | set(link_local.values())
        self._dissects = {family: self.fib.dissects(family) for family in Family}
        self._passes_on = {
            (family, device): plan.forwards_from(family, device)
            for family in Family
            for device in self._links
        }

    def has(self, device: str) -> bool:
        """Whether the device is up."""
        return device in self._links

    def has_ipv6(self, device: str) -> bool:
        """Whether IPv6 is on where something arrives (`Link.has_ipv6`)."""
        return self._links[device].has_ipv6

    def owns(self, address: Address) -> bool:
        """Whether the address is one of this machine's."""
        return address in self._own

    def dissects(self, family: Family) -> bool:
        """Whether ports are read from packets that arrive (`Fib.dissects`)."""
        return self._dissects[family]

    def forwards_from(self, family: Family, device: str) -> bool:
        """Whether what arrives by the device may pass through (`Plan.forwards_from`)."""
        return self._passes_on[family, device]

    def addresses(self, device: str, family: Family) -> tuple[InterfaceAddress, ...]:
        """The device's addresses of a family, without those that the kernel made."""
        link = self._links.get(device)
        return tuple(a for a in link.addresses if a.version == family.version) if link else ()

    def first_address(self, device: str) -> Address | None:
        """inet_select_addr (net/ipv4/devinet.c): the device's own, else any other link's."""
        for name in (device, *self._links):
            for address in self.addresses(name, Family.V4):
                return address.ip
        return None

    def source(self, device: str | None, hop: Address) -> Address | None:
        """The address that the kernel chooses for a packet by a device to a next hop: the one
        whose prefix holds it, else the device's first (fib_info_update_nhc_saddr in
        net/ipv4/fib_semantics.c; for IPv6 an approximation of ipv6_dev_get_saddr).
        """
        devices = (device,) if device in self._links else tuple(self._links)
        found = [a for d in devices if d for a in self.addresses(d, family_of(hop))]
        near = next((a.ip for a in found if hop in a.network), None)
        return near or next((a.ip for a in found), None)
