"""What becomes of a packet, with the reason in words.

In: nothing (values only), or the `Trace` of a look-up.  Out: `Verdict`, which the model makes
and explain tells.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.addresses import Address
from pbrinit.fib import Trace
from pbrinit.plan import Rule


class Outcome(enum.Enum):
    """What becomes of a packet."""

    DELIVERED = "delivered to this machine"
    SENT = "sent"
    TURNED_BACK = "turned back"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Verdict:
    """What becomes of the packet, why in words, and the look-ups that were made, in order.

    `device` is the one that a packet which is sent leaves by, `source` what the kernel chose
    for a packet that had none.
    """

    outcome: Outcome
    why: str
    traces: tuple[Trace, ...] = ()
    device: str | None = None
    source: Address | None = None

    @property
    def allowed(self) -> bool:
        """Whether the packet gets where it was to go."""
        return self.outcome in (Outcome.DELIVERED, Outcome.SENT)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that gave the verdict: the last of each look-up."""
        return tuple(trace.rule for trace in self.traces if trace.rule is not None)


def dropped(why: str, *traces: Trace) -> Verdict:
    """The packet goes nowhere, for this reason."""
    return Verdict(Outcome.DROPPED, why, traces)


def refused(trace: Trace) -> str:
    """Why a look-up that found no route did not."""
    if trace.rule is None:
        return "no rule takes it"
    return f"refused by the rule {trace.rule.preference}: {trace.rule.note}"


def not_ours(trace: Trace) -> str:
    """Why an input look-up does not deliver."""
    if trace.hit is None:
        return refused(trace)
    return "not for this machine, which passes nothing on"


def no_way_back(back: Trace) -> str:
    """Why the return path check fails."""
    found = f"it is {back.hit.kind.value}" if back.hit else refused(back)
    return f"the return path check fails: {found}"
