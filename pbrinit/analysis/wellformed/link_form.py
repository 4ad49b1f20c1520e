"""Whether the kernel takes the devices, addresses, tables and rooms of a plan as they are named.

In: a `Plan`.  Out: `Claim` values.  Functions named are those of Linux 6.12.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.analysis.wellformed.rule_form import LAST_USER, LOCAL, MAIN
from pbrinit.net.addresses import Family, InterfaceAddress
from pbrinit.plan.plan import Action, Plan, Room

DEVICE = re.compile(r"[^\s/:]{1,15}", re.ASCII)
NO_DEVICES = frozenset({".", "..", "all", "default"})
"""dev_valid_name (net/core/dev.c), and the groups of sysctls (sysctl_dev_name_is_allowed)."""

MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
"""The address of one host: the last bit of its first byte is 0 (is_multicast_ether_addr)."""

NO_MAC = "00:00:00:00:00:00"
LAST_WITH_BROADCAST = 30
ROOM_USERS = 1 << 16
"""A room has the users 0 to 65535."""


def claims(plan: Plan) -> Iterator[Claim]:
    """Everything that is to hold of devices, addresses, tables and rooms alone."""
    yield Claim("each device has a name that the kernel takes, and is there once",
                tuple(_devices(plan)))  # fmt: skip
    yield Claim("each MAC address is that of one host, and is there once", tuple(_macs(plan)))
    yield Claim("each address is that of one host, and is there once", tuple(_addresses(plan)))
    yield Claim("each table that is looked up or has routes has one name", tuple(_tables(plan)))
    yield Claim("each room has a device of its own", tuple(_room_devices(plan)))
    yield Claim("the users of each room are nobody else's", tuple(_room_users(plan)))


def _rooms(plan: Plan) -> list[tuple[str, Room]]:
    return [(p.program.name, p.room) for p in plan.programs if p.room is not None]


def _devices(plan: Plan) -> Iterator[Flaw]:
    devices = [link.device for link in plan.links]
    for device, count in Counter(devices).items():
        if not DEVICE.fullmatch(device) or device in NO_DEVICES:
            yield Flaw(repr(device), "no device can have this name")
        if count > 1:
            yield Flaw(device, f"it is set up {count} times")


def _macs(plan: Plan) -> Iterator[Flaw]:
    macs = [(link.device, link.mac) for link in plan.links if link.mac is not None]
    macs += [(f"room {name}", room.mac) for name, room in _rooms(plan)]
    counts = Counter(mac for _, mac in macs)
    for owner, mac in macs:
        if not MAC.fullmatch(mac) or mac == NO_MAC:
            yield Flaw(f"{owner}, {mac}", "no host has this MAC address")
        if counts[mac] > 1:
            yield Flaw(f"{owner}, {mac}", f"{counts[mac]} devices have it")


def _addresses(plan: Plan) -> Iterator[Flaw]:
    """inet_insert_ifa and ipv6_add_addr refuse an address that a device has already; on two
    devices it is taken, and either may answer for it.
    """
    places = {"": [(a, link.device) for link in plan.links for a in link.addresses]}
    places |= {f"room {n}, ": [(a, "eth0") for a in r.addresses] for n, r in _rooms(plan)}
    for place, addresses in places.items():
        counts = Counter(address.ip for address, _ in addresses)
        for address, device in addresses:
            where = f"{place}{device}, {address}"
            if not _is_host(address):
                yield Flaw(where, "no host has this address")
            if counts[address.ip] > 1:
                yield Flaw(where, f"it is set {counts[address.ip]} times")


def _is_host(address: InterfaceAddress) -> bool:
    ip, network = address.ip, address.network
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback or str(ip) == "255.255.255.255":
        return False
    has_broadcast = (
        address.version == Family.V4.version and network.prefixlen <= LAST_WITH_BROADCAST
    )
    return not (has_broadcast and ip == network.broadcast_address)


def _tables(plan: Plan) -> Iterator[Flaw]:
    numbers = Counter(number for number, _ in plan.tables)
    names = Counter(name for _, name in plan.tables)
    for number, name in plan.tables:
        if numbers[number] > 1 or names[name] > 1 or number in (MAIN, LOCAL):
            yield Flaw(f"table {number}, {name}", "another table has this number or this name")
    routes = (r for link in plan.links for r in (*link.preaddress_routes, *link.routes))
    used = {route.table for route in routes}
    used |= {r.argument for r in plan.rules if r.action is Action.LOOKUP and r.argument is not None}
    for number in sorted(used - {MAIN, LOCAL, *numbers}):
        yield Flaw(f"table {number}", "it has no name")


def _room_devices(plan: Plan) -> Iterator[Flaw]:
    devices = {link.device for link in plan.links if link.mac is None}
    counts = Counter(room.device for _, room in _rooms(plan))
    for name, room in _rooms(plan):
        if room.device not in devices:
            yield Flaw(f"room {name}", f"the plan does not set up {room.device} for it")
        if counts[room.device] > 1:
            yield Flaw(f"room {name}", f"{room.device} leads into another room too")


def _room_users(plan: Plan) -> Iterator[Flaw]:
    users = {planned.program.name: planned.program.user.uid for planned in plan.programs}
    rooms = _rooms(plan)
    for name, room in rooms:
        if not ROOM_USERS <= room.first_id <= LAST_USER + 1 - ROOM_USERS:
            yield Flaw(f"room {name}", f"its users begin at {room.first_id}, among others")
        for other in plan.users:
            if 0 <= other.uid - room.first_id < ROOM_USERS:
                yield Flaw(f"room {name}", f"it has the user {other.name} of the machine")
        user = users[name]
        if not 0 <= user < ROOM_USERS - 1:
            yield Flaw(f"room {name}", f"its program runs as {user}, whom it does not have")
        for beside, neighbour in rooms:
            if beside != name and abs(neighbour.first_id - room.first_id) < ROOM_USERS:
                yield Flaw(f"room {name}", f"it has users of the room {beside}")
