"""Who lives beyond a router of a link, as the file has it.

In: the table of an interface, and its addresses.  Out: `Routed` values; what is wrong with one, or
between it and other interfaces, is noted.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix, holds
from pbrinit.net.special_addresses import NO_HOST
from pbrinit.policy.interfaces import GIVEN, Interface, Routed
from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.scalars import AtomError, address, block

FORM = 'such as "10.1.0.0/16 via 10.0.0.254"'
EVERYBODY = {Family.V4: "0.0.0.0/0", Family.V6: "::/0"}
ON_LINK = "who is in a link's prefix is on that link"


def routes(
    node: Node, addresses: Iterable[InterfaceAddress], asks: Iterable[Family]
) -> tuple[Routed, ...]:
    """The routes of one interface. Of IPv4 they come with its address where that does."""
    found, key = node.atoms("route", route), node.path("route")
    for one in found:
        if Family.of(one.via) is Family.V4 and Family.V4 in asks:
            hint = f"{GIVEN[Family.V4]} the way comes too"
            node.problems.add(key, f"{one} is written", hint)
        else:
            reached(node.problems, key, one.via, addresses, asks)
    return tuple(found)


def route(text: str) -> Routed:
    """A prefix, and the router that leads there, as ip-route(8) has them.

    Raises AtomError.
    """
    words = text.split()
    if len(words) != 3 or words[1] != "via":  # noqa: PLR2004
        raise AtomError(f'"{text}" is no route', FORM)
    hop = address(words[2])
    named = EVERYBODY[Family.of(hop)] if words[0] == "default" else words[0]
    family, first, last = block(named)
    prefix = family.prefix(first, family.bits - (last - first).bit_length())
    if Family.of(hop) is not family:
        raise AtomError(f"{text} is of two families", "each has routers of its own")
    if not prefix.prefixlen:
        raise AtomError(f"{text} leads to everybody else", f'write gateway = "{hop}"')
    for nobody in NO_HOST[family]:
        if prefix.overlaps(nobody):
            raise AtomError(f"{prefix} has some of {nobody}, which is nobody's beyond a router")
    return Routed(prefix, hop)


def reached(
    problems: Problems,
    key: str,
    hop: Address,
    addresses: Iterable[InterfaceAddress],
    asks: Iterable[Family],
) -> None:
    """Note a router that no link with these addresses has. By its address of the link alone
    (fe80::/10) any link can have it that speaks IPv6.
    """
    own = tuple(addresses)
    six = Family.V6 in asks or any(Family.of(one) is Family.V6 for one in own)
    near = isinstance(hop, IPv6Address) and hop.is_link_local and six
    if not near and not any(hop in one.network for one in own):
        problems.add(key, f"{hop} is in no prefix of this interface's addresses")
    if any(hop == one.ip for one in own):
        problems.add(key, f"{hop} is this machine's own address")
    if any(_names_no_host(hop, one) for one in own):
        problems.add(key, f"{hop} is the network itself or its broadcast")


def side_by_side(problems: Problems, interfaces: Iterable[Interface]) -> None:
    """Note prefixes beyond a router that are a link's, and those that are beyond two."""
    found = tuple(interfaces)
    seen: dict[Prefix, str] = {}
    for interface in found:
        key = f"interface.{interface.name}.route"
        for one in interface.routes:
            for other in found:
                for own in other.own(Family.of(one.via)):
                    if holds(own.network, one.prefix):
                        problems.add(key, f"{one.prefix} lies in {other.name}'s {own}", ON_LINK)
            if one.prefix in seen:
                problems.add(key, f"{one.prefix} is beyond another router too: {seen[one.prefix]}")
            seen[one.prefix] = f"{interface.name}'s {one.via}"


def _names_no_host(hop: Address, own: InterfaceAddress) -> bool:
    """Whether it is the first or last address of an IPv4 prefix that has such (RFC 3021)."""
    network = own.network
    ends = (network.network_address, network.broadcast_address)
    return network.version == Family.V4.version and network.num_addresses > 2 and hop in ends  # noqa: PLR2004
