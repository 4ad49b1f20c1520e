"""A plan as the netlink messages that put it in force.

In: a `Plan`.  Out: a `BootPlan` of ready messages, which `messages` and `bulk_routes` make.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pbrinit.plan import bulk_routes, messages, neighbours
from pbrinit.plan.ip_commands import (
    ROOM_END,
    address_command,
    neighbour_command,
    route_command,
    rule_command,
    veth_command,
)
from pbrinit.plan.plan import (
    KERNEL_RULES,
    LOOPBACK,
    Link,
    Plan,
    PlannedProgram,
    Room,
    Route,
    Sysctl,
)
from pbrinit.policy import room_ids
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import ROOM_READY_GROUP, BootPlan, LinkPlan, ProgramPlan, RoomPlan
from pbrinit.wire.netlink.constants import LOOPBACK_INDEX, RTM_DELRULE, RTM_NEWRULE

CAPABILITIES = {
    "chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4, "kill": 5,
    "setgid": 6, "setuid": 7, "setpcap": 8, "net_bind_service": 10, "net_broadcast": 11,
    "net_admin": 12, "net_raw": 13, "sys_chroot": 18,
}  # fmt: skip
"""Their numbers (linux/capability.h)."""

ENVIRONMENT = {"HOME": "/tmp", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # noqa: S108  its own
"""The environment of a program, where the policy does not set these variables."""

Message = tuple[str, bytes]


def encode(plan: Plan, policy_name: str) -> BootPlan:
    """Every message of the plan, in the order in which PID 1 sends them.

    Rules go from the highest preference down: so each is inserted at the head of the kernel's
    list (fib_nl_newrule walks it from there), and a goto finds its target.  Forwarding sysctls of
    the device of a room are set and go with that device.
    """
    rules = sorted(plan.rules, key=lambda rule: (rule.family, -rule.preference))
    rooms = {planned.room.device: planned.room for planned in plan.programs if planned.room}
    forwarding = {sysctl: _device(sysctl) for sysctl in plan.forwarding_sysctls}
    encoded = BootPlan(
        hostname=plan.hostname,
        policy=policy_name,
        digest="",
        on_failure=(plan.on_failure.action.value, plan.on_failure.seconds),
        summary=plan.summary,
        users=tuple((user.name, user.uid) for user in plan.users),
        sysctls=_sysctls(plan.sysctls),
        rules=tuple(messages.rule(rule, RTM_NEWRULE, messages.ADD) for rule in rules),
        kernel_rule_removals=tuple(
            messages.rule(rule, RTM_DELRULE, messages.CHANGE) for rule in KERNEL_RULES
        ),
        rule_commands=tuple(rule_command(rule, blank=True) for rule in rules),
        links=tuple(
            _link(
                link,
                rooms.get(link.device),
                [sysctl for sysctl, device in forwarding.items() if device == link.device],
            )
            for link in plan.links
        ),
        forwarding_sysctls=_sysctls(
            [sysctl for sysctl, device in forwarding.items() if device not in rooms]
        ),
        programs=tuple(_program(planned) for planned in plan.programs),
        log=plan.log,
        dynamic_interfaces=tuple(
            (int(interface.family), interface.name, interface.device, interface.taken)
            for interface in plan.dynamic_interfaces
        ),
        assignments=plan.assignments,
        metrics=(plan.metrics.port, plan.metrics.user.uid) if plan.metrics else None,
    )
    digest = hashlib.sha256(bootplan.pack(encoded)).hexdigest()
    return BootPlan(**{**vars(encoded), "digest": digest})


def _sysctls(sysctls: Sequence[Sysctl]) -> tuple[tuple[str, str], ...]:
    return tuple((sysctl.key, sysctl.value) for sysctl in sysctls)


def _device(sysctl: Sysctl) -> str | None:
    """The device that a sysctl is about, if it is about one: net/ipv4/conf/DEVICE/…"""
    words = sysctl.key.split("/")
    return words[3] if words[2:3] == ["conf"] else None


def _link(link: Link, room: Room | None, forwarding: Sequence[Sysctl]) -> LinkPlan:
    """The messages of one link. The link of a room comes with its forwarding sysctls, with the
    neighbours in the room, and with a last message that puts it into ROOM_READY_GROUP.
    """
    rename = None
    if link.mac:
        change = messages.marked(messages.link_change(link.device))
        rename = (f"link set {link.mac} name {link.device}", *change)
    many, few = bulk_routes.split((*link.preaddress_routes, *link.routes))
    steps: list[Message] = [(f"link set {link.device} up", messages.link_change(None))]
    steps += [(route_command(route, link.device, blank=True), messages.route(route))
              for route in link.preaddress_routes if route in few]  # fmt: skip
    steps += [(address_command(address, link.device), messages.address(address))
              for address in link.addresses]  # fmt: skip
    steps += [(route_command(route, link.device, blank=True), messages.route(route))
              for route in link.routes if route in few]  # fmt: skip
    if room is not None:
        steps += [(neighbour_command(found, link.device), messages.neighbour(found))
                  for found in neighbours.into_room(link, room)]  # fmt: skip
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
        sysctls=_sysctls((*link.sysctls, *(forwarding if room is not None else ()))),
        messages=tuple((text, *messages.marked(message)) for text, message in steps),
        bulks=tuple(_bulk(routes, link.device) for routes in many),
        room=room is not None,
    )


def _program(planned: PlannedProgram) -> ProgramPlan:
    program = planned.program
    capabilities = sum(1 << CAPABILITIES[name] for name in program.capabilities)
    environment = {**ENVIRONMENT, **dict(program.environment)}
    return ProgramPlan(
        name=program.name,
        command=program.command,
        uid=program.user.uid + (planned.room.first_id if planned.room else 0),
        environment=tuple(sorted(environment.items())),
        files=tuple(path for path, _ in program.files),
        capabilities=capabilities,
        memory=program.share.memory or 0,
        processes=program.share.processes,
        open_files=program.share.open_files,
        cpu_weight=program.share.cpu_weight,
        restart=program.restart.value,
        control=program.control.value,
        room=_room(planned.room) if planned.room else None,
    )


def _room(room: Room) -> RoomPlan:
    steps: list[Message] = [
        (f"link set {LOOPBACK} up", messages.link_change(None, LOOPBACK_INDEX)),
        (f"link set {ROOM_END} up", messages.link_change(None)),
    ]
    steps += [(address_command(address, ROOM_END, dad=False),
               messages.address(address, dad=False))
              for address in room.addresses]  # fmt: skip
    steps += [(route_command(route, ROOM_END), messages.route(route)) for route in room.routes]
    steps += [(neighbour_command(found, ROOM_END), messages.neighbour(found))
              for found in neighbours.out_of_room(room)]  # fmt: skip
    veth = messages.marked(messages.veth(room.device, ROOM_END, room.mac))
    return RoomPlan(
        device=room.device,
        client_ports=(room.client_ports.first, room.client_ports.last),
        ids=(room.first_id, room_ids.COUNT),
        removal=messages.link_removal(room.device),
        veth=(veth_command(room), *veth),
        sysctls=_sysctls(room.sysctls),
        messages=tuple((text, *messages.marked(message)) for text, message in steps),
    )


def _bulk(routes: Sequence[Route], device: str) -> tuple[str, tuple[bytes, ...], int, int]:
    """A text, the pieces, the size of a message, and the offset of the index in each message."""
    first = messages.route(routes[0])
    _, offsets = messages.marked(first)
    text = f"{len(routes)} routes from {route_command(routes[0], device, blank=True)!r} on"
    return text, tuple(bulk_routes.pieces(first, routes)), len(first), offsets[0] if offsets else 0
