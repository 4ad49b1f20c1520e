"""What the machine is doing: one page of it, as values and as lines that a person reads.

In: a `BootPlan` and the kernel.  Out: values that JSON can say, and text made of them.
"""

from __future__ import annotations

import _socket
import time
from types import SimpleNamespace

from pbrinit.boot.network import addresses, audit, links, rules
from pbrinit.boot.observe import drop_counters
from pbrinit.boot.state import active_plan, guard_status, program_status
from pbrinit.boot.system import sysctl
from pbrinit.boot.system.hardening import SYSCTLS
from pbrinit.boot.system.log import seconds
from pbrinit.wire.netlink.socket import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pbrinit.wire.bootplan import BootPlan


def read_status(plan: BootPlan) -> SimpleNamespace:
    """Rules, sysctls, interfaces, drops and programs as they are now."""
    with Kernel() as kernel:
        in_force = rules.in_force(kernel)
        wrong = rules.differences(plan, in_force)
        held = addresses.Addresses(kernel).as_list()
    wanted = {**dict(SYSCTLS), **audit.Audit(plan).sysctls()}
    wrong += sysctl.differences(item for item in wanted.items() if sysctl.is_readable(item[0]))
    seen = guard_status.read()
    rooms = {link.device for link in plan.links if link.room}
    return SimpleNamespace(
        hostname=plan.hostname,
        policy=plan.policy,
        digest=plan.digest,
        uptime=round(seconds(), 3),
        clock=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        rules=len(in_force),
        as_planned=not wrong,
        differences=wrong,
        verified=SimpleNamespace(
            times=seen.verified,
            ago=round(seconds() - seen.at, 3) if seen.verified else None,
            routes=seen.routes,
            repairs=seen.repairs,
            carriers=seen.carriers,
        ),
        said=seen.lines,
        links=[_link(plan, device, held) for device in links.devices() if device not in rooms],
        drops=drop_counters.read(),
        programs=program_status.report(plan),
        trial=_trial(plan),
        memory=_free(),
    )


def _free() -> int:
    """Kibibytes that programs can still have (proc_meminfo(5), MemAvailable)."""
    with open("/proc/meminfo") as file:  # noqa: PTH123  pathlib is not in the image
        rows = (line.split() for line in file)
        return next(int(row[1]) for row in rows if row[0] == "MemAvailable:")


def _trial(plan: BootPlan) -> SimpleNamespace | None:
    """What comes back, and when, where the plan in force is on trial."""
    before = active_plan.rollback(plan)
    if before is None:
        return None
    return SimpleNamespace(seconds=round(before.deadline - seconds(), 3), before=before.plan.policy)


def describe(status: SimpleNamespace) -> Iterator[str]:
    """The page for a person."""
    policy = f'policy "{status.policy}" {status.digest[:16]}'
    yield f"{status.hostname}, {policy}, up {status.uptime:.0f} s, {status.clock} UTC"
    planned = "as planned" if status.as_planned else "NOT AS PLANNED"
    if status.trial is not None:
        yield (
            f"on trial for {status.trial.seconds:.0f} s more, then"
            f' "{status.trial.before}" comes back; `confirm` keeps it'
        )
    yield f"rules: {status.rules} in force, {planned}"
    yield from (f"  {difference}" for difference in status.differences)
    yield _verified(status.verified)
    yield from (f"  {line}" for line in status.said)
    for link in status.links:
        yield from _link_lines(link)
    yield from map(program_status.describe, status.programs)
    yield f"memory: {status.memory} KiB free"
    dropped = [f"{d['count']} {d['kind']}, {d['family']}" for d in status.drops if d["count"]]
    yield "dropped on arrival: " + ("; ".join(dropped) or "nothing")


def _link(plan: BootPlan, device: str, held: list[tuple[int, str, int]]) -> SimpleNamespace:
    planned = {link.device: link.name for link in plan.links}
    index = _socket.if_nametoindex(device)
    return SimpleNamespace(
        device=device,
        interface=planned.get(device),
        up=links.is_up(device),
        carrier=links.carrier(device),
        counters=links.counters(device),
        addresses=[
            SimpleNamespace(address=text, used=not flags & addresses.IFA_F_DADFAILED)
            for owner, text, flags in held
            if owner == index
        ],
    )


def _link_lines(link: SimpleNamespace) -> Iterator[str]:
    name = f"{link.device} ({link.interface or 'not in the policy'})"
    if not link.up:
        yield f"{name}: down"
        return
    cable = "carrier" if link.carrier else "no carrier"
    counts = ", ".join(
        f"{link.counters[f'{way}_packets']} frames {word}, {link.counters[f'{way}_bytes']} bytes"
        for way, word in (("rx", "in"), ("tx", "out"))
    )
    lost = {key: link.counters[key] for key in links.LOSS_COUNTERS if link.counters[key]}
    yield f"{name}: up, {cable}, {counts}" + "".join(f", {k} {n}" for k, n in lost.items())
    for each in link.addresses:
        yield f"  {each.address}" + ("" if each.used else ", another machine has it")


def _verified(seen: SimpleNamespace) -> str:
    if not seen.times:
        return "verified: not yet"
    carriers = f", carrier changed {seen.carriers} times" if seen.carriers else ""
    return (
        f"verified: {seen.times} times, last {seen.ago:.0f} s ago, {seen.routes} routes;"
        f" {seen.repairs} repairs{carriers}"
    )
