"""The interfaces of a policy, as its file has them.

In: the table `interface` of the document.  Out: `Interface` values by name; what is wrong with one
of them, or with two together, is reported as a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pbrinit.net.addresses import (
    Address,
    AddressSet,
    Family,
    InterfaceAddress,
    Prefix,
    family_of,
    holds,
)
from pbrinit.net.special_addresses import NO_HOST
from pbrinit.policy.interfaces import ASSIGNED_BY, Interface
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import ROOM_DEVICE
from pbrinit.policy.reader import routes
from pbrinit.policy.reader.document import TomlTable
from pbrinit.policy.reader.scalars import address, block, interface_address

DYNAMIC = {"dhcp": Family.V4, "ra": Family.V6}
"""The words for an address that is assigned at run time, each with its family."""
DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
RESERVED_DEVICES = {
    "lo": "loopback always works, without an entry",
    "all": "the kernel reserves this name for all devices together",
    "default": "the kernel reserves this name for future devices",
}
"""Names that no other device can have (sysctl_dev_name_is_allowed, include/net/ip.h)."""

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
GROUP = 1


def read_interfaces(section: TomlTable) -> dict[str, Interface]:
    """The interfaces by name."""
    interfaces = {name: _interface(name, section.subtable(name)) for name in section.names()}
    _check_interfaces_together(section.problems, tuple(interfaces.values()))
    routes.check_routes_together(section.problems, interfaces.values())
    return interfaces


def _interface(name: str, table: TomlTable) -> Interface:
    device, mac = table.string("device"), table.string("mac")
    if device is not None:
        _check_device(table.problems, device.key, device.text)
    if mac is not None:
        _check_mac(table.problems, mac.key, mac.text)
        if name.startswith(ROOM_DEVICE):
            table.problems.report(table.key, f"the devices of rooms begin with {ROOM_DEVICE}")
        elif not DEVICE.fullmatch(name) or name in RESERVED_DEVICES:
            table.problems.report(
                table.key,
                "is not a device name",
                "a device found by its MAC is renamed to this; at most 15 letters, "
                f"and not {', '.join(RESERVED_DEVICES)}",
            )
    parsed = table.scalars("address", _static_address)
    addresses = [static for static in parsed if static is not None]
    gateways = table.scalars("gateway", address)
    _check_holds_hosts(table, addresses)
    words = {word.text for word in table.strings("address")}
    dynamic = frozenset(family for word, family in DYNAMIC.items() if word in words)
    for family in sorted(dynamic):
        _check_not_static_too(table, family, addresses, gateways)
    static_gateways = [gateway for gateway in gateways if family_of(gateway) not in dynamic]
    _check_gateways(table, static_gateways, addresses, dynamic)
    static_routes = routes.read_routes(table, addresses, dynamic)
    routers = (*static_gateways, *(route.via for route in static_routes))
    return Interface(
        name=name,
        device=device.text if device is not None else name,
        mac=mac.text.lower() if mac is not None else None,
        addresses=tuple(addresses),
        gateways=tuple(gateways),
        dynamic_families=dynamic,
        routes=(*routes.to_routers(routers, addresses), *static_routes),
        arp_from=_arp_from(table, addresses, dynamic),
    )


def _arp_from(
    table: TomlTable, addresses: Iterable[InterfaceAddress], dynamic: Iterable[Family]
) -> tuple[Prefix, ...]:
    """The prefixes at `arp-from`, which are of IPv4, as ARP is."""
    found = table.scalars("arp-from", block)
    if any(each.family is Family.V6 for each in found):
        table.problems.report(table.path("arp-from"), "IPv6 has no ARP", "write prefixes of IPv4")
    four = Family.V4 in dynamic or any(family_of(own) is Family.V4 for own in addresses)
    if found and not four:
        table.problems.report(
            table.path("arp-from"), "it has no IPv4 address", "leave arp-from out"
        )
    return tuple(
        prefix
        for each in found
        if each.family is Family.V4
        for prefix in AddressSet.from_ranges(each.family, [(each.first, each.last)]).prefixes
    )


def _static_address(text: str) -> InterfaceAddress | None:
    """The address, None for a word of DYNAMIC."""
    return None if text in DYNAMIC else interface_address(text)


def _check_holds_hosts(table: TomlTable, addresses: Iterable[InterfaceAddress]) -> None:
    """Report prefixes that contain more than addresses of hosts."""
    for own in addresses:
        for reserved in NO_HOST[family_of(own)]:
            if holds(own.network, reserved):
                table.problems.report(
                    table.path("address"),
                    f"{own.network} contains all of {reserved}",
                    "no host on a link has such an address",
                )


def _word(family: Family) -> str:
    return next(word for word, dynamic in DYNAMIC.items() if dynamic is family)


def _check_not_static_too(
    table: TomlTable,
    family: Family,
    addresses: Iterable[InterfaceAddress],
    gateways: Iterable[Address],
) -> None:
    """Report static addresses and gateways of a family whose address is dynamic."""
    for own in addresses:
        if family_of(own) is family:
            table.problems.report(
                table.path("address"),
                f'has "{_word(family)}" and {own}',
                f"only one of them can be the IPv{family.version} address",
            )
    for gateway in gateways:
        if family_of(gateway) is family:
            table.problems.report(
                table.path("gateway"),
                f"{gateway} is set",
                f"{ASSIGNED_BY[family]} the gateway comes with the address",
            )


def _check_device(problems: Problems, key: str, text: str) -> None:
    if text in RESERVED_DEVICES:
        problems.report(key, RESERVED_DEVICES[text])
    elif text.startswith(ROOM_DEVICE):
        problems.report(key, f"the devices of rooms begin with {ROOM_DEVICE}")
    elif not DEVICE.fullmatch(text):
        problems.report(key, "is not a device name", 'such as "eth0"')


def _check_mac(problems: Problems, key: str, text: str) -> None:
    if not MAC.fullmatch(text.lower()):
        problems.report(key, "is not a MAC address", 'such as "52:54:00:12:34:56"')
    elif int(text[:2], 16) & GROUP:
        problems.report(key, "is the MAC address of a group", "no device has an odd first octet")


def _check_gateways(
    table: TomlTable,
    gateways: list[Address],
    addresses: list[InterfaceAddress],
    dynamic: Iterable[Family],
) -> None:
    """Report gateways that cannot be reached, and more than one in a family."""
    versions: set[int] = set()
    key = table.path("gateway")
    for gateway in gateways:
        routes.check_router(table.problems, key, gateway, addresses, dynamic)
        if gateway.version in versions:
            table.problems.report(key, f"there are two gateways for IPv{gateway.version}")
        versions.add(gateway.version)


def _check_only_dynamic(
    problems: Problems, interface: Interface, family: Family, interfaces: Iterable[Interface]
) -> None:
    """Report a second interface with a dynamic address of the family, and gateways of other
    interfaces: the gateway is assigned too.
    """
    for other in interfaces:
        if other is interface:
            continue
        key = f"interface.{other.name}"
        if family in other.dynamic_families and other.name > interface.name:
            problems.report(
                f"{key}.address",
                f'{interface.name} has "{_word(family)}" too',
                "only one interface can have it",
            )
        if other.gateway(family) is not None:
            problems.report(
                f"{key}.gateway",
                f"{interface.name} gets its gateway {ASSIGNED_BY[family]}",
                "a machine has one default route for each family",
            )


def _check_interfaces_together(problems: Problems, interfaces: Iterable[Interface]) -> None:
    """Report what is wrong between two interfaces."""
    earlier: list[Interface] = []
    gateways: dict[int, str] = {}
    for interface in interfaces:
        key = f"interface.{interface.name}"
        for family in sorted(interface.dynamic_families):
            _check_only_dynamic(problems, interface, family, interfaces)
        for other in earlier:
            if interface.device == other.device:
                problems.report(f"{key}.device", f"is {other.name}'s device too")
            if interface.mac is not None and interface.mac == other.mac:
                problems.report(f"{key}.mac", f"is {other.name}'s MAC address too")
            for mine in interface.addresses:
                for theirs in other.addresses:
                    if mine.version == theirs.version and mine.network.overlaps(theirs.network):
                        problems.report(
                            f"{key}.address", f"{mine} overlaps with {other.name}'s {theirs}"
                        )
        for gateway in interface.gateways:
            if gateway.version in gateways:
                problems.report(
                    f"{key}.gateway",
                    f"{gateways[gateway.version]} has a gateway for IPv{gateway.version} too",
                    "a machine has one default route for each family",
                )
            gateways[gateway.version] = interface.name
        earlier.append(interface)
