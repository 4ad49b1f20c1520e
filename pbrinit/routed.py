"""Who lives beyond a router of a link, as the file has it.

In: the table of an interface, and its addresses.  Out: `Routed` values; what is wrong with one, or
between it and other interfaces, is noted.
"""

from __future__ import annotations

from collections.abc import Iterable

from pbrinit.addresses import Address, Family, InterfaceAddress, Prefix
from pbrinit.atoms import AtomError, address, block
from pbrinit.document import Node
from pbrinit.places import NOBODY
from pbrinit.problems import Problems
from pbrinit.ways import GIVEN, Interface, Routed

FORM = 'such as "10.1.0.0/16 via 10.0.0.254"'
EVERYBODY = ("default", "0.0.0.0/0", "::/0")
ALONE = "an address lives behind one interface, by one way"


def routes(
    node: Node, addresses: Iterable[InterfaceAddress], asks: Iterable[Family]
) -> tuple[Routed, ...]:
    """The routes of one interface; of a family in `asks` they come with its address."""
    found, key = node.atoms("route", route), node.path("route")
    for one in found:
        family = Family.of(one.via)
        if family in asks:
            node.problems.add(key, f"{one} is written", f"{GIVEN[family]} the way comes too")
        else:
            reached(node.problems, key, one.via, addresses)
    return tuple(found)


def route(text: str) -> Routed:
    """A prefix, and the router that leads there, as ip-route(8) has them.

    Raises AtomError.
    """
    words = text.split()
    if len(words) != 3 or words[1] != "via":  # noqa: PLR2004
        raise AtomError(f'"{text}" is no route', FORM)
    if words[0] in EVERYBODY:
        raise AtomError(f"{text} leads to everybody else", f'write gateway = "{words[2]}"')
    family, first, last = block(words[0])
    prefix = family.prefix(first, family.bits - (last - first).bit_length())
    hop = address(words[2])
    if Family.of(hop) is not family:
        raise AtomError(f"{text} is of two families", "each has routers of its own")
    if any(_holds(nobody, prefix) for nobody in NOBODY[family]):
        raise AtomError(f"{prefix} is nobody's beyond a router")
    return Routed(prefix, hop)


def reached(
    problems: Problems, key: str, hop: Address, addresses: Iterable[InterfaceAddress]
) -> None:
    """Note a router that no link with these addresses has."""
    own = tuple(addresses)
    if not any(hop in one.network for one in own):
        problems.add(key, f"{hop} is in no prefix of this interface's addresses")
    if any(hop == one.ip for one in own):
        problems.add(key, f"{hop} is this machine's own address")
    if any(_names_no_host(hop, one) for one in own):
        problems.add(key, f"{hop} is the network itself or its broadcast")


def side_by_side(problems: Problems, interfaces: Iterable[Interface]) -> None:
    """Note prefixes beyond a router that overlap with a link's, or with one another."""
    found = tuple(interfaces)
    known: list[tuple[Prefix, str]] = [
        (one.network, f"{interface.name}'s {one}")
        for interface in found
        for one in interface.addresses
    ]
    for interface in found:
        for one in interface.routes:
            for prefix, whose in known:
                if _holds(prefix, one.prefix) or _holds(one.prefix, prefix):
                    problems.add(
                        f"interface.{interface.name}.route",
                        f"{one.prefix} overlaps with {whose}",
                        ALONE,
                    )
            known.append((one.prefix, f"{interface.name}'s route {one}"))


def _holds(wide: Prefix, narrow: Prefix) -> bool:
    """Whether all of a prefix is in another."""
    first = int(narrow.network_address) >> wide.max_prefixlen - wide.prefixlen
    near = int(wide.network_address) >> wide.max_prefixlen - wide.prefixlen
    return wide.version == narrow.version and wide.prefixlen <= narrow.prefixlen and first == near


def _names_no_host(hop: Address, own: InterfaceAddress) -> bool:
    """Whether it is the first or last address of an IPv4 prefix that has such (RFC 3021)."""
    network = own.network
    ends = (network.network_address, network.broadcast_address)
    return network.version == Family.V4.version and network.num_addresses > 2 and hop in ends  # noqa: PLR2004
