"""From what the person asked for to what the kernel is told.

In: a `Policy`.  Out: a `Plan`.  Pure: the same policy always makes the same plan.
"""

from __future__ import annotations

from pbrinit import sysctls
from pbrinit.addresses import Family
from pbrinit.layout import (
    INPUT,
    INPUT_SIZE,
    TABLE_BY,
    TABLE_HAIRPIN,
    TABLE_SINK,
    TAIL,
    TooLargeError,
)
from pbrinit.links import links
from pbrinit.plan import Plan
from pbrinit.policy import Policy
from pbrinit.rules import FamilyRules


def compile_policy(policy: Policy) -> Plan:
    """The plan that lets through what `policy` allows, and nothing else.

    Raises TooLargeError.
    """
    if INPUT + len(policy.interfaces) * INPUT_SIZE > TAIL:
        raise TooLargeError(f"there are more than {(TAIL - INPUT) // INPUT_SIZE} interfaces")
    rules = [rule for family in Family for rule in FamilyRules(policy, family).rules()]
    tables = [(TABLE_SINK, "sink")]
    for number, interface in enumerate(policy.interfaces):
        tables.append((TABLE_HAIRPIN + number, f"hairpin.{interface.name}"))
        tables.append((TABLE_BY + number, f"by.{interface.name}"))
    return Plan(
        hostname=policy.hostname,
        summary=tuple(str(entry) for entry in policy.entries),
        users=policy.users,
        sysctls=sysctls.machine(),
        rules=tuple(sorted(rules, key=lambda rule: (rule.family, rule.preference))),
        links=links(policy),
        tables=tuple(sorted(tables)),
    )
