"""Rules that refuse packets with an ICMP error ("prohibited"), which a sender or the log gets.

In: the `CompileContext` of one family, and a rectangle of addresses.  Out: rules in its assembler.
Other packets go on to what is written next.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pbrinit.compiler.assembler import CompileError, Note
from pbrinit.compiler.context import CompileContext
from pbrinit.compiler.emit import emit_pairs, lookup_action
from pbrinit.compiler.layout import FEW
from pbrinit.compiler.prefix_cover import ANY_ADDRESS, cover
from pbrinit.compiler.rectangles import AddressPair
from pbrinit.compiler.set_tables import SetAction
from pbrinit.net.addresses import AddressSet
from pbrinit.plan.plan import Action


def prohibit(
    context: CompileContext,
    pair: AddressPair,
    within: tuple[AddressSet, AddressSet],
    purpose: str,
    note: Note,
    **selectors: Any,
) -> None:
    """Prohibit the packets of a rectangle. `within` are all sources and all destinations that get
    here, `selectors` what else the rules match. Many destinations become a table.

    Raises CompileError where there are too many sources for rules; it calls the keys of the entry
    that want this `purpose`.
    """
    code = context.code
    sources, destinations = cover(pair.sources, within[0]), cover(pair.destinations, within[1])
    if len(sources) > FEW:
        raise CompileError(
            f"{', '.join(pair.keys)}: rules cannot {purpose} so many sources; leave {purpose} out,"
            f" or let from have at most {FEW} prefixes"
        )
    then: Callable[..., None] = partial(code.add, Action.PROHIBIT)
    if len(destinations) > FEW:
        table = context.tables.table(
            SetAction.PROHIBIT, context.topology, pair.destinations, within[1]
        )
        then, destinations = lookup_action(code, table), ANY_ADDRESS
    emit_pairs(code, sources, destinations, then, (note, note), **selectors)
