"""What arrives by one interface to be passed on to another.

In: the `Ground` of one family.  Out: rules in an `Assembly`.

Each packet that is passed on is looked up twice in IPv4: as it is, and by the return path check
turned round, as if it came by the interface that it leaves by (ip_mkroute_input,
__fib_validate_source).  Since answers are allowed wherever questions are, the second look-up is
about the same exchange.  So a set of sources that is too large for rules is left to the second
look-up, where it is a set of destinations.  IPv6 has routes by source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pbrinit.compiler.assembler import Assembly, CompileError, Label
from pbrinit.compiler.context import Ground
from pbrinit.compiler.emit import both, by_protocol, to_table
from pbrinit.compiler.flowspec import Claim, Role
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.port_tree import protocols, region
from pbrinit.compiler.prefix_cover import Piece, pieces
from pbrinit.compiler.rectangles import Product, mixed, without
from pbrinit.compiler.set_tables import Hop, Use, hops
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.plan.plan import TABLE_MAIN, Action
from pbrinit.policy.interfaces import Interface


@dataclass(frozen=True)
class _Leaf:
    """What may pass, and of what that may not the kernel speaks before all else: to its sender, or
    to the log where a look-up would take it along that leaves the source to the second one.
    """

    allowed: tuple[Product, ...]
    rejected: tuple[Product, ...]
    denied: str


class Passing:
    """Writes what is forwarded from one interface."""

    def __init__(self, code: Assembly, interface: Interface, ground: Ground) -> None:
        places, claims = ground.places, ground.claims
        self._code = code
        self._interface = interface
        self._places = places
        self._claims = tuple(claims.passing(interface)) if claims.forwards else ()
        self._tables = ground.tables
        self._family = places.family
        self._start = Label(f"passes on from {interface.name}")
        self._sources = places.behind(interface)
        others = (other for other in places.interfaces if other is not interface)
        self._destinations = places.behind(*others)

    def dispatch(self, refused: Label) -> None:
        """To whom anything may be passed on: to those behind the other interfaces."""
        code, places = self._code, self._places
        if not protocols(self._claims):
            code.goto(refused, note="not for us")
            return
        own = places.own.prefixes
        nobody = places.nobody if self._family is Family.V6 else places.inside
        for destination in (*own, *places.broadcasts, *nobody):
            code.goto(refused, destination=destination, note="no one host beyond us")
        for destination, owner in places.told_apart(self._interface):
            if owner is self._interface:
                code.goto(refused, destination=destination, note="behind this interface itself")
            else:
                code.goto(self._start, destination=destination, note="to be passed on")
        if self._interface.gateway(self._family) is None:
            code.goto(self._start, note="to be passed on")
        else:
            code.goto(refused, note="behind this interface itself")

    def write(self, refused: Label) -> None:
        """The rules that `dispatch` leads to."""
        code = self._code
        if not protocols(self._claims):
            return
        code.mark(self._start)
        code.add(Action.NOP, note="to be passed on")

        def leaf(found: _Leaf) -> None:
            self._write_leaf(found, refused)

        def unnamed() -> None:
            leaf(region(self._claims, None, self._leaf).others.others)

        device = self._interface.device
        by_protocol(code, self._claims, self._leaf, leaf, unnamed, within="passes",
                    iif=device, note="to be passed on")  # fmt: skip

    def _leaf(self, claims: tuple[Claim, ...]) -> _Leaf:
        """Allowed is what is left of each product; who is allowed something as an answer is not
        told that he may not ask.
        """
        left: list[Product] = []
        for answer in (False, True):
            allow, deny = (
                [Product(c.sources, c.destinations, c.key) for c in claims
                 if c.role in roles and c.answer is answer and c.sources and c.destinations]
                for roles in ((Role.ALLOW,), (Role.DENY, Role.REJECT))
            )  # fmt: skip
            left += without(allow, deny)
        allowed = without(left, ())
        undecided = any(len(self._source_pieces(product)) > FEW for product in allowed)
        reject = [Product(c.sources, c.destinations, c.key) for c in claims
                  if (c.role is Role.REJECT or (c.log and undecided))
                  and c.sources and c.destinations]  # fmt: skip
        given = any(c.role is Role.ALLOW for c in claims)
        denying = dict.fromkeys(c.key for c in claims if c.role in (Role.DENY, Role.REJECT))
        return _Leaf(allowed, without(reject, allowed), ", ".join(denying) if given else "")

    def _write_leaf(self, leaf: _Leaf, refused: Label) -> None:
        """Who is told comes first: a look-up that leaves the source to the second one would take
        his packets along, and drop them there in silence.
        """
        self._refuse_mixed(leaf.allowed)
        for product in leaf.rejected:
            self._reject(product)
        for product in sorted(leaf.allowed, key=self._is_large):
            self._allow(product, leaf.denied)
        self._code.goto(refused, note=leaf.denied or "not allowed")

    def _source_pieces(self, product: Product) -> tuple[Piece, ...]:
        return pieces(product.sources, self._sources)

    def _destination_pieces(self, product: Product) -> tuple[Piece, ...]:
        return pieces(product.destinations, self._destinations)

    def _is_large(self, product: Product) -> bool:
        """Whether both of its sides are too large for rules."""
        sides = (self._source_pieces(product), self._destination_pieces(product))
        return all(len(found) > FEW for found in sides)

    def _many_behind(self, product: Product) -> bool:
        """Whether its destinations are too many for rules where they are the sources."""
        others = (i for i in self._places.interfaces if i is not self._interface)
        behind = (self._places.behind(interface) for interface in others)
        return any(len(pieces(product.destinations & there, there)) > FEW for there in behind)

    def _refuse_mixed(self, products: tuple[Product, ...]) -> None:
        """In IPv4 a large set of sources and a large set of destinations are decided by two
        look-ups that know nothing of each other; in IPv6 a table of sources ends the rest.
        """
        if self._family is Family.V4:
            sources = [p for p in products if len(self._source_pieces(p)) > FEW]
            found = mixed(sources, [p for p in products if self._many_behind(p)], products)
        else:
            large = [p for p in products if self._is_large(p)]
            found = (large[0], large[1]) if len(large) > 1 else None
        if found:
            keys = " and ".join(dict.fromkeys(product.keys for product in found))
            raise CompileError(
                f"{keys}: large sets of sources and of destinations for the same service, which"
                f" routing would mix in IPv{self._family.version}; give them the same sources,"
                " the same destinations, or other services"
            )

    def _allow(self, product: Product, denied: str) -> None:
        code, notes = self._code, (product.keys, denied)
        sources, destinations = self._source_pieces(product), self._destination_pieces(product)
        if len(sources) > FEW and self._family is Family.V6:
            if len(destinations) <= FEW:
                self._by_source(product, notes)
                return
            table = self._table(Use.ONLY_FROM, product.sources, self._sources)
            code.add(Action.LOOKUP, table, iif=self._interface.device, note=product.keys)
        then = to_table(code, TABLE_MAIN)
        if len(destinations) > FEW:
            table = self._table(Use.TOWARDS, product.destinations, self._destinations)
            then, destinations = to_table(code, table), (Piece(None, yes=True),)
        if len(sources) > FEW:
            sources = (Piece(None, yes=True),)
        self._choose(sources, destinations, then, notes)

    def _choose(
        self,
        sources: tuple[Piece, ...],
        destinations: tuple[Piece, ...],
        then: Callable[..., None],
        notes: tuple[str, str],
    ) -> None:
        """Rules that do `then` for packets from the one to the other; others pass by."""
        both(self._code, sources, destinations, then, notes, iif=self._interface.device)

    def _by_source(self, product: Product, notes: tuple[str, str]) -> None:
        """IPv6: for each way out the few destinations there, and a table of the many sources. These
        tables lead everybody out, so that who lives nowhere is to be told apart as well.
        """
        anywhere = (Piece(None, yes=True),)
        places = self._places
        settled = AddressSet.of(self._family, (*places.nobody, *places.broadcasts))
        matter = ~(places.behind(self._interface) | places.own | settled)
        for hop, there in hops(places):
            found = pieces(product.destinations & there, matter)
            if found:
                table = self._table(Use.VIA_FROM, product.sources, self._sources, hop)
                self._choose(anywhere, found, to_table(self._code, table), notes)

    def _reject(self, product: Product) -> None:
        sources, destinations = self._source_pieces(product), self._destination_pieces(product)
        if len(sources) > FEW:
            raise CompileError(
                f"{product.keys}: routing cannot speak of so many sources; leave reject or log"
                f" out, or let from have at most {FEW} prefixes"
            )

        def prohibit(**selectors: Any) -> None:
            self._code.add(Action.PROHIBIT, **selectors)

        then: Callable[..., None] = prohibit
        if len(destinations) > FEW:
            table = self._table(Use.PROHIBIT, product.destinations, self._destinations)
            then, destinations = to_table(self._code, table), (Piece(None, yes=True),)
        self._choose(sources, destinations, then, (product.keys, product.keys))

    def _table(
        self, use: Use, meant: AddressSet, matter: AddressSet, hop: Hop | None = None
    ) -> int:
        return self._tables.table(use, self._places, meant, matter, hop)
