"""Static routes: prefixes that are reached through a router of a link, as the file has them.

In: the table of an interface, and its addresses.  Out: `StaticRoute` values; what is wrong with
one, or between it and other interfaces, is reported as a problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_network

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix, family_of, holds
from pbrinit.net.special_addresses import NO_HOST
from pbrinit.policy.interfaces import ASSIGNED_BY, Interface, StaticRoute
from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.document import TomlTable
from pbrinit.policy.reader.scalars import ScalarError, address, block

FORM = 'such as "10.1.0.0/16 via 10.0.0.254"'
DEFAULT = {Family.V4: "0.0.0.0/0", Family.V6: "::/0"}
ON_LINK = "an address in the prefix of a link is on that link"


def read_routes(
    table: TomlTable, addresses: Iterable[InterfaceAddress], dynamic: Iterable[Family]
) -> tuple[StaticRoute, ...]:
    """The routes of one interface. Where its IPv4 address is dynamic, IPv4 routes come with it."""
    routes, key = table.scalars("route", route), table.path("route")
    for static in routes:
        if family_of(static.prefix) is Family.V4 and Family.V4 in dynamic:
            hint = f"{ASSIGNED_BY[Family.V4]} routes come with the address"
            table.problems.report(key, f"{static} is set", hint)
        elif static.via is not None:
            check_router(table.problems, key, static.via, addresses, dynamic)
    return tuple(routes)


def route(text: str) -> StaticRoute:
    """Parse a prefix and its router, as ip-route(8) writes them.

    Raises ScalarError.
    """
    words = text.split()
    if len(words) != 3 or words[1] != "via":  # noqa: PLR2004
        raise ScalarError(f'"{text}" is not a route', FORM)
    router = address(words[2])
    destination = DEFAULT[family_of(router)] if words[0] == "default" else words[0]
    family, first, last = block(destination)
    prefix = family.prefix(first, family.bits - (last - first).bit_length())
    if family_of(router) is not family:
        raise ScalarError(f"{text} is of two families", "prefix and router have the same family")
    if not prefix.prefixlen:
        raise ScalarError(f"{text} is the default route", f'write gateway = "{router}"')
    for reserved in NO_HOST[family]:
        if prefix.overlaps(reserved):
            raise ScalarError(
                f"{prefix} contains some of {reserved}, and no router leads to such addresses"
            )
    return StaticRoute(prefix, router)


def to_routers(
    routers: Iterable[Address | None], addresses: Iterable[InterfaceAddress]
) -> tuple[StaticRoute, ...]:
    """A route on the link to each router that is in no prefix of the interface's addresses: where
    an address is alone in its prefix, its routers are all beyond.
    """
    own = tuple(addresses)
    beyond = (
        router
        for router in routers
        if _is_beyond(router, own) and not any(router in address.network for address in own)
    )
    hosts = (ip_network(router) for router in dict.fromkeys(beyond) if router is not None)
    return tuple(StaticRoute(prefix, None) for prefix in hosts)


def _is_beyond(router: Address | None, own: Iterable[InterfaceAddress]) -> bool:
    """Whether a router may be beyond the prefixes of a link: it is a host's address, and an address
    of its family is alone in its prefix, as clouds assign them.
    """
    if router is None or any(router in reserved for reserved in NO_HOST[family_of(router)]):
        return False
    return any(
        address.version == router.version and address.network.num_addresses == 1 for address in own
    )


def check_router(
    problems: Problems,
    key: str,
    router: Address,
    addresses: Iterable[InterfaceAddress],
    dynamic: Iterable[Family],
) -> None:
    """Report a router that cannot be on a link with these addresses. Any link that has IPv6 can
    have a router with a link-local address (fe80::/10). An address with a full-length prefix can
    have any router.
    """
    own = tuple(addresses)
    has_ipv6 = Family.V6 in dynamic or any(family_of(address) is Family.V6 for address in own)
    link_local = isinstance(router, IPv6Address) and router.is_link_local and has_ipv6
    in_prefix = any(router in address.network for address in own)
    if not link_local and not in_prefix and not _is_beyond(router, own):
        problems.report(key, f"{router} is in no prefix of this interface's addresses")
    if any(router == address.ip for address in own):
        problems.report(key, f"{router} is this machine's own address")
    if any(_is_network_or_broadcast(router, address) for address in own):
        problems.report(key, f"{router} is a network address or a broadcast address")


def check_routes_together(problems: Problems, interfaces: Iterable[Interface]) -> None:
    """Report routes to prefixes inside of a link's prefix, and two routes to one prefix."""
    all_interfaces = tuple(interfaces)
    routers: dict[Prefix, str] = {}
    for interface in all_interfaces:
        key = f"interface.{interface.name}.route"
        for static in interface.routes:
            for other in all_interfaces:
                for own in other.addresses_of(family_of(static.prefix)):
                    if holds(own.network, static.prefix):
                        problems.report(
                            key, f"{static.prefix} is inside of {other.name}'s {own}", ON_LINK
                        )
            if static.prefix in routers:
                router = routers[static.prefix]
                problems.report(key, f"{static.prefix} has another router too: {router}")
            routers[static.prefix] = f"{interface.name}'s {static.via or 'own link'}"


def _is_network_or_broadcast(router: Address, own: InterfaceAddress) -> bool:
    """Whether it is the first or last address of an IPv4 prefix, but for /31 and /32 (RFC 3021)."""
    network = own.network
    ends = (network.network_address, network.broadcast_address)
    return network.version == Family.V4.version and network.num_addresses > 2 and router in ends  # noqa: PLR2004
