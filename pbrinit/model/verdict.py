"""What becomes of a packet, with the reason in words.

In: nothing (values only), or the `Trace` of a look-up.  Out: `Verdict`, which the model makes
and explain tells.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.model.fib import Trace
from pbrinit.net.addresses import Address
from pbrinit.net.packet import Packet
from pbrinit.plan.plan import Rule

BY_LOOPBACK = "led to loopback, where IPv6 has no way on"
"""Why IPv6 drops what has a unicast route by lo (fib6_is_reject, net/ipv6/route.c)."""

LOGGED = "refused: the kernel's own word about who was refused, told to ourselves"
"""What becomes of that word where it is led into loopback."""


class Outcome(enum.Enum):
    """What becomes of a packet."""

    DELIVERED = "delivered to this machine"
    FORWARDED = "passed on"
    SENT = "sent"
    LOOPED_BACK = "turned back"
    REJECTED = "dropped, and its sender is told"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Verdict:
    """What becomes of the packet, why in words, and the look-ups that were made, in order.

    `device` is the one that a packet leaves by, `source` what the kernel chose for a packet
    that had none.  `notice` is what the kernel has to tell the sender of a packet that it
    drops; it is sent only if its own verdict is that it is.
    """

    outcome: Outcome
    why: str
    traces: tuple[Trace, ...] = ()
    device: str | None = None
    source: Address | None = None
    icmp_error: IcmpError | None = None

    @property
    def allowed(self) -> bool:
        """Whether the packet gets where it was to go."""
        return self.outcome in (Outcome.DELIVERED, Outcome.FORWARDED, Outcome.SENT)

    @property
    def logged(self) -> bool:
        """Whether the log hears of it."""
        return self.icmp_error is not None and self.icmp_error.verdict.why == LOGGED

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that gave the verdict: the last of each look-up."""
        return tuple(trace.rule for trace in self.traces if trace.rule is not None)


@dataclass(frozen=True)
class IcmpError:
    """An ICMP error, and what becomes of it."""

    packet: Packet
    verdict: Verdict


def dropped(why: str, *traces: Trace) -> Verdict:
    """The packet goes nowhere, for this reason."""
    return Verdict(Outcome.DROPPED, why, traces)


def refused(trace: Trace) -> str:
    """Why a look-up that found no route did not."""
    if trace.rule is None:
        return "no rule takes it"
    hit = trace.steps[-1].hit
    by = "by the rule" if hit is None else f"by a route ({hit}) of the rule"
    note = f": {trace.rule.note}" if trace.rule.note else ""
    return f"refused {by} {trace.rule.preference}{note}"


def no_way_back(back: Trace) -> str:
    """Why the return path check fails."""
    found = f"it is {back.hit.type.word}" if back.hit else refused(back)
    return f"the return path check fails: {found}"
