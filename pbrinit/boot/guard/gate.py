"""The rule that leads every look-up to one of two sets of rules, and the set that lets nothing by.

In: a `Kernel`, plans whose rules are loaded.  Out: which of them is in force.  The gate is one rule
with preference 0, before all others: a look-up meets the old one or the new one, never a mixture.
It is needed only while two sets are there.  Source: fib_rules_lookup, fib_nl_newrule and
fib_nl_delrule in net/core/fib_rules.c: of rules with one preference the older one stands first,
and it is the first one that fits which is taken away, wherever its goto leads.
"""

from __future__ import annotations

import os
import struct
import time

from pbrinit.boot.network import rules
from pbrinit.boot.network.rules import FAMILIES, FRA_PRIORITY, FRA_TABLE, RTM_DELRULE, RULE
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pbrinit.wire.bootplan import BootPlan
    from pbrinit.wire.netlink.socket import Kernel

BLOCK_ALL = 40_000_000
"""Where the set begins that lets nothing by, beyond both places of plans."""

V4 = 2
RTM_NEWRULE = 32
NEW, REMOVE = 0x405, 0x5  # NLM_F_REQUEST | NLM_F_ACK, and NLM_F_CREATE, without NLM_F_EXCL
FR_ACT_TO_TBL, FR_ACT_GOTO, FR_ACT_BLACKHOLE, FR_ACT_PROHIBIT = 1, 2, 6, 8
FRA_IIFNAME, FRA_GOTO, FRA_OIFNAME = 3, 4, 17
LOOPBACK = b"lo\0"
GRACE_SECONDS = 0.02


def first_preference(plan: BootPlan, family: int) -> int:
    """Where the plan's rules of a family begin."""
    payloads = (message[HEADER.size :] for message in plan.rules)
    return min(rules.preference(payload) for payload in payloads if payload[0] == family)


def is_gate(payload: bytes) -> bool:
    """Whether a rule, as the kernel tells it, is a gate."""
    return rules.preference(payload) == 0 and RULE.unpack_from(payload)[7] == FR_ACT_GOTO


def point_gate(kernel: Kernel, family: int, target: int) -> None:
    """Have every look-up begin at this preference: the new gate stands behind the one that there
    may be, and is in force in the moment in which that one goes.

    Raises KernelError.
    """
    before = _count(kernel, family)
    kernel.apply([_gate(RTM_NEWRULE, family, target), *[_gate(RTM_DELRULE, family)] * before])


def remove_gate(kernel: Kernel, family: int) -> None:
    """Have every look-up begin at the lowest preference. Raises KernelError."""
    kernel.apply([_gate(RTM_DELRULE, family)] * _count(kernel, family))


def block_all(kernel: Kernel, plan: BootPlan) -> None:
    """Let nothing by, in both families; the plan lends its hairpins, which must be there.

    Raises KernelError.
    """
    for family in FAMILIES:
        messages = list(_block_all_rules(plan, family))
        present = {rules.preference(payload) for payload in _rules(kernel, family)}
        at = [BLOCK_ALL + number for number in range(len(messages))]
        missing = [_rule_at(m, p) for m, p in zip(messages, at, strict=True) if p not in present]
        kernel.apply(missing[::-1])
    for family in FAMILIES:
        point_gate(kernel, family, BLOCK_ALL)


def wait_for_lookups() -> None:
    """Wait until no look-up is under way that began before: none is interrupted by another program
    (PREEMPT_NONE, kernel/boot.toml), so it has ended where this one has run since.

    The pause besides is for kernels that interrupt them.
    """
    everywhere = os.sched_getaffinity(0)
    for cpu in everywhere:
        os.sched_setaffinity(0, {cpu})
    os.sched_setaffinity(0, everywhere)
    time.sleep(GRACE_SECONDS)


def _block_all_rules(
    plan: BootPlan, family: int
) -> Iterator[tuple[int, int, list[tuple[int, bytes]]]]:
    """IPv4 sends a bound socket's packet on link where the look-up fails, so there it succeeds,
    by the plan's own hairpins, and leads back here (docs/how-it-filters.md).
    """
    for message in plan.rules if family == V4 else ():
        values = dict(attributes(message[HEADER.size :], RULE.size))
        action = RULE.unpack_from(message, HEADER.size)[7]
        if message[HEADER.size] == V4 and action == FR_ACT_TO_TBL and FRA_OIFNAME in values:
            selectors = [(kind, values[kind]) for kind in (FRA_TABLE, FRA_IIFNAME, FRA_OIFNAME)]
            yield family, action, selectors
    yield family, FR_ACT_PROHIBIT, [(FRA_IIFNAME, LOOPBACK)]
    yield family, FR_ACT_BLACKHOLE, []


def _gate(kind: int, family: int, target: int = 1) -> bytes:
    """A gate; the target of one that is taken away must be said and is not looked at."""
    return _rule(kind, family, FR_ACT_GOTO, 0, (FRA_GOTO, _number(target)))


def _rule_at(spec: tuple[int, int, list[tuple[int, bytes]]], preference: int) -> bytes:
    family, action, selectors = spec
    return _rule(RTM_NEWRULE, family, action, preference, *selectors)


def _rules(kernel: Kernel, family: int) -> list[bytes]:
    return [payload for payload in rules.in_force(kernel) if payload[0] == family]


def _count(kernel: Kernel, family: int) -> int:
    return sum(is_gate(payload) for payload in _rules(kernel, family))


def _number(value: int) -> bytes:
    return struct.pack("=I", value)


def _rule(
    kind: int, family: int, action: int, preference: int, *selectors: tuple[int, bytes]
) -> bytes:
    body = RULE.pack(family, 0, 0, 0, 0, 0, 0, action, 0)
    for number, value in ((FRA_PRIORITY, _number(preference)), *selectors):
        size = ATTRIBUTE.size + len(value)
        body += ATTRIBUTE.pack(size, number) + value + bytes(-size % 4)
    flags = NEW if kind == RTM_NEWRULE else REMOVE
    return HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body
