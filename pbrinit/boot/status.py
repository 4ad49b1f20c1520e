"""What the machine is doing, in lines that a person reads.

In: a `BootPlan` and the kernel.  Out: text.
"""

from __future__ import annotations

import _socket
import time

from pbrinit.boot import addresses, links, record, roster, rules, standing, sysctl
from pbrinit.boot.hardening import SYSCTLS
from pbrinit.boot.rtnetlink import Kernel
from pbrinit.boot.say import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pbrinit.boot.record import Record
    from pbrinit.bootfile import BootPlan

DROPS = (
    ("/proc/net/snmp", "Ip:", ("InAddrErrors",), "not allowed, IPv4"),
    ("/proc/net/netstat", "TcpExt:", ("IPReversePathFilter",), "no way back, IPv4"),
    ("/proc/net/snmp6", "", ("Ip6InReceives", "Ip6InDelivers"), "not delivered, IPv6"),
)
"""File, line, counters and meaning of what tells of drops (SNMP counters, RFC 4293).

Of two counters it is the difference: what a blackhole takes is not counted in IPv6
(ip6_blk_hole_entry_template, net/ipv6/route.c). They are of packets that arrived; what a
program here is refused, it is told, and the kernel does not count.
"""


def status(plan: BootPlan) -> Iterator[str]:
    """Rules, sysctls, interfaces and drops as they are now."""
    with Kernel() as kernel:
        found = rules.in_force(kernel)
        wrong = rules.differences(plan, found)
        held = addresses.Book(kernel).listed()
    planned_sysctls = {**dict(SYSCTLS), **dict(plan.sysctls), **dict(plan.last)}
    wrong += sysctl.differences(planned_sysctls.items())
    seen = record.read()
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    policy = f'policy "{plan.policy}" {plan.digest[:16]}'
    yield f"{plan.hostname}, {policy}, up {seconds():.0f} s, {now} UTC"
    before = standing.before(plan)
    if before is not None:
        left = f"{before.deadline - seconds():.0f} s more"
        yield f'on trial for {left}, then "{before.plan.policy}" comes back; `confirm` keeps it'
    yield f"rules: {len(found)} in force, " + ("as planned" if not wrong else "NOT AS PLANNED")
    yield from (f"  {difference}" for difference in wrong)
    yield _verified(seen)
    yield from (f"  {line}" for line in seen.lines)
    yield from roster.lines(plan)
    planned = {link.device: link.name for link in plan.links}
    rooms = {link.device for link in plan.links if link.room}
    for device in links.devices():
        if device in rooms:
            continue
        name = planned.get(device, "not in the policy")
        if not links.is_up(device):
            yield f"{device} ({name}): down"
            continue
        received, sent = links.counters(device)
        cable = "carrier" if links.carrier(device) else "no carrier"
        yield f"{device} ({name}): up, {cable}, {received} frames in, {sent} out"
        index = _socket.if_nametoindex(device)
        for owner, text, flags in held:
            if owner == index:
                refused = ", another machine has it" if flags & addresses.IFA_F_DADFAILED else ""
                yield f"  {text}{refused}"
    yield f"memory: {_free()} KiB free"
    dropped = [f"{count} {what}" for count, what in drops() if count]
    yield "dropped on arrival: " + ("; ".join(dropped) or "nothing")


def _free() -> int:
    """Kibibytes that programs can still have (proc_meminfo(5), MemAvailable)."""
    with open("/proc/meminfo") as file:  # noqa: PTH123
        rows = (line.split() for line in file)
        return next(int(row[1]) for row in rows if row[0] == "MemAvailable:")


def _verified(seen: Record) -> str:
    if not seen.verified:
        return "verified: not yet"
    ago = f"{seconds() - seen.at:.0f} s ago"
    carriers = f", carrier changed {seen.carriers} times" if seen.carriers else ""
    return (
        f"verified: {seen.verified} times, last {ago}, {seen.routes} routes;"
        f" {seen.repairs} repairs{carriers}"
    )


def drops() -> Iterator[tuple[int, str]]:
    """Each counter of refused packets, and what it counts."""
    for path, line, names, what in DROPS:
        found = _counters(path, line)
        first, *less = (found.get(name, 0) for name in names)
        yield first - sum(less), what


def _counters(path: str, line: str) -> dict[str, int]:
    """Two lines of names and values after `line`, or a name and a value on each line."""
    with open(path) as file:  # noqa: PTH123  pathlib is not in the image
        rows = [row.split() for row in file]
    if not line:
        return {name: int(value) for name, value in rows}
    names, values = (row[1:] for row in rows if row[0] == line)
    return dict(zip(names, map(int, values), strict=True))
