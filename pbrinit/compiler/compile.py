"""From a policy to the plan that enforces it.

In: a `Policy`.  Out: a `Plan`.  Pure: the same policy always gives the same plan.
"""

from __future__ import annotations

from pbrinit.compiler import log_rules, rooms, sysctls
from pbrinit.compiler.assembler import Assembler, CompileError
from pbrinit.compiler.context import CompileContext
from pbrinit.compiler.layout import (
    INPUT,
    INPUT_SIZE,
    TABLE_DHCP,
    TABLE_LOG,
    TABLE_ROUTERS,
    TABLE_SINK,
    TAIL,
)
from pbrinit.compiler.links import hairpin_tables, links
from pbrinit.compiler.policy_flows import PolicyFlows
from pbrinit.compiler.rules import family_rules
from pbrinit.compiler.set_tables import SetTables
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan, Rule
from pbrinit.policy import room_addresses
from pbrinit.policy.assigned import dynamic_interfaces
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.topology import Topology


def compile_policy(policy: Policy) -> Plan:
    """The plan that accepts what `policy` allows, and nothing else.

    Raises CompileError.
    """
    if INPUT + len(policy.interfaces) * INPUT_SIZE > TAIL:
        raise CompileError(f"there are more than {(TAIL - INPUT) // INPUT_SIZE} interfaces")
    tables = SetTables()
    rules: list[Rule] = []
    forwarding: list[Family] = []
    logging: list[Interface] = []
    for family in Family:
        reserved = room_addresses.reserved_prefixes(policy, family)
        topology = Topology(policy.interfaces, family, reserved)
        flows = PolicyFlows(policy, topology)
        rules += family_rules(CompileContext(policy, topology, flows, tables, Assembler(family)))
        forwarding += [family] if flows.forwards or policy.rooms else []
        if family is Family.V4:
            logging = [
                interface
                for interface in topology.interfaces
                if policy.log or any(log_rules.logged_pairs(policy, topology, interface))
            ]
    return Plan(
        hostname=policy.hostname,
        summary=(
            *(f"allowed: {allow}" for allow in policy.allows),
            *(f"allowed: {allow}" for allow in policy.room_allows),
            *(f"denied: {str(deny).removeprefix('deny ')}" for deny in policy.denies),
        ),
        users=policy.users,
        sysctls=sysctls.machine(policy.client_ports),
        rules=tuple(rules),
        links=links(policy, tables),
        tables=(*_fixed_tables(policy), *tables.names),
        forwarding_sysctls=sysctls.forwarding(policy, forwarding, logging),
        on_failure=policy.on_failure,
        programs=rooms.programs(policy),
        metrics=policy.metrics,
        log=policy.logs,
        dynamic_interfaces=dynamic_interfaces(policy),
        assignments=policy.assignments,
    )


def _fixed_tables(policy: Policy) -> list[tuple[int, str]]:
    """The tables that hold no set of addresses, each with its name."""
    tables = [(TABLE_SINK, "sink")]
    tables += [(TABLE_LOG, "log")] if policy.logs else []
    for interface in policy.interfaces:
        tables += [(TABLE_DHCP, "dhcp")] if interface.awaiting_address(Family.V4) else []
    for interface in policy.interfaces:
        tables += [(TABLE_ROUTERS, "routers")] if Family.V6 in interface.dynamic_families else []
    tables += [(table, f"hairpin.{device}") for device, table in hairpin_tables(policy)]
    tables += [(rooms.table(policy, program), f"room.{program.name}") for program in policy.rooms]
    return tables
