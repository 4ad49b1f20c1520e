"""The interfaces of a policy, as its file has them.

In: the table `interface` of the document.  Out: `Interface` values by name; all that is
wrong with one, or between two, is noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pbrinit.net.addresses import Address, Family, InterfaceAddress, holds
from pbrinit.net.special_addresses import NO_HOST
from pbrinit.policy.interfaces import GIVEN, Interface
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import ROOM_DEVICE
from pbrinit.policy.reader import routes
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.scalars import address, interface_address

ASKED = {"dhcp": Family.V4, "ra": Family.V6}
"""The words for an address that is given on the link, and of which family it is."""
DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
TAKEN = {
    "lo": "loopback always works, without an entry",
    "all": "the kernel keeps this name for all devices together",
    "default": "the kernel keeps this name for devices yet to come",
}
"""Names that no other device can have (sysctl_dev_name_is_allowed, include/net/ip.h)."""

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
GROUP = 1


def interfaces(section: Node) -> dict[str, Interface]:
    """The interfaces by name."""
    found = {name: _interface(name, section.node(name)) for name in section.names()}
    _side_by_side(section.problems, tuple(found.values()))
    routes.side_by_side(section.problems, found.values())
    return found


def _interface(name: str, node: Node) -> Interface:
    device, mac = node.text("device"), node.text("mac")
    if device is not None:
        _device(node.problems, device.key, device.text)
    if mac is not None:
        _mac(node.problems, mac.key, mac.text)
        if not DEVICE.fullmatch(name) or name in TAKEN:
            node.problems.add(
                node.key,
                "is no device name",
                "a device found by its MAC is renamed to this; at most 15 letters, "
                f"and not {', '.join(TAKEN)}",
            )
    addresses = [found for found in node.atoms("address", _written) if found is not None]
    gateways = node.atoms("gateway", address)
    _nobodys(node, addresses)
    words = {word.text for word in node.texts("address")}
    asks = frozenset(family for word, family in ASKED.items() if word in words)
    for family in sorted(asks):
        _given_too(node, family, addresses, gateways)
    _gateways(node, [g for g in gateways if Family.of(g) not in asks], addresses, asks)
    return Interface(
        name=name,
        device=device.text if device is not None else name,
        mac=mac.text.lower() if mac is not None else None,
        addresses=tuple(addresses),
        gateways=tuple(gateways),
        asks=asks,
        routes=routes.routes(node, addresses, asks),
    )


def _written(text: str) -> InterfaceAddress | None:
    """An address, where one is written."""
    return None if text in ASKED else interface_address(text)


def _nobodys(node: Node, addresses: Iterable[InterfaceAddress]) -> None:
    """Note prefixes that have more than hosts in them."""
    for one in addresses:
        for nobody in NO_HOST[Family.of(one)]:
            if holds(one.network, nobody):
                node.problems.add(node.path("address"), f"{one.network} has all of {nobody} in it",
                                  "nobody on a link has such an address")  # fmt: skip


def _word(family: Family) -> str:
    return next(word for word, asked in ASKED.items() if asked is family)


def _given_too(
    node: Node,
    family: Family,
    addresses: Iterable[InterfaceAddress],
    gateways: Iterable[Address],
) -> None:
    """Note what of a family is written although it is given on the link."""
    for one in addresses:
        if Family.of(one) is family:
            node.problems.add(
                node.path("address"),
                f'has "{_word(family)}" and {one}',
                f"one IPv{family.version} address, or the other",
            )
    for gateway in gateways:
        if Family.of(gateway) is family:
            node.problems.add(
                node.path("gateway"),
                f"{gateway} is written",
                f"{GIVEN[family]} the gateway comes with the address",
            )


def _device(problems: Problems, key: str, text: str) -> None:
    if text in TAKEN:
        problems.add(key, TAKEN[text])
    elif text.startswith(ROOM_DEVICE):
        problems.add(key, f"the devices of rooms begin with {ROOM_DEVICE}")
    elif not DEVICE.fullmatch(text):
        problems.add(key, "is no device name", 'such as "eth0"')


def _mac(problems: Problems, key: str, text: str) -> None:
    if not MAC.fullmatch(text.lower()):
        problems.add(key, "is no MAC address", 'such as "52:54:00:12:34:56"')
    elif int(text[:2], 16) & GROUP:
        problems.add(key, "is the MAC address of a group", "no device has an odd first octet")


def _gateways(
    node: Node,
    gateways: list[Address],
    addresses: list[InterfaceAddress],
    asks: Iterable[Family],
) -> None:
    """Note gateways that cannot be reached, and more than one a family."""
    known: set[int] = set()
    key = node.path("gateway")
    for gateway in gateways:
        routes.reached(node.problems, key, gateway, addresses, asks)
        if gateway.version in known:
            node.problems.add(key, f"there are two gateways for IPv{gateway.version}")
        known.add(gateway.version)


def _the_only_one(
    problems: Problems, interface: Interface, family: Family, found: Iterable[Interface]
) -> None:
    """Note a second interface that asks for an address of the family, and a gateway that may be
    given too.
    """
    for other in found:
        key = f"interface.{other.name}"
        if other is not interface and family in other.asks and other.name > interface.name:
            problems.add(
                f"{key}.address",
                f'{interface.name} has "{_word(family)}" too',
                "one interface can have it",
            )
        if other is not interface and other.gateway(family) is not None:
            problems.add(
                f"{key}.gateway",
                f"{interface.name} gets its gateway {GIVEN[family]}",
                "a machine has one default route a family",
            )


def _side_by_side(problems: Problems, found: Iterable[Interface]) -> None:
    """Note what only shows when interfaces are held side by side."""
    seen: list[Interface] = []
    gateways: dict[int, str] = {}
    for interface in found:
        key = f"interface.{interface.name}"
        for family in sorted(interface.asks):
            _the_only_one(problems, interface, family, found)
        for other in seen:
            if interface.device == other.device:
                problems.add(f"{key}.device", f"is {other.name}'s device too")
            if interface.mac is not None and interface.mac == other.mac:
                problems.add(f"{key}.mac", f"is {other.name}'s MAC address too")
            for mine in interface.addresses:
                for theirs in other.addresses:
                    if mine.version == theirs.version and mine.network.overlaps(theirs.network):
                        problems.add(
                            f"{key}.address", f"{mine} overlaps with {other.name}'s {theirs}"
                        )
        for gateway in interface.gateways:
            if gateway.version in gateways:
                problems.add(
                    f"{key}.gateway",
                    f"{gateways[gateway.version]} has a gateway for IPv{gateway.version} too",
                    "a machine has one default route a family",
                )
            gateways[gateway.version] = interface.name
        seen.append(interface)
