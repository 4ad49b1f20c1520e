"""Who lives behind which interface (docs/meaning.md, "Who lives where").

In: the interfaces of a policy.  Out: the addresses behind some of them, and findings where
a policy names peers that its interfaces do not lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, ip_network

from pbrinit.addresses import Address, AddressSet, Family, InterfaceAddress, Prefix
from pbrinit.policy import Interface, Peers
from pbrinit.problems import SHOWN, Problems

NOBODYS = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
        "::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
LONGEST_WITH_BROADCAST = 30


class Reach:
    """Where the interfaces of one policy lead to."""

    def __init__(self, interfaces: Iterable[Interface]) -> None:
        self.interfaces = tuple(interfaces)
        self._behind: dict[tuple[str, Family], AddressSet] = {}
        for family in Family:
            own = (address for i in self.interfaces for address in i.own(family))
            nobody = AddressSet.of(family, [*NOBODYS, *_of_no_host(own)])
            networks = {
                interface.name: AddressSet.of(family, (a.network for a in interface.own(family)))
                for interface in self.interfaces
            }
            for interface in self.interfaces:
                if interface.gateway(family):
                    found = AddressSet.everything(family)
                    for name, network in networks.items():
                        found = found if name == interface.name else found - network
                else:
                    found = networks[interface.name]
                self._behind[interface.name, family] = found - nobody

    def behind(self, interfaces: Iterable[Interface], family: Family) -> AddressSet:
        """The addresses that live behind any of `interfaces`."""
        found = AddressSet(family)
        for interface in interfaces:
            found = found | self._behind[interface.name, family]
        return found

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
            if not AddressSet.of(family, [prefix]) & near[family]
        ]
        names = ", ".join(interface.name for interface in interfaces)
        for one in lost[:SHOWN]:
            problems.add(
                key, f"{one} cannot be reached by {names}", self._whereabouts(one, interfaces)
            )
        if len(lost) > SHOWN:
            problems.add(key, f"nor can {len(lost) - SHOWN} more prefixes of it")
        if not lost and not any(peers.of(family) & near[family] for family in Family):
            problems.add(key, f"nobody of {peers.text} is behind {names}", "see docs/meaning.md")

    def _whereabouts(self, prefix: Prefix, interfaces: Iterable[Interface]) -> str:
        family = Family.of(prefix)
        for other in self.interfaces:
            if AddressSet.of(family, [prefix]) & self.behind([other], family):
                return f"it is behind {other.name}"
        if any(interface.gateway(family) for interface in interfaces):
            return "no other host has such an address"
        return "no gateway there"


def _of_no_host(own: Iterable[InterfaceAddress]) -> Iterator[Address]:
    """Our own addresses, and the broadcasts of their prefixes (fib_add_ifaddr)."""
    for address in own:
        yield address.ip
        network = address.network
        if isinstance(network, IPv4Network) and network.prefixlen <= LONGEST_WITH_BROADCAST:
            yield network.broadcast_address
