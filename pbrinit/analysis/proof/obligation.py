"""A claim about all packets of one kind, as it is put to z3.

In: nothing (values only).  Out: `Obligation`, which `obligations` makes and `prover` shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import z3

from pbrinit.analysis.conformance import Conformance
from pbrinit.net.addresses import Family

Conditions = list[z3.BoolRef]


@dataclass(frozen=True)
class Obligation:
    """One claim: that no packet of the kind is treated otherwise than it should be.

    `arrives` says whether it comes in; `device` is the one it comes in by, or that its socket is
    bound to.  `wrong` makes the conditions of a packet that shows the contrary, and `confirms`
    says whether a packet does, once it is judged.  `signature` is all that the claim rests on in
    the plan's rules: of two plans with the same tables it holds for both or for none.
    """

    family: Family
    about: str
    arrives: bool
    device: str | None
    protocols: frozenset[int]
    wrong: Callable[[], Conditions]
    confirms: Callable[[Conformance], bool]
    signature: Callable[[], object]

    def __str__(self) -> str:
        return f"IPv{self.family.version} {self.about}"

    def key(self) -> object:
        """The claim itself and all that it rests on."""
        return self.family, self.about, self.protocols, self.signature()
