"""Rooms as a plan has them, made by `ip`: a network namespace for each, behind a veth.

In: a `Plan`, the namespace of the machine.  Out: the namespaces of its rooms.  PID 1 has its own
way to make them; here the plan's values alone are put to the kernel.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pbrinit.net.addresses import Family
from pbrinit.plan.encode import encode
from pbrinit.plan.ip_commands import address_command, route_command
from pbrinit.plan.plan import Link, Plan, Room, Route
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Namespace

INSIDE = "eth0"


def outer(plan: Plan) -> Plan:
    """The plan without its rooms, and before anything is passed on."""
    rooms = {room.device for room, _ in doors(plan)}
    links = tuple(link for link in plan.links if link.device not in rooms)
    return replace(plan, links=links, programs=(), last=())


def doors(plan: Plan) -> list[tuple[Room, Link]]:
    """Each room, with the link that leads into it."""
    links = {link.device: link for link in plan.links}
    rooms = [program.room for program in plan.programs if program.room is not None]
    return [(room, links[room.device]) for room in rooms]


def in_force(machine: Namespace, plan: Plan) -> dict[str, Namespace]:
    """Put the whole plan in force on a machine whose devices are there; its rooms by name."""
    assert machine.do(in_namespace.enforce, encode(outer(plan), "rooms")) == []
    found = {}
    for program in plan.programs:
        for room, link in doors(replace(plan, programs=(program,))):
            inside = found[program.run.name] = Namespace()
            inside.do(in_namespace.write_sysctls, _pairs(room))
            machine.do(make, room, link, inside.pid)
            inside.do(furnish, room)
    machine.do(in_namespace.write_sysctls, [(sysctl.key, sysctl.value) for sysctl in plan.last])
    return found


def make(room: Room, link: Link, pid: int | None) -> None:
    """The veth, and what the machine's end has; without a process the other end stays here."""
    there = f"netns {pid}" if pid is not None else ""
    far = INSIDE if pid is not None else f"far-{link.device}"[:15]
    _ip(f"link add {link.device} address {room.mac} type veth peer name {far} address {room.mac}"
        f" {there}")  # fmt: skip
    _ip(f"link set {link.device} arp off")
    in_namespace.write_sysctls(_pairs(link))
    if pid is None:
        Path(f"/proc/sys/net/ipv6/conf/{far}/disable_ipv6").write_text("1")
        _ip(f"link set {far} up")
    _ip(f"link set {link.device} up")
    _routes((*link.early_routes, *link.routes), link.device)


def furnish(room: Room) -> None:
    """What the end inside has."""
    _ip("link set lo up")
    _ip(f"link set {INSIDE} arp off")
    _ip(f"link set {INSIDE} up")
    for address in room.addresses:
        # Else it is tentative until the kernel comes to it, and no route can have it for a source.
        now = " nodad" if address.version == Family.V6.version else ""
        _ip(address_command(address, INSIDE) + now)
    _routes(room.routes, INSIDE)


def _pairs(what: Room | Link) -> list[tuple[str, str]]:
    return [(sysctl.key, sysctl.value) for sysctl in what.sysctls]


def _routes(routes: Iterable[Route], device: str) -> None:
    for route in routes:
        source = f" src {route.preferred}" if route.preferred is not None else ""
        _ip(route_command(route, device) + source)


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], check=False, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"ip {words}: {done.stderr}")
