"""Whether PID 1 is told what the policy says: programs, users, what to do on failure, what to log.

In: a `Policy` and its `Plan`.  Out: `Claim` values about the boot plan, which is made of the plan
here once more.  Its netlink messages are read by another (factory.image.read_back).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.net.addresses import Family
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan, Sysctl
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Program
from pbrinit.wire.bootplan import BootPlan, ProgramPlan

CAPABILITIES = {
    "chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4, "kill": 5,
    "setgid": 6, "setuid": 7, "setpcap": 8, "net_bind_service": 10, "net_broadcast": 11,
    "net_admin": 12, "net_raw": 13, "sys_chroot": 18,
}  # fmt: skip
"""Their numbers in linux/capability.h."""

ENVIRONMENT = {"HOME": "/tmp", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # noqa: S108  a room's own
"""What a program is told where the policy does not say."""

ROOM_USERS = 1 << 16
FAMILY_NUMBERS = {Family.V4: 2, Family.V6: 10}


def claims(policy: Policy, plan: Plan) -> Iterator[Claim]:
    """What PID 1 is told beside rules, routes and addresses."""
    boot = encode(plan, policy.hostname)
    yield Claim("PID 1 is told what the policy says of the machine", tuple(_machine(policy, boot)))
    yield Claim("each program is told what the policy says of it", tuple(_programs(policy, boot)))
    yield Claim("each setting of the plan is set", tuple(_settings(plan, boot)))


def _machine(policy: Policy, boot: BootPlan) -> Iterator[Flaw]:
    failure, metrics = policy.on_failure, policy.metrics
    dynamic = [
        (FAMILY_NUMBERS[family], interface.name, interface.device)
        for family in (Family.V4, Family.V6)
        for interface in policy.interfaces
        if family in interface.dynamic_families
    ]
    yield from _compared(
        "the machine",
        {
            "hostname": policy.hostname,
            "on_failure": (failure.action.value, failure.seconds),
            "users": tuple((user.name, user.uid) for user in policy.users),
            "log": policy.log or any(deny.log for deny in policy.denies),
            "metrics": (metrics.port, metrics.user.uid) if metrics else None,
            "assignments": policy.assignments,
        },
        boot,
    )
    found = [(family, name, device) for family, name, device, _ in boot.dynamic_interfaces]
    if found != dynamic:
        yield Flaw("the machine", f"it asks for addresses by {found}, and has to by {dynamic}")


def _programs(policy: Policy, boot: BootPlan) -> Iterator[Flaw]:
    names = [program.name for program in policy.programs]
    if [program.name for program in boot.programs] != names:
        yield Flaw("the programs", f"they have to be {', '.join(names) or 'none'}")
        return
    rooms: set[int] = set()
    for program, told in zip(policy.programs, boot.programs, strict=True):
        yield from _compared(f"program {program.name}", _told(program, told), told)
        room = told.room
        if (room is not None) != program.isolated:
            yield Flaw(
                f"program {program.name}", "it has a room where the policy has none, or none"
            )
        if room is None:
            continue
        ports = program.client_ports
        needed = {"device": program.device, "client_ports": (ports.first, ports.last)}
        yield from _compared(f"room {program.name}", needed, room)
        if room.ids[1] != ROOM_USERS or room.ids[0] in rooms:
            yield Flaw(f"room {program.name}", f"its users are {room.ids}")
        rooms.add(room.ids[0])


def _told(program: Program, told: ProgramPlan) -> dict[str, object]:
    first = told.room.ids[0] if told.room else 0
    share = program.share
    return {
        "command": program.command,
        "uid": program.user.uid + first,
        "environment": tuple(sorted((ENVIRONMENT | dict(program.environment)).items())),
        "files": tuple(path for path, _ in program.files),
        "capabilities": sum(1 << CAPABILITIES.get(name, 63) for name in program.capabilities),
        "memory": share.memory or 0,
        "processes": share.processes,
        "open_files": share.open_files,
        "cpu_weight": share.cpu_weight,
        "restart": program.restart.value,
        "control": program.control.value,
    }


def _settings(plan: Plan, boot: BootPlan) -> Iterator[Flaw]:
    """Those of forwarding are set last, but a room's with its device."""
    rooms = {planned.room.device for planned in plan.programs if planned.room}
    last = {device: f"net/ipv4/conf/{device}/forwarding" for device in rooms}
    forwarding = [s for s in plan.forwarding_sysctls if s.key not in last.values()]
    yield from _differ("the machine", plan.sysctls, boot.sysctls)
    yield from _differ("forwarding", forwarding, boot.forwarding_sysctls)
    for link, told in zip(plan.links, boot.links, strict=True):
        own = [s for s in plan.forwarding_sysctls if s.key == last.get(link.device)]
        yield from _differ(link.device, (*link.sysctls, *own), told.sysctls)
    for planned, program in zip(plan.programs, boot.programs, strict=True):
        if planned.room is not None and program.room is not None:
            room = f"room {program.name}"
            yield from _differ(room, planned.room.sysctls, program.room.sysctls)


def _differ(
    where: str, planned: Sequence[Sysctl], told: tuple[tuple[str, str], ...]
) -> Iterator[Flaw]:
    needed = tuple((sysctl.key, sysctl.value) for sysctl in planned)
    if needed != told:
        strange = ", ".join(f"{key}={value}" for key, value in sorted(set(needed) ^ set(told)))
        yield Flaw(where, f"the boot plan differs: {strange or 'in the order'}")


def _compared(where: str, needed: Mapping[str, object], told: object) -> Iterator[Flaw]:
    for name, value in needed.items():
        found = getattr(told, name)
        if found != value:
            yield Flaw(where, f"{name} is {found!r}, and has to be {value!r}")
