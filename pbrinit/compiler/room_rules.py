"""The band of one room: what the program in it sends.

In: the `Ground` of one family.  Out: rules in an `Assembly`.

To the machine it is what arrives to be passed on: no socket, no user, no device that it could be
bound to.  Multicast and broadcast are passed on by nobody.  The source decides by which interface
it may leave: the address that the machine has there, or, to another room, the one that only
exists inside.
"""

from __future__ import annotations

from pbrinit.compiler import rooms
from pbrinit.compiler.assembler import Assembly, Label
from pbrinit.compiler.context import Ground
from pbrinit.compiler.emit import Choice, among, by_protocol, to_table
from pbrinit.compiler.flowspec import Claim, Granted, Role, Shape, granted
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.prefix_cover import pieces
from pbrinit.compiler.set_tables import Use
from pbrinit.net.addresses import AddressSet, Prefix, host
from pbrinit.plan.plan import TABLE_MAIN, Action
from pbrinit.policy import room_addresses
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Run


class Departure:
    """Writes the band of one room."""

    def __init__(self, code: Assembly, run: Run, ground: Ground) -> None:
        self._code = code
        self._run = run
        self._policy = ground.policy
        self._places = ground.places
        self._claims = ground.claims
        self._tables = ground.tables
        self._family = ground.family

    def write(self) -> None:
        """All of the band."""
        code, family = self._code, self._family
        code.add(Action.NOP, note=f"from the room {self._run.name}")
        refused, inner = Label("refused"), Label("to other rooms")
        ways = [(i, Label(f"from the room by {i.name}")) for i in self._places.interfaces]
        for interface, label in ways:
            for address in interface.own(family):
                code.goto(label, source=host(address), note=f"from our address on {interface.name}")
        if self._between():
            mine = self._address(self._run)
            code.goto(inner, source=mine, note="from this room's address inside")
        code.goto(refused, note="from a foreign source")
        for interface, label in ways:
            code.mark(label)
            self._by_interface(interface, refused)
        code.mark(inner)
        self._inside(refused)
        code.mark(refused)
        code.add(Action.BLACKHOLE, note="refused")

    def _by_interface(self, interface: Interface, refused: Label) -> None:
        """To those who live behind the interface, and nobody else."""
        code, places, family = self._code, self._places, self._family
        claims = tuple(self._claims.departing(self._run, interface))
        for destination in (*places.own.prefixes, *places.nobody, *places.broadcasts):
            code.goto(refused, destination=destination, note="no one host's address")
        known = Label(f"to those behind {interface.name}")
        for destination, owner in places.told_apart(interface):
            if owner is interface:
                code.goto(known, destination=destination, note="lives there")
            else:
                code.goto(refused, destination=destination, note=f"lives behind {owner.name}")
        if interface.gateway(family) is None:
            code.goto(refused, note="lives elsewhere")
        code.mark(known)
        code.add(Action.NOP, note=f"to those behind {interface.name}")
        behind = places.behind(interface)

        def write(leaf: Granted) -> None:
            found = pieces(leaf.left, behind)
            device = self._run.device
            if len(found) <= FEW:
                choice = Choice(to_table(code, TABLE_MAIN), refused, leaf.keys, leaf.denied)
                among(code, found, "destination", choice, iif=device)
            else:
                table = self._tables.table(Use.TOWARDS, places, leaf.left, behind)
                code.add(Action.LOOKUP, table, iif=device, note=leaf.keys)
            code.goto(refused, note=leaf.denied or "not allowed")

        def unnamed() -> None:
            code.goto(refused, note="nothing of this protocol")

        by_protocol(code, claims, self._leaf, write, unnamed, within="leaves the room",
                    iif=self._run.device, note="leaves the room")  # fmt: skip

    def _leaf(self, claims: tuple[Claim, ...]) -> Granted:
        return granted(claims, self._family, lambda claim: claim.destinations)

    def _between(self) -> tuple[Claim, ...]:
        """What it asks of other rooms, and answers them."""
        claims = []
        for between in self._policy.betweens:
            for service in between.services:
                if service.ports is None:
                    raise AssertionError(f"{between.key}: {service} has no ports")
                asks = Shape(service.protocol, between.asking.clients, service.ports)
                for one, other, shape in (
                    (between.asking, between.asked, asks),
                    (between.asked, between.asking, asks.turned),
                ):
                    if one is self._run:
                        there = self._address(other)
                        claims.append(Claim(
                            Role.ALLOW, between.key, shape, AddressSet.everything(self._family),
                            AddressSet.of(self._family, (there,)), room=other,
                        ))  # fmt: skip
        return tuple(claims)

    def _address(self, run: Run) -> Prefix:
        return host(rooms.alone(room_addresses.address(self._policy, run, self._family)))

    def _inside(self, refused: Label) -> None:
        """From the address that only exists inside, to those of other rooms."""
        code, device = self._code, self._run.device

        def leaf(claims: tuple[Claim, ...]) -> tuple[tuple[Run, str], ...]:
            return tuple((claim.room, claim.key) for claim in claims if claim.room is not None)

        def write(found: tuple[tuple[Run, str], ...]) -> None:
            for run, key in found:
                code.add(Action.LOOKUP, rooms.table(self._policy, run), iif=device,
                         destination=self._address(run), note=key)  # fmt: skip
            code.goto(refused, note="not allowed")

        def unnamed() -> None:
            code.goto(refused, note="nothing of this protocol")

        by_protocol(code, self._between(), leaf, write, unnamed, within="to other rooms",
                    iif=device, note="to other rooms")  # fmt: skip
