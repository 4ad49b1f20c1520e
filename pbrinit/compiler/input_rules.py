"""The band of one interface: what arrives by it, for us or to be passed on.

In: the `Ground` of one family.  Out: rules in an `Assembly`.
docs/how-it-filters.md tells why each is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pbrinit.compiler import rooms
from pbrinit.compiler.assembler import Assembly, CompileError, Label
from pbrinit.compiler.context import Ground
from pbrinit.compiler.emit import Choice, among, by_protocol, to_table
from pbrinit.compiler.flowspec import Claim, Granted, Role, granted
from pbrinit.compiler.forward_rules import Passing
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.log_rules import SPOKEN_OF
from pbrinit.compiler.prefix_cover import pieces
from pbrinit.compiler.set_tables import Hop, Use
from pbrinit.net.addresses import AddressSet, Family, host
from pbrinit.net.services import Protocol
from pbrinit.net.special_addresses import (
    ALL_NODES,
    LINK_LOCAL,
    MAPPED,
    SOLICITED_NODE,
    UNSPECIFIED_6,
)
from pbrinit.plan.plan import TABLE_LOCAL, Action
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Run


@dataclass(frozen=True)
class _Leaf:
    """Whose packets are delivered, and into which room, None being the machine itself; and who of
    those that are refused is written down.
    """

    found: Granted
    room: Run | None
    logged: AddressSet


class Arrival:
    """Writes the band of one interface; what is refused goes to a label that is not its own."""

    def __init__(self, code: Assembly, interface: Interface, ground: Ground) -> None:
        self._code = code
        self._policy = ground.policy
        self._interface = interface
        self._places = ground.places
        self._claims = tuple(ground.claims.arriving(interface))
        self._passing = Passing(code, interface, ground)
        self._tables = ground.tables
        self._family = ground.family
        self._behind = ground.places.behind(interface)

    def write(self, refused: Label) -> None:
        """All of the band but its end."""
        code, interface = self._code, self._interface
        code.add(Action.NOP, note=f"arrives by {interface.name}")
        if not interface.own(self._family):
            if interface.waits(self._family) and self._family is Family.V6:
                self._near()
            code.goto(refused, note="this family is not spoken here")
            return
        known = Label("source known")
        self._head(known, refused)
        code.mark(known)
        code.add(Action.NOP, note="the source is known")
        if self._family is Family.V6:
            self._neighbours(refused)
        delivered = Label(f"for us by {interface.name}")
        for address in interface.own(self._family):
            code.goto(delivered, destination=host(address), note="for us")
        self._passing.dispatch(refused)
        code.mark(delivered)
        code.add(Action.NOP, note="for us")

        def leaf(found: _Leaf) -> None:
            self._write_leaf(found, refused)

        def unnamed() -> None:
            code.goto(refused, note="nothing of this protocol")

        by_protocol(code, self._claims, self._leaf, leaf, unnamed, within="for us",
                    iif=interface.device, note="for us")  # fmt: skip
        self._passing.write(refused)

    def _head(self, known: Label, refused: Label) -> None:
        """Nobody else has our address, nor one that lives behind another interface; by an
        interface without a gateway come only addresses of its own prefixes and its routes'.

        Where all that is refused is logged, so is this, but where others are told that they are
        rejected: who is forged would be.
        """
        code, places, family = self._code, self._places, self._family
        self._nobodys()
        for source, owner in places.told_apart(self._interface):
            if owner is self._interface:
                code.goto(known, source=source, note="lives here")
            else:
                self._forged(refused, source=source, note=f"forged: lives behind {owner.name}")
        if self._interface.gateway(family) is None:
            for source in (LINK_LOCAL, UNSPECIFIED_6) if family is Family.V6 else ():
                code.goto(known, source=source, note="of this link")
            self._forged(refused, note="forged: does not live here")

    def _forged(self, refused: Label, **selectors: Any) -> None:
        if self._policy.log and not any(deny.reject for deny in self._policy.denies):
            self._code.goto(refused, **selectors)
        else:
            self._code.add(Action.BLACKHOLE, **selectors)

    def _nobodys(self) -> None:
        """What nobody can be, wherever it comes from. Of our own address IPv4 alone speaks, where
        all that is refused is logged: its sockets do not hear it (`output`).
        """
        code, places, family = self._code, self._places, self._family
        spoken_of = SPOKEN_OF if self._policy.log and family is Family.V4 else ()
        for interface in places.interfaces:
            for address in interface.own(family):
                source, note = host(address), "forged: our own address"
                for protocol in spoken_of:
                    code.add(Action.PROHIBIT, source=source, protocol=protocol, note=note)
                code.add(Action.BLACKHOLE, source=source, note=note)
        if family is Family.V6:
            code.add(Action.BLACKHOLE, source=MAPPED, note="forged: IPv4 in IPv6's clothes")
        for source in places.inside:
            code.add(Action.BLACKHOLE, source=source, note="forged: it is a room's")

    def _near(self) -> None:
        """While there is no address but that of the link, ICMPv6 is heard from those on it."""
        code, device = self._code, self._interface.device
        self._nobodys()
        for source in (LINK_LOCAL, UNSPECIFIED_6):
            for destination in (SOLICITED_NODE, LINK_LOCAL):
                code.add(Action.LOOKUP, TABLE_LOCAL, iif=device, source=source,
                         destination=destination, protocol=Protocol.ICMPV6,
                         note="neighbour discovery")  # fmt: skip
        self._advertisements()

    def _advertisements(self) -> None:
        """What routers say to everybody."""
        self._code.add(Action.LOOKUP, TABLE_LOCAL, iif=self._interface.device, source=LINK_LOCAL,
                       destination=ALL_NODES, protocol=Protocol.ICMPV6,
                       note="router advertisements")  # fmt: skip

    def _neighbours(self, refused: Label) -> None:
        """ICMPv6 to ourselves is heard from everybody; nothing else is said across one link."""
        code, device = self._code, self._interface.device
        own = tuple(host(address) for address in self._interface.own(self._family))
        for destination in (*own, SOLICITED_NODE, LINK_LOCAL):
            code.add(Action.LOOKUP, TABLE_LOCAL, iif=device, destination=destination,
                     protocol=Protocol.ICMPV6, note="neighbour discovery, path MTU")  # fmt: skip
        if self._family in self._interface.asks:
            self._advertisements()
        for source in (LINK_LOCAL, UNSPECIFIED_6):
            code.goto(refused, source=source, note="no one host's address")

    def _leaf(self, claims: tuple[Claim, ...]) -> _Leaf:
        takers = {c.room for c in claims if c.role is Role.ALLOW and c.sources} or {None}
        found = granted(claims, self._family, lambda claim: claim.sources)
        if len(takers) > 1:
            raise CompileError(f"{found.keys}: the same packets would go to more than one room")
        logged = AddressSet(self._family)
        for claim in claims:
            logged = logged | claim.sources if claim.log else logged
        return _Leaf(found, takers.pop(), logged - found.left)

    def _write_leaf(self, leaf: _Leaf, refused: Label) -> None:
        """The few by their prefixes. A large set is decided in IPv4 by the return path, which is
        asked about every packet; in IPv6 by a table of routes by source.
        """
        code, device = self._code, self._interface.device
        found = pieces(leaf.found.left, self._behind)
        table = TABLE_LOCAL if leaf.room is None else rooms.table(self._policy, leaf.room)
        if len(found) <= FEW:
            choice = Choice(to_table(code, table), refused, leaf.found.keys, leaf.found.denied)
            among(code, found, "source", choice, iif=device)
        elif self._family is Family.V4:
            self._refuse_logged(leaf, refused)
            code.add(Action.LOOKUP, table, iif=device, note=leaf.found.keys)
        else:
            use = Use.LOCAL_FROM if leaf.room is None else Use.VIA_FROM
            hop = None if leaf.room is None else Hop(leaf.room.device)
            table = self._tables.table(use, self._places, leaf.found.left, self._behind, hop)
            code.add(Action.LOOKUP, table, iif=device, note=leaf.found.keys)
        code.goto(refused, note=leaf.found.denied or "not allowed")

    def _refuse_logged(self, leaf: _Leaf, refused: Label) -> None:
        """Who is written down comes first: the return path would drop him in silence."""
        code, found = self._code, pieces(leaf.logged, self._behind)
        if len(found) > FEW:
            raise CompileError(
                f"{leaf.found.denied}: routing cannot speak of so many sources; leave log out, or"
                f" let from have at most {FEW} prefixes"
            )
        after = Label("who is not written down")

        def refuse(**selectors: Any) -> None:
            code.goto(refused, **selectors)

        choice = Choice(refuse, after, leaf.found.denied, "not logged")
        among(code, found, "source", choice, iif=self._interface.device)
        code.mark(after)
