"""One plan in the place of another while the machine runs.

In: a plan that is to be in force, in a place where nothing of it stands in the way of what is
(`slots`).  Out: that plan in force and nothing else, or a `SwitchError`, after which
`switch_plan` to the plan before leads back from wherever it ended.

The new plan's rules and tables are loaded while the old one's are in force, read back and
compared; then one rule in each family decides (`gate`); then the old ones are taken away.  In
between each look-up meets one of the two, whole.  Where more than rules and tables of sets differs,
addresses, gateways, sysctls, nothing passes for the moment that takes.
"""

from __future__ import annotations

import _socket
import os
import struct

from pbrinit.boot.guard import gate
from pbrinit.boot.network import links, rules, slots
from pbrinit.boot.network.audit import Audit, describe
from pbrinit.boot.network.routes import RTM_DELROUTE
from pbrinit.boot.system import sysctl
from pbrinit.wire.netlink import route_dump
from pbrinit.wire.netlink.socket import HEADER, Kernel, KernelError, attributes, removal, with_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pbrinit.boot.network.repair import Repair
    from pbrinit.wire.bootplan import BootPlan

ROUNDS = 5
"""So often what differs is put right before it is given up: an address takes routes with it."""

SHOWN = 5
V4 = 2
SETS = 3000
"""The first table of a set (layout.TABLE_SETS)."""

FORWARDING_6 = "net/ipv6/conf/all/forwarding"


class SwitchError(Exception):
    """A plan that is not in force as it should be; the text says where that ended."""


def switch_plan(new: BootPlan, commit: Callable[[], None], old: BootPlan | None = None) -> None:
    """Put `new` in force, in the place of `old`, or of what there is where that is not known.

    `commit` is called once `new` decides and before anything of `old` is gone: who comes after
    must go on from there.

    Raises AdoptError, KernelError, OSError: then something of both may be there.
    """
    audit = Audit(new)
    with Kernel() as kernel:
        if old is not None:
            for family in rules.FAMILIES:
                gate.point_gate(kernel, family, gate.first_preference(old, family))
        _load(kernel, audit, new)
        sysctl.write(_forwarding_to_stop(new))
        others = _beyond_unused_tables(audit.routes(kernel))
        odd = _sysctls_to_set(audit, new)
        if others or odd or _needs_block(old):
            gate.block_all(kernel, new)
            gate.wait_for_lookups()
            sysctl.write(odd)
            _settle(kernel, audit)
        for family in rules.FAMILIES:
            gate.point_gate(kernel, family, gate.first_preference(new, family))
        commit()
        gate.wait_for_lookups()
        _remove_old_rules(kernel, new)
        _settle(kernel, audit)
        for family in rules.FAMILIES:
            gate.remove_gate(kernel, family)
        sysctl.write((key, value) for key, value in new.forwarding_sysctls if sysctl.exists(key))
        _socket.sethostname(new.hostname)
        wrong = [*audit.rules(kernel), *audit.routes(kernel)]
    if wrong:
        raise SwitchError(f"it is in force, and differs: {_named(wrong)}")


def is_interrupted(plan: BootPlan) -> bool:
    """Whether the kernel has rules of another place, or a gate: a switch was cut off."""
    with Kernel() as kernel:
        in_force = rules.in_force(kernel)
    place = slots.slot_of(plan)
    return any(
        gate.is_gate(payload) or rules.preference(payload) // slots.PREFERENCES != place
        for payload in in_force
    )


def _load(kernel: Kernel, audit: Audit, new: BootPlan) -> None:
    """Rules and tables beside those that are in force, and see that they are there.

    Nothing looks them up yet. What is there already is no error; a route that needs an address
    which is not there yet is set when that is.
    """
    for link, index in audit.links_up():
        kernel.attempt([
            with_index(message, offsets, index)
            for _, message, offsets in link.messages
            if _table(message) not in (None, *slots.KERNEL_TABLES)
        ])  # fmt: skip
        for bulk in link.bulks:
            table = (bulk[1][0][HEADER.size], _table(bulk[1][0]) or 0)
            if not route_dump.in_force(kernel, [table]).prefixes:
                links.add_bulk_routes(kernel, bulk, index)
    missing = _additions(rules.repairs(new, rules.in_force(kernel)))
    try:
        kernel.apply([message for repair in missing for message in repair.messages])
    except KernelError as error:
        raise SwitchError(f"{describe(missing[error.index])}: {error.reason}") from None
    left = _additions(rules.repairs(new, rules.in_force(kernel)))
    if left:
        raise SwitchError(f"the rules read back differ: {_named(left)}")


