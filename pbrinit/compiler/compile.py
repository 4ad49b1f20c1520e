"""From what the person asked for to what the kernel is told.

In: a `Policy`.  Out: a `Plan`.  Pure: the same policy always makes the same plan.
"""

from __future__ import annotations

from pbrinit.compiler import log_rules, rooms, sysctls
from pbrinit.compiler.assembler import CompileError
from pbrinit.compiler.context import Ground
from pbrinit.compiler.layout import (
    INPUT,
    INPUT_SIZE,
    TABLE_DHCP,
    TABLE_LOG,
    TABLE_ROUTERS,
    TABLE_SINK,
    TAIL,
)
from pbrinit.compiler.links import hairpins, links
from pbrinit.compiler.policy_flows import Claims
from pbrinit.compiler.rules import family_rules
from pbrinit.compiler.set_tables import Tables
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan, Rule
from pbrinit.policy import room_addresses
from pbrinit.policy.assigned import awaits
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.topology import Places


def compile_policy(policy: Policy) -> Plan:
    """The plan that lets through what `policy` allows, and nothing else.

    Raises CompileError.
    """
    if INPUT + len(policy.interfaces) * INPUT_SIZE > TAIL:
        raise CompileError(f"there are more than {(TAIL - INPUT) // INPUT_SIZE} interfaces")
    tables = Tables()
    rules: list[Rule] = []
    forwarding: list[Family] = []
    spoken: list[Interface] = []
    for family in Family:
        places = Places(policy.interfaces, family, room_addresses.prefixes(policy, family))
        claims = Claims(policy, places)
        rules += family_rules(Ground(policy, places, claims, tables))
        forwarding += [family] if claims.forwards or policy.rooms else []
        if family is Family.V4:
            spoken = [i for i in places.interfaces
                      if policy.log or any(log_rules.named(policy, places, i))]  # fmt: skip
    turned = ((table, f"hairpin.{device}") for device, table in hairpins(policy))
    doors = ((rooms.table(policy, run), f"room.{run.name}") for run in policy.rooms)
    log = ((TABLE_LOG, "log"),) if policy.logs else ()
    asking = [(TABLE_DHCP, "dhcp") for i in policy.interfaces if i.waits(Family.V4)]
    asking += [(TABLE_ROUTERS, "routers") for i in policy.interfaces if Family.V6 in i.asks]
    return Plan(
        hostname=policy.hostname,
        summary=(
            *(f"allowed: {entry}" for entry in policy.entries),
            *(f"allowed: {between}" for between in policy.betweens),
            *(f"denied: {str(deny).removeprefix('deny ')}" for deny in policy.denies),
        ),
        users=policy.users,
        sysctls=sysctls.machine(policy.clients),
        rules=tuple(rules),
        links=links(policy, tables),
        tables=((TABLE_SINK, "sink"), *log, *asking, *turned, *doors, *tables.names),
        last=sysctls.forwarding(policy, forwarding, spoken),
        on_failure=policy.on_failure,
        programs=rooms.programs(policy),
        metrics=policy.metrics,
        log=policy.logs,
        awaits=awaits(policy),
        given=policy.given,
    )
