"""A plan as the commands that a person would type, with the reason for each.

In: a `Plan`.  Out: lines of shell. Typed as root on a machine whose interfaces are down, they put
the same plan in force (ip-rule(8), ip-route(8), ip-address(8), sysctl(8)).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pbrinit.net.addresses import InterfaceAddress
from pbrinit.plan import bulk_routes, neighbours
from pbrinit.plan.neighbours import Neighbour
from pbrinit.plan.plan import (
    KERNEL_RULES,
    LOOPBACK,
    TABLE_LOCAL,
    TABLE_MAIN,
    WITHOUT_DEVICE,
    Action,
    Link,
    Plan,
    PlannedProgram,
    Room,
    Route,
    RouteType,
    Rule,
    Sysctl,
)
from pbrinit.wire.bootplan import GOTO_BLANK, PREFERENCE_BLANK, TABLE_BLANK

TABLE_WORDS = {TABLE_MAIN: "main", TABLE_LOCAL: "local"}
ROOM_END = "eth0"
"""The name of the end of a veth that is inside of a room."""

ACTION_WORDS = {Action.LOOKUP: "lookup", Action.GOTO: "goto"}


def rule_command(rule: Rule, *, blank: bool = False) -> str:
    """The arguments of `ip` for the rule: `-4 rule add pref 1 iif lo goto 1000`; with `blank` as a
    boot plan has them.
    """
    preference = PREFERENCE_BLANK if blank else rule.preference
    words: list[object] = [f"-{rule.family.version}", "rule add pref", preference]
    for word, value in (
        ("iif", rule.iif),
        ("oif", rule.oif),
        ("from", rule.source),
        ("to", rule.destination),
        ("ipproto", rule.protocol),
        ("sport", rule.source_ports),
        ("dport", rule.destination_ports),
    ):
        if value is not None:
            words += [word, value]
    if rule.uid is not None:
        words += ["uidrange", f"{rule.uid}-{rule.uid}"]
    words.append(ACTION_WORDS.get(rule.action, rule.action.value))
    if rule.action is Action.LOOKUP and rule.argument is not None:
        words.append(_table(rule.argument, blank=blank))
    elif rule.argument is not None:
        words.append(GOTO_BLANK if blank else rule.argument)
    return " ".join(str(word) for word in words)


def route_command(route: Route, device: str, *, blank: bool = False) -> str:
    """The arguments of `ip` for the route; with `blank` as a boot plan has them."""
    words = [f"-{route.family.version}", "route add"]
    if route.type is not RouteType.UNICAST:
        words.append(route.type.word)
    words.append(str(route.destination or "default"))
    if route.source is not None:
        words += ["from", str(route.source)]
    if route.gateway is not None:
        words += ["via", str(route.gateway)]
    if route.type not in WITHOUT_DEVICE:
        words += ["dev", device]
    if route.onlink:
        words.append("onlink")
    if route.preferred is not None:
        words += ["src", str(route.preferred)]
    return " ".join([*words, "table", _table(route.table, blank=blank), "proto static"])


def _table(number: int, *, blank: bool) -> str:
    return TABLE_WORDS.get(number) or (TABLE_BLANK if blank else str(number))


def address_command(address: InterfaceAddress, device: str, *, dad: bool = True) -> str:
    """The arguments of `ip` for the address; `dad`: duplicate address detection in IPv6."""
    broadcast = " brd +" if address.version == 4 and address.network.prefixlen < 31 else ""  # noqa: PLR2004
    nodad = " nodad" if address.version == 6 and not dad else ""  # noqa: PLR2004  IP's version
    return f"address add {address}{broadcast} dev {device}{nodad}"


def neighbour_command(neighbour: Neighbour, device: str) -> str:
    """The arguments of `ip` for the neighbour (ip-neighbour(8))."""
    words = f"neigh add {neighbour.address} lladdr {neighbour.mac}"
    return f"-{neighbour.address.version} {words} dev {device} nud permanent"


def veth_command(room: Room, namespace: str = "NAMESPACE") -> str:
    """The arguments of `ip` for both ends of the veth of a room."""
    inner = f"name {ROOM_END} netns {namespace} address {room.mac} arp off"
    return f"link add {room.device} address {room.mac} arp off type veth peer {inner}"


def commands(plan: Plan) -> Iterator[str]:
    """Every step of the plan, in order, as commented shell."""
    yield f"hostname {shlex.quote(plan.hostname)}"
    for sysctl in plan.sysctls:
        yield _sysctl(sysctl)
    for rule in sorted(plan.rules, key=lambda rule: (rule.family, -rule.preference)):
        yield _noted(f"ip {rule_command(rule)}", rule.note)
    for rule in KERNEL_RULES:
        command = f"ip -{rule.family.version} rule del pref {rule.preference}"
        yield _noted(command, "the kernel's own")
    rooms = {planned.room.device: planned for planned in plan.programs if planned.room}
    for link in plan.links:
        planned = rooms.get(link.device)
        if planned is not None:
            yield from _room(planned)
        yield from _link(link)
        if planned is not None and planned.room is not None:
            for neighbour in neighbours.into_room(link, planned.room):
                yield f"ip {neighbour_command(neighbour, link.device)}"
    for sysctl in plan.forwarding_sysctls:
        yield _sysctl(sysctl)


def _room(planned: PlannedProgram) -> Iterator[str]:
    """The namespace and what is in it. The other end of the veth is a link like any other."""
    room, name = planned.room, planned.program.name
    if room is None:
        return
    yield f"ip netns add {name}"
    for sysctl in room.sysctls:
        yield f"ip netns exec {name} {_sysctl(sysctl)}"
    yield f"ip {veth_command(room, name)}"
    for device in (LOOPBACK, ROOM_END):
        yield f"ip -n {name} link set {device} up"
    for address in room.addresses:
        yield f"ip -n {name} {address_command(address, ROOM_END, dad=False)}"
    for route in room.routes:
        yield _noted(f"ip -n {name} {route_command(route, ROOM_END)}", route.note)
    for neighbour in neighbours.out_of_room(room):
        yield f"ip -n {name} {neighbour_command(neighbour, ROOM_END)}"


def _link(link: Link) -> Iterator[str]:
    if link.mac is not None:
        yield (
            f"ip link set \"$(ip -o link | awk -F': ' '/{link.mac}/ {{print $2}}')\""
            f" name {link.device}"
        )
    for sysctl in link.sysctls:
        yield _sysctl(sysctl)
    yield _noted(f"ip link set {link.device} up", link.name)
    many, few = bulk_routes.split((*link.preaddress_routes, *link.routes))
    for route in link.preaddress_routes:
        if route in few:
            yield _noted(f"ip {route_command(route, link.device)}", route.note)
    for address in link.addresses:
        yield f"ip {address_command(address, link.device)}"
    for route in link.routes:
        if route in few:
            yield _noted(f"ip {route_command(route, link.device)}", route.note)
    for routes in many:
        family = f"-{routes[0].family.version}"
        yield f"ip {family} -batch - <<END  # {len(routes)} routes: {routes[0].note}"
        yield from (route_command(r, link.device).removeprefix(f"{family} ") for r in routes)
        yield "END"


def _sysctl(sysctl: Sysctl) -> str:
    return _noted(f"sysctl -w {shlex.quote(f'{sysctl.key}={sysctl.value}')}", sysctl.note)


def _noted(command: str, note: str) -> str:
    return f"{command}  # {note}" if note else command
