"""The rule set: put in force, read back, compared.

In: a `BootPlan` and a `Kernel`.  Out: that the kernel has exactly these rules, or how it
differs.  Source: linux/fib_rules.h; fib_nl_fill_rule in net/core/fib_rules.c tells what a
rule read back looks like.
"""

from __future__ import annotations

import struct

from pbrinit.boot.network.commands import command
from pbrinit.boot.network.repair import EXTRA, MISSING, OF_RULE, Repair
from pbrinit.wire.netlink.socket import HEADER, KernelError, attributes, removal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.wire.bootplan import BootPlan
    from pbrinit.wire.netlink.socket import Kernel

    Thing = tuple[str, bytes] | bytes
    Canonical = tuple[int, int, frozenset[tuple[int, bytes]]]

FAMILIES = (2, 10)
RTM_DELRULE, RTM_GETRULE = 33, 34
RULE = struct.Struct("=BBBBBBBBI")
FRA_PRIORITY, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_PROTOCOL = 6, 14, 15, 21
FRA_SPORT_MASK, FRA_DPORT_MASK = 28, 29
DEFAULT_ATTRIBUTES = {
    (FRA_SUPPRESS_PREFIXLEN, b"\xff\xff\xff\xff"),
    (FRA_TABLE, bytes(4)),
    (FRA_PRIORITY, bytes(4)),
    (FRA_SPORT_MASK, b"\xff\xff"),
    (FRA_DPORT_MASK, b"\xff\xff"),
}
"""What the kernel adds when it tells a rule: no suppression, no table, preference 0, and,
since Linux 6.17, that all of a port's bits count."""

FIB_RULE_INVERT = 2
FIB_RULE_UNRESOLVED = 4


class RulesError(Exception):
    """Rules that are not in force as planned; the text says which."""


def enforce(kernel: Kernel, plan: BootPlan) -> None:
    """Add the plan's rules and take away the kernel's own.

    Raises RulesError with the `ip` command of the rule that the kernel refused.
    """
    for messages, texts in (
        (plan.rules, plan.rule_commands),
        (
            plan.kernel_rule_removals,
            ["removal of a rule of the kernel's own"] * len(plan.kernel_rule_removals),
        ),
    ):
        try:
            kernel.apply(messages)
        except KernelError as error:
            about = command(texts[error.index], messages[error.index])
            raise RulesError(f"{about}: {error.reason}") from None


def canonical(payload: bytes) -> Canonical:
    """What a rule says, in a form that is equal for equal rules.

    Which device it is attached to at the moment is left out: that follows the devices.
    """
    family, to, source, tos, _, _, _, action, flags = RULE.unpack_from(payload)
    selectors = {
        item
        for item in attributes(payload, RULE.size)
        if item not in DEFAULT_ATTRIBUTES and item[0] != FRA_PROTOCOL
    }
    numbers = family | to << 8 | source << 16 | tos << 24
    compared_flags = flags & (FIB_RULE_INVERT | FIB_RULE_UNRESOLVED)
    return numbers, action | compared_flags << 8, frozenset(selectors)


def preference(payload: bytes) -> int:
    """Where the rule stands."""
    value = dict(attributes(payload, RULE.size)).get(FRA_PRIORITY, b"\0")
    return int.from_bytes(value, "little")


def in_force(kernel: Kernel) -> list[bytes]:
    """The rules that the kernel has, both families, in the order in which it asks them."""
    return [
        payload for family in FAMILIES for payload in kernel.dump(RTM_GETRULE, family, RULE.size)
    ]


def differences(plan: BootPlan, payloads: Iterable[bytes]) -> list[str]:
    """How the rules found differ from the plan's; empty where they are the same."""
    return [repair.describe(name) for repair in repairs(plan, payloads)]


def name(thing: Thing) -> str:
    """What a repair of `repairs` is about, for a person: a rule that is missing as its command, and
    one that is not in the plan as the kernel reports it.
    """
    if isinstance(thing, tuple):
        return command(*thing)
    return f"family {thing[0]}, preference {preference(thing)}, {thing.hex()}"


def repairs(plan: BootPlan, payloads: Iterable[bytes]) -> list[Repair]:
    """The same, each with the message that makes it right."""
    planned = {
        canonical(message[HEADER.size :]): (text, message)
        for message, text in zip(plan.rules, plan.rule_commands, strict=True)
    }
    counted: dict[Canonical, int] = {}
    differences: list[Repair] = []
    for payload in payloads:
        rule = canonical(payload)
        counted[rule] = counted.get(rule, 0) + 1
        if counted[rule] > 1 or rule not in planned:
            differences.append(Repair(OF_RULE, EXTRA, payload, (removal(RTM_DELRULE, payload),)))
    return differences + [
        Repair(OF_RULE, MISSING, (text, message), (message,))
        for rule, (text, message) in planned.items()
        if rule not in counted
    ]
