"""A plan as the netlink messages that put it in force.

In: a `Plan`.  Out: a `BootPlan` of ready messages, each made by `messages`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pbrinit.plan import bulk_routes, messages
from pbrinit.plan.ip_commands import (
    ROOM_END,
    address_command,
    route_command,
    rule_command,
    veth_command,
)
from pbrinit.plan.plan import KERNEL_RULES, LOOPBACK, Link, Plan, Program, Room, Route, Sysctl
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import ROOM_READY_GROUP, BootPlan, LinkPlan, ProgramPlan, RoomPlan

CAPABILITIES = {
    "chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4, "kill": 5,
    "setgid": 6, "setuid": 7, "setpcap": 8, "net_bind_service": 10, "net_broadcast": 11,
    "net_admin": 12, "net_raw": 13, "ipc_lock": 14, "sys_chroot": 18, "sys_nice": 23,
}  # fmt: skip
"""Their numbers (linux/capability.h)."""

ENVIRONMENT = {"HOME": "/tmp", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # noqa: S108  its own
"""What a program finds where the policy does not say otherwise."""

Message = tuple[str, bytes]


def encode(plan: Plan, policy_name: str) -> BootPlan:
    """Every message of the plan, in the order in which PID 1 sends them.

    Rules go from the highest preference down: each is then inserted at the head of the
    kernel's list (fib_nl_newrule walks it from there), and a goto finds its target.
    What is switched on last on the device of a room comes and goes with it.
    """
    rules = sorted(plan.rules, key=lambda rule: (rule.family, -rule.preference))
    rooms = {program.room.device for program in plan.programs if program.room}
    last = {sysctl: _device(sysctl) for sysctl in plan.last}
    encoded = BootPlan(
        hostname=plan.hostname,
        policy=policy_name,
        digest="",
        on_failure=(plan.on_failure.ending.value, plan.on_failure.seconds),
        summary=plan.summary,
        users=tuple((user.name, user.uid) for user in plan.users),
        sysctls=_sysctls(plan.sysctls),
        rules=tuple(messages.rule(rule, messages.RTM_NEWRULE, messages.ADD) for rule in rules),
        kernel_rule_removals=tuple(messages.rule(rule, messages.RTM_DELRULE, messages.CHANGE)
                       for rule in KERNEL_RULES),
        rule_commands=tuple(rule_command(rule) for rule in rules),
        links=tuple(
            _link(link, [s for s, device in last.items() if device == link.device])
            if link.device in rooms else _link(link, None)
            for link in plan.links
        ),
        forwarding_sysctls=_sysctls(
            [sysctl for sysctl, device in last.items() if device not in rooms]
        ),
        programs=tuple(_program(program) for program in plan.programs),
        log=plan.log,
        dynamic_interfaces=tuple((int(a.family), a.name, a.device, a.taken) for a in plan.awaits),
        assignments=plan.given,
        metrics=(plan.metrics.port, plan.metrics.user.uid) if plan.metrics else None,
    )  # fmt: skip
    digest = hashlib.sha256(bootplan.pack(encoded)).hexdigest()
    return BootPlan(**{**vars(encoded), "digest": digest})


def _sysctls(sysctls: Sequence[Sysctl]) -> tuple[tuple[str, str], ...]:
    return tuple((sysctl.key, sysctl.value) for sysctl in sysctls)


def _device(sysctl: Sysctl) -> str | None:
    """The device that it is about, if it is about one: net/ipv4/conf/DEVICE/…"""
    words = sysctl.key.split("/")
    return words[3] if words[2:3] == ["conf"] else None


def _link(link: Link, of_room: Sequence[Sysctl] | None) -> LinkPlan:
    """The messages of one link; where it leads into a room, with what is switched on last, and
    with a mark at the end that says that it is made.
    """
    rename = None
    if link.mac:
        change = messages.marked(messages.link_change(link.device))
        rename = (f"link set {link.mac} name {link.device}", *change)
    many, few = bulk_routes.split((*link.early_routes, *link.routes))
    steps: list[Message] = [(f"link set {link.device} up", messages.link_change(None))]
    steps += [(route_command(route, link.device), messages.route(route))
              for route in link.early_routes if route in few]  # fmt: skip
    steps += [(address_command(address, link.device), messages.address(address))
              for address in link.addresses]  # fmt: skip
    steps += [(route_command(route, link.device), messages.route(route))
              for route in link.routes if route in few]  # fmt: skip
    if of_room is not None:
        steps.append(
            (
                f"link set {link.device} group {ROOM_READY_GROUP}",
                messages.link_group(ROOM_READY_GROUP),
            )
        )
    return LinkPlan(
        name=link.name,
        device=link.device,
        mac=link.mac,
        rename=rename,
        sysctls=_sysctls((*link.sysctls, *(of_room or ()))),
        messages=tuple((text, *messages.marked(message)) for text, message in steps),
        bulks=tuple(_bulk(routes, link.device) for routes in many),
        room=of_room is not None,
    )


def _program(program: Program) -> ProgramPlan:
    run = program.run
    kept = sum(1 << CAPABILITIES[name] for name in run.capabilities)
    environment = {**ENVIRONMENT, **dict(run.environment)}
    return ProgramPlan(
        name=run.name,
        command=run.command,
        uid=run.user.uid,
        environment=tuple(sorted(environment.items())),
        capabilities=kept,
        restart=run.restart.value,
        ask=run.ask.value,
        room=_room(program.room) if program.room else None,
    )


def _room(room: Room) -> RoomPlan:
    steps: list[Message] = [
        (f"link set {LOOPBACK} up", messages.link_change(None, messages.LOOPBACK)),
        (f"link set {ROOM_END} up", messages.link_change(None)),
    ]
    steps += [(address_command(address, ROOM_END, tried=False),
               messages.address(address, tried=False))
              for address in room.addresses]  # fmt: skip
    steps += [(route_command(route, ROOM_END), messages.route(route)) for route in room.routes]
    made = messages.marked(messages.veth(room.device, ROOM_END, room.mac))
    return RoomPlan(
        device=room.device,
        clients=(room.clients.first, room.clients.last),
        removal=messages.link_removal(room.device),
        veth=(veth_command(room), *made),
        sysctls=_sysctls(room.sysctls),
        messages=tuple((text, *messages.marked(message)) for text, message in steps),
    )


def _bulk(routes: Sequence[Route], device: str) -> tuple[str, tuple[bytes, ...], int, int]:
    """What it is, its pieces, the size of a message, and where in each the index is to be set."""
    first = messages.route(routes[0])
    _, offsets = messages.marked(first)
    text = f"{len(routes)} routes from {route_command(routes[0], device)!r} on"
    return text, tuple(bulk_routes.pieces(first, routes)), len(first), offsets[0] if offsets else 0
