"""Expectations, as the file has them.

In: the document, and the names that it defines.  Out: `Expectation` values; what is wrong with one
is reported as a problem.
"""

from __future__ import annotations

from collections.abc import Sequence

from pbrinit.policy.policy import ANYBODY, Direction, Expectation
from pbrinit.policy.reader.document import TomlTable
from pbrinit.policy.reader.entries import check_ends, forward_interfaces
from pbrinit.policy.reader.keys import NO_USER
from pbrinit.policy.reader.names import SymbolTable


def read_expectations(symbols: SymbolTable, document: TomlTable) -> tuple[Expectation, ...]:
    """The expectations of the policy."""
    return tuple(
        _expectation(symbols, table.subtable(kind), always=kind == "always")
        for table in document.tables("expect")
        for kind in ("never", "always")
        if kind in table
    )


def _expectation(symbols: SymbolTable, table: TomlTable, *, always: bool) -> Expectation:
    directions = _directions(table)
    forward = Direction.FORWARD in directions
    _check_key_combination(table, directions)
    if always and "service" not in table:
        table.problems.report(
            table.key, "no policy allows every packet of every protocol", "name a service"
        )
    ingress, egress = (
        forward_interfaces(symbols, table) if forward else (symbols.interfaces_of(table, "on"), ())
    )
    sources, destinations = symbols.addresses_of(table, "from"), symbols.addresses_of(table, "to")
    room, user = symbols.room_of(table)
    if always and forward:
        check_ends(symbols, table, (sources or ANYBODY, ingress), (destinations or ANYBODY, egress))
    elif always:
        symbols.check_reachable(table, "from", sources, ingress)
        symbols.check_reachable(table, "to", destinations, ingress)
    return Expectation(
        key=table.key,
        always=always,
        directions=tuple(directions),
        interfaces=ingress,
        egress_interfaces=egress,
        sources=sources or ANYBODY,
        destinations=destinations or ANYBODY,
        services=symbols.services_of(table),
        user=user,
        room=room,
        answers=table.flag("answers"),
    )


def _directions(table: TomlTable) -> Sequence[Direction]:
    """The directions that an expectation is about, by its keys."""
    if "in" in table or "out" in table or ("from" in table and "to" in table):
        return [Direction.FORWARD]
    if "from" in table:
        return [Direction.INPUT]
    if "to" in table or "user" in table or "run" in table:
        return [Direction.OUTPUT]
    return [Direction.INPUT, Direction.OUTPUT]


def _check_key_combination(table: TomlTable, directions: Sequence[Direction]) -> None:
    """Report keys that have no meaning beside the others."""
    if Direction.FORWARD in directions:
        if "on" in table:
            table.problems.report(
                table.path("on"),
                "is about this machine, and the other keys are about forwarded packets",
                "write in and out",
            )
        for key in ("user", "run"):
            if key in table:
                table.problems.report(table.path(key), NO_USER, f"leave the {key} out")
    elif Direction.INPUT in directions and "user" in table:
        table.problems.report(
            table.path("user"), "packets of other hosts have no user", "leave out user or from"
        )
