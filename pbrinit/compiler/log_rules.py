"""Whom logged deny entries refuse: the rules by which the kernel is made to speak of it.

In: the `Ground` of one family, and an interface.  Out: rules in an `Assembly`, at the head of the
tail.  What comes there is refused anyway, so that they decide what is spoken of and let nothing
in: a prohibition instead of a blackhole, and `output` leads the kernel's word to this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pbrinit.compiler.assembler import Assembly, CompileError
from pbrinit.compiler.context import Ground
from pbrinit.compiler.emit import both, to_table
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.prefix_cover import Piece, pieces
from pbrinit.compiler.rectangles import Product, without
from pbrinit.compiler.set_tables import Use
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports, Protocol
from pbrinit.plan.plan import Action
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Deny, Policy
from pbrinit.policy.topology import Places

Asked = tuple[int | None, Ports | None]
"""Protocol and port of what is asked for, None being any."""

SPOKEN_OF = (Protocol.TCP, Protocol.UDP, Protocol.ICMP)
"""Of an entry without services, in IPv4. All of them would be ARP's as well: see `rules`."""


def write(code: Assembly, interface: Interface, ground: Ground) -> None:
    """The rules for what arrives by an interface.

    Raises CompileError where a set of sources is too large for rules.
    """
    found: dict[Asked, list[Product]] = {}
    for deny, product in named(ground.policy, ground.places, interface):
        for asked in _asked(deny, ground.family):
            found.setdefault(asked, []).append(product)
    for (protocol, ports), products in found.items():
        for product in without(products, ()):
            _prohibit(code, product, ground, iif=interface.device, protocol=protocol,
                      destination_ports=ports)  # fmt: skip


def named(policy: Policy, places: Places, interface: Interface) -> Iterator[tuple[Deny, Product]]:
    """Whom of those behind an interface each logged deny entry is about, and whom they ask: this
    machine, or those behind other interfaces. No user is among them: programs of this machine are
    told at once.
    """
    if interface not in places.interfaces:
        return
    family = places.family
    anyone = AddressSet.everything(family)
    others = [other for other in places.interfaces if other is not interface]
    there = places.behind(*others)
    for deny in policy.logged:
        sources = deny.sources.of(family) if deny.sources else anyone
        asked = deny.destinations.of(family) - places.own if deny.destinations else anyone
        reached = there if deny.destinations else there | places.own
        if interface not in deny.interfaces:
            asked = reached = asked & places.behind(*(i for i in others if i in deny.interfaces))
        if deny.user is None and sources.meets(places.behind(interface)) and asked.meets(reached):
            yield deny, Product(sources, asked, deny.key)


def _asked(deny: Deny, family: Family) -> Iterator[Asked]:
    """What the kernel is to speak of, of what is asked for."""
    for service in deny.services:
        yield service.number(family), service.ports
    if not deny.services:
        yield from ((number, None) for number in (SPOKEN_OF if family is Family.V4 else (None,)))


def _prohibit(code: Assembly, product: Product, ground: Ground, **selectors: Any) -> None:
    everybody = AddressSet.everything(ground.family)
    sources = pieces(product.sources, everybody)
    destinations = pieces(product.destinations, everybody)
    if len(sources) > FEW:
        raise CompileError(
            f"{product.keys}: routing cannot speak of so many sources; leave log out, or let from"
            f" have at most {FEW} prefixes"
        )

    def prohibit(**chosen: Any) -> None:
        code.add(Action.PROHIBIT, **chosen)

    then: Callable[..., None] = prohibit
    if len(destinations) > FEW:
        places = ground.places
        table = ground.tables.table(Use.PROHIBIT, places, product.destinations, everybody)
        then, destinations = to_table(code, table), (Piece(None, yes=True),)
    note = f"{product.keys}, logged"
    both(code, sources, destinations, then, (note, note), **selectors)