def _remove_old_rules(kernel: Kernel, new: BootPlan) -> None:
    """Take away all rules but the plan's and the gates, which shield it from what is half gone."""
    planned = {rules.canonical(message[HEADER.size :]) for message in new.rules}
    extra = [
        removal(rules.RTM_DELRULE, payload)
        for payload in rules.in_force(kernel)
        if rules.canonical(payload) not in planned and not gate.is_gate(payload)
    ]
    kernel.attempt(extra)


def _settle(kernel: Kernel, audit: Audit) -> None:
    """Addresses and routes as planned.

    Raises AdoptError where some are not after some rounds.
    """
    wrong: list[Repair] = []
    for _ in range(ROUNDS):
        wrong = audit.routes(kernel)
        if not wrong:
            return
        kernel.attempt([message for repair in wrong for message in repair.messages])
    raise SwitchError(f"cannot be set: {_named(wrong)}")


def _forwarding_to_stop(new: BootPlan) -> list[tuple[str, str]]:
    """Forwarding that the plan does not want and that is on: off before the rules change."""
    planned = dict(new.forwarding_sysctls)
    keys = [f"net/ipv4/conf/{device}/forwarding" for device in links.devices()]
    return [
        (key, "0")
        for key in (*keys, FORWARDING_6)
        if planned.get(key) != "1" and sysctl.exists(key) and sysctl.read(key) != "0"
    ]


def _sysctls_to_set(audit: Audit, new: BootPlan) -> list[tuple[str, str]]:
    """Those that differ, but for forwarding, which comes last."""
    last = dict(new.forwarding_sysctls)
    return [
        (key, value)
        for key, value in audit.sysctls().items()
        if key not in last and sysctl.exists(key) and sysctl.read(key) != value
    ]


def _needs_block(old: BootPlan | None) -> bool:
    """Whether a packet could be let in by the old plan's look-up and the new plan's return path.

    That could matter where the old one leaves large sets to the return path, and can happen only
    where more than one processor looks up.
    """
    if len(os.sched_getaffinity(0)) == 1:
        return False
    if old is None:
        return True
    tables = (_looked_up(message) for message in old.rules if message[HEADER.size] == V4)
    return any(
        number % slots.TABLES >= SETS for number in tables if number not in slots.KERNEL_TABLES
    )


def _looked_up(message: bytes) -> int:
    values = dict(attributes(message[HEADER.size :], rules.RULE.size))
    return int.from_bytes(values.get(rules.FRA_TABLE, b"\0"), "little")


def _additions(repairs: Iterable[Repair]) -> list[Repair]:
    """Those that add what is missing."""
    removals = (rules.RTM_DELRULE, RTM_DELROUTE)
    return [repair for repair in repairs if _kind(repair.messages[0]) not in removals]


def _beyond_unused_tables(repairs: Iterable[Repair]) -> list[Repair]:
    """Those that are not just the removal of a route in a table that the plan does not look up."""
    return [
        repair
        for repair in repairs
        if _kind(repair.messages[0]) != RTM_DELROUTE
        or _table(repair.messages[0]) in (None, *slots.KERNEL_TABLES)
    ]


def _named(repairs: list[Repair]) -> str:
    """The first of them, for a person."""
    return "; ".join(describe(repair) for repair in repairs[:SHOWN])


def _kind(message: bytes) -> int:
    return int(struct.unpack_from("=H", message, 4)[0])


def _table(message: bytes) -> int | None:
    """The table of a route's message, None of any other."""
    if _kind(message) not in (route_dump.RTM_NEWROUTE, RTM_DELROUTE):
        return None
    values = dict(attributes(message[HEADER.size :], route_dump.ROUTE.size))
    return int.from_bytes(values.get(route_dump.RTA_TABLE, message[20:21]), "little")
