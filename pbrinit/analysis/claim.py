"""A statement about a plan that needs no packet, and what shows the contrary.

In: nothing (values only).  Out: `Claim`, which `wellformed` makes and `prover` gives with the
proof's own findings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flaw:
    """One part of a plan that a statement does not hold for, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True)
class Claim:
    """A statement in words. It holds where there are no flaws."""

    text: str
    flaws: tuple[Flaw, ...]

    @property
    def protocols(self) -> frozenset[int]:
        """It is about the plan, whatever the protocol."""
        return frozenset()

    def __str__(self) -> str:
        return self.text
