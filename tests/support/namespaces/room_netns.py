"""The rooms of a plan, made with `ip`: a network namespace for each, behind a veth.

In: a `Plan`, the namespace of the machine.  Out: the namespaces of its rooms.  PID 1 makes rooms in
its own way; here only the values of the plan are given to the kernel.
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


def without_rooms(plan: Plan) -> Plan:
    """The plan without its rooms and without the sysctls that turn on forwarding."""
    rooms = {room.device for room, _ in room_links(plan)}
    links = tuple(link for link in plan.links if link.device not in rooms)
    return replace(plan, links=links, programs=(), forwarding_sysctls=())


def room_links(plan: Plan) -> list[tuple[Room, Link]]:
    """Each room with its link on the machine."""
    links = {link.device: link for link in plan.links}
    rooms = [program.room for program in plan.programs if program.room is not None]
    return [(room, links[room.device]) for room in rooms]


def enforce(machine: Namespace, plan: Plan) -> dict[str, Namespace]:
    """Put the whole plan in force on a machine that has its devices; its rooms by name."""
    assert machine.do(in_namespace.enforce, encode(without_rooms(plan), "rooms")) == []
    namespaces = {}
    for program in plan.programs:
        for room, link in room_links(replace(plan, programs=(program,))):
            inside = namespaces[program.program.name] = Namespace()
            inside.do(in_namespace.write_sysctls, _sysctls(room))
            machine.do(make_veth, room, link, inside.pid)
            inside.do(set_up_inside, room)
    machine.do(
        in_namespace.write_sysctls,
        [(sysctl.key, sysctl.value) for sysctl in plan.forwarding_sysctls],
    )
    return namespaces


def make_veth(room: Room, link: Link, pid: int | None) -> None:
    """Make a room's veth and set up the machine's end. Without `pid` the other end stays here."""
    target = f"netns {pid}" if pid is not None else ""
    far = INSIDE if pid is not None else f"far-{link.device}"[:15]
    _ip(f"link add {link.device} address {room.mac} type veth peer name {far} address {room.mac}"
        f" {target}")  # fmt: skip
    _ip(f"link set {link.device} arp off")
    in_namespace.write_sysctls(_sysctls(link))
    if pid is None:
        Path(f"/proc/sys/net/ipv6/conf/{far}/disable_ipv6").write_text("1")
        _ip(f"link set {far} up")
    _ip(f"link set {link.device} up")
    _routes((*link.preaddress_routes, *link.routes), link.device)


def set_up_inside(room: Room) -> None:
    """Set up the end inside the room."""
    _ip("link set lo up")
    _ip(f"link set {INSIDE} arp off")
    _ip(f"link set {INSIDE} up")
    for address in room.addresses:
        # A tentative address cannot be the preferred source of a route.
        now = " nodad" if address.version == Family.V6.version else ""
        _ip(address_command(address, INSIDE) + now)
    _routes(room.routes, INSIDE)


def _sysctls(what: Room | Link) -> list[tuple[str, str]]:
    return [(sysctl.key, sysctl.value) for sysctl in what.sysctls]


def _routes(routes: Iterable[Route], device: str) -> None:
    for route in routes:
        source = f" src {route.preferred}" if route.preferred is not None else ""
        _ip(route_command(route, device) + source)


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], check=False, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"ip {words}: {done.stderr}")
