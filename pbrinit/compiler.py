"""From what the person asked for to what the kernel is told.

In: a `Policy`.  Out: a `Plan`.  Pure: the same policy always makes the same plan.
"""

from __future__ import annotations

from pbrinit import sysctls
from pbrinit.addresses import Family
from pbrinit.claims import Claims
from pbrinit.layout import INPUT, INPUT_SIZE, TABLE_HAIRPIN, TABLE_SINK, TAIL, CompileError
from pbrinit.links import links
from pbrinit.places import Places
from pbrinit.plan import Plan, Rule
from pbrinit.policy import Policy
from pbrinit.rules import family_rules
from pbrinit.tables import Tables


def compile_policy(policy: Policy) -> Plan:
    """The plan that lets through what `policy` allows, and nothing else.

    Raises CompileError.
    """
    if INPUT + len(policy.interfaces) * INPUT_SIZE > TAIL:
        raise CompileError(f"there are more than {(TAIL - INPUT) // INPUT_SIZE} interfaces")
    tables = Tables()
    rules: list[Rule] = []
    forwarding: list[Family] = []
    for family in Family:
        places = Places(policy.interfaces, family)
        claims = Claims(policy, places)
        rules += family_rules(policy, places, claims, tables)
        forwarding += [family] if claims.forwards else []
    hairpins = ((TABLE_HAIRPIN + n, f"hairpin.{i.name}") for n, i in enumerate(policy.interfaces))
    return Plan(
        hostname=policy.hostname,
        summary=(
            *(f"allowed: {entry}" for entry in policy.entries),
            *(f"denied: {str(deny).removeprefix('deny ')}" for deny in policy.denies),
        ),
        users=policy.users,
        sysctls=sysctls.machine(),
        rules=tuple(rules),
        links=links(policy, tables),
        tables=((TABLE_SINK, "sink"), *hairpins, *tables.names),
        last=sysctls.forwarding(policy, forwarding),
        on_failure=policy.on_failure,
    )
