"""The policy language: from the text of a TOML file to a `Policy`.

In: the path of a policy file.  Out: a `Policy` in which every name is resolved and every
prefix is sound, or a `PolicyError` with everything that is wrong.  Docs: docs/language.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pbrinit import networks
from pbrinit.addresses import Address, AddressSet, Family, InterfaceAddress
from pbrinit.atoms import AtomError, address, hostname, interface_address, prefix, service
from pbrinit.policy import (
    ANYBODY,
    EPHEMERAL,
    Direction,
    Entry,
    Interface,
    Peers,
    Policy,
    Service,
    User,
)
from pbrinit.problems import PolicyError, Problem, Problems

Table = Mapping[str, Any]
T = TypeVar("T")

TOP = ("hostname", "interface", "network", "service", "user", "input", "output")
INTERFACE = ("device", "mac", "address", "gateway")
ENTRY: dict[Direction, tuple[str, ...]] = {
    Direction.INPUT: ("on", "from", "service", "user"),
    Direction.OUTPUT: ("on", "to", "service", "user"),
}
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
HIGHEST_UID = 2**32 - 2


def read(path: Path) -> Policy:
    """Read and check the policy file at `path`.

    Raises PolicyError with all findings, also where the file is not there or is not TOML.
    """
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PolicyError([Problem(str(path), "file", f"cannot be read: {reason}")]) from None
    return _Reader(Problems(str(path)), document).policy()


class _Reader:
    """Reads one document; every method notes what is wrong and goes on."""

    def __init__(self, problems: Problems, document: Table) -> None:
        self.problems = problems
        self.document = document
        self.interfaces: dict[str, Interface] = {}
        self.networks: dict[str, Peers] = {}
        self.services: dict[str, tuple[Service, ...]] = {}
        self.users: dict[str, User] = {}

    def policy(self) -> Policy:
        self._known(self.document, TOP, "")
        name = self._atom("hostname", self.document.get("hostname"), hostname)
        for key, value in self._section("interface"):
            self.interfaces[key] = self._interface(f"interface.{key}", key, value)
        for key, value in self._section("network"):
            self.networks[key] = Peers(key, *self._network(f"network.{key}", value))
        for key, value in self._section("service"):
            self.services[key] = tuple(self._atoms(f"service.{key}", value, service))
        for key, value in self._section("user"):
            self.users[key] = User(key, self._uid(f"user.{key}", value))
        self._between_interfaces()
        entries = [
            self._entry(direction, key, value)
            for direction in ENTRY
            for key, value in self._entries(direction)
        ]
        self.problems.stop()
        return Policy(
            hostname=name or "",
            interfaces=tuple(self.interfaces.values()),
            users=tuple(self.users.values()),
            entries=tuple(entries),
        )

    def _known(self, table: Table, known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                path = f"{where}.{key}" if where else key
                self.problems.unknown(path, "there is no such key here", key, known)

    def _section(self, section: str) -> Iterator[tuple[str, Any]]:
        table = self.document.get(section, {})
        if not isinstance(table, dict):
            self.problems.add(section, "must be a table", f"write [{section}]")
            return
        for key, value in table.items():
            if NAME.fullmatch(key) and key != "any":
                yield key, value
            else:
                self.problems.add(
                    f"{section}.{key}",
                    "is no name",
                    'small letters, digits, - and _; at most 32; "any" is taken',
                )

    def _entries(self, direction: Direction) -> Iterator[tuple[str, Table]]:
        section = direction.value
        entries = self.document.get(section, [])
        if not isinstance(entries, list):
            self.problems.add(section, "must be a list of entries", f"write [[{section}]]")
            return
        for number, entry in enumerate(entries, 1):
            key = f"{section}[{number}]"
            if isinstance(entry, dict):
                yield key, entry
            else:
                self.problems.add(key, "must be a table", f"write [[{section}]]")

    def _atom(self, key: str, value: object, parse: Callable[[str], T]) -> T | None:
        if not isinstance(value, str):
            what = "is missing" if value is None else "must be a text in quotes"
            self.problems.add(key, what)
            return None
        try:
            return parse(value)
        except AtomError as error:
            self.problems.add(key, error.what, error.hint)
            return None

    def _atoms(self, key: str, value: object, parse: Callable[[str], T]) -> list[T]:
        """One text or a list of texts, each parsed; at least one, none twice."""
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            what = "is missing" if value is None else "must be a list of texts in quotes"
            self.problems.add(key, what)
            return []
        if not value:
            self.problems.add(key, "is empty", "leave it out, or name something")
        parsed: list[T] = []
        for number, item in enumerate(value, 1):
            atom = self._atom(f"{key}[{number}]", item, parse)
            if atom is not None and atom in parsed:
                self.problems.add(f"{key}[{number}]", f"{item} stands here twice")
            elif atom is not None:
                parsed.append(atom)
        return parsed

    def _network(self, key: str, value: object) -> Iterator[AddressSet]:
        """A list of prefixes, or a file of them, as a set for each family."""
        if isinstance(value, dict):
            self._known(value, ("file",), key)
            prefixes = networks.in_file(self.problems, f"{key}.file", value.get("file"))
        else:
            prefixes = self._atoms(key, value, prefix)
        return (AddressSet.of(family, prefixes) for family in Family)

    def _uid(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST_UID:
            self.problems.add(key, f"must be a number from 0 to {HIGHEST_UID}")
            return 0
        return value

    def _interface(self, key: str, name: str, table: object) -> Interface:
        if not isinstance(table, dict):
            self.problems.add(key, "must be a table", f"write [{key}]")
            table = {}
        self._known(table, INTERFACE, key)
        device, mac = table.get("device"), table.get("mac")
        if (device is None) == (mac is None):
            self.problems.add(key, "needs either device or mac", "one of the two, not both")
        if device is not None and not (isinstance(device, str) and DEVICE.fullmatch(device)):
            self.problems.add(f"{key}.device", "is no device name", 'such as "eth0"')
        if device == "lo":
            self.problems.add(f"{key}.device", "loopback always works", "it needs no entry")
        if mac is not None and not (isinstance(mac, str) and MAC.fullmatch(mac.lower())):
            self.problems.add(f"{key}.mac", "is no MAC address", 'such as "52:54:00:12:34:56"')
        if mac is not None and not DEVICE.fullmatch(name):
            self.problems.add(
                key, "is no device name", "a device found by its MAC is renamed to this; at most 15"
            )
        if table.get("address") == "dhcp":
            self.problems.add(f"{key}.address", "an address by DHCP is not supported", "write it")
            addresses: list[InterfaceAddress] = []
        else:
            addresses = self._atoms(f"{key}.address", table.get("address"), interface_address)
        gateways = self._gateways(f"{key}.gateway", table, addresses)
        return Interface(
            name=name,
            device=str(device or name),
            mac=str(mac).lower() if mac is not None else None,
            addresses=tuple(addresses),
            gateways=tuple(gateways),
        )

    def _gateways(
        self, key: str, table: Table, addresses: list[InterfaceAddress]
    ) -> Iterator[Address]:
        if "gateway" not in table:
            return
        versions: set[int] = set()
        for gateway in self._atoms(key, table["gateway"], address):
            if not any(gateway in address.network for address in addresses):
                self.problems.add(key, f"{gateway} is in no prefix of this interface's addresses")
            if any(gateway == address.ip for address in addresses):
                self.problems.add(key, f"{gateway} is this machine's own address")
            if any(_names_no_host(gateway, address) for address in addresses):
                self.problems.add(key, f"{gateway} is the network itself or its broadcast")
            if gateway.version in versions:
                self.problems.add(key, f"there are two gateways for IPv{gateway.version}")
            versions.add(gateway.version)
            yield gateway

    def _between_interfaces(self) -> None:
        """What only shows when interfaces are held side by side."""
        seen: list[Interface] = []
        gateways: dict[int, str] = {}
        for interface in self.interfaces.values():
            key = f"interface.{interface.name}"
            for other in seen:
                if interface.device == other.device:
                    self.problems.add(f"{key}.device", f"is {other.name}'s device too")
                if interface.mac is not None and interface.mac == other.mac:
                    self.problems.add(f"{key}.mac", f"is {other.name}'s MAC address too")
                for mine in interface.addresses:
                    for theirs in other.addresses:
                        if mine.version == theirs.version and mine.network.overlaps(theirs.network):
                            self.problems.add(
                                f"{key}.address", f"{mine} overlaps with {other.name}'s {theirs}"
                            )
            for gateway in interface.gateways:
                if gateway.version in gateways:
                    self.problems.add(
                        f"{key}.gateway",
                        f"{gateways[gateway.version]} has a gateway for IPv{gateway.version} too",
                        "a machine has one default route a family",
                    )
                gateways[gateway.version] = interface.name
            seen.append(interface)

    def _entry(self, direction: Direction, key: str, table: Table) -> Entry:
        self._known(table, ENTRY[direction], key)
        interfaces = self._named(f"{key}.on", table.get("on", list(self.interfaces)), "interface",
                                 self.interfaces)  # fmt: skip
        side = "from" if direction is Direction.INPUT else "to"
        peers = ANYBODY
        if side in table and table[side] != "any":
            words = self._atoms(f"{key}.{side}", table[side], str)
            peers = networks.chosen(self.problems, f"{key}.{side}", words, self.networks)
            networks.check_reachable(self.problems, f"{key}.{side}", peers, interfaces)
        services = self._named(f"{key}.service", table.get("service"), "service", self.services)
        flat = tuple(dict.fromkeys(atom for group in services for atom in group))
        if direction is Direction.INPUT:
            self._not_ephemeral(f"{key}.service", flat)
        users = self._named(f"{key}.user", table["user"], "user", self.users) if "user" in table \
            else []  # fmt: skip
        if len(users) > 1:
            self.problems.add(f"{key}.user", "names more than one user", "write an entry for each")
        incoming = direction is Direction.INPUT
        return Entry(
            key=key,
            direction=direction,
            interfaces=tuple(interfaces),
            ways_out=(),
            sources=peers if incoming else ANYBODY,
            destinations=ANYBODY if incoming else peers,
            services=flat,
            clients=EPHEMERAL,
            user=users[0] if users else None,
        )

    def _named(self, key: str, value: object, kind: str, known: Mapping[str, T]) -> list[T]:
        names = self._atoms(key, value, str)
        for name in names:
            if name not in known:
                self.problems.unknown(key, f'no {kind} is named "{name}"', name, known)
        return [known[name] for name in names if name in known]

    def _not_ephemeral(self, key: str, services: tuple[Service, ...]) -> None:
        for entry in services:
            if entry.ports is not None and entry.ports.overlaps(EPHEMERAL):
                self.problems.add(
                    key,
                    f"port {entry.ports} is among the ports of clients ({EPHEMERAL})",
                    "answers to clients reach them: let the service listen elsewhere",
                )


def _names_no_host(gateway: Address, address: InterfaceAddress) -> bool:
    """Whether it is the first or last address of an IPv4 prefix that has such (RFC 3021)."""
    network = address.network
    ends = (network.network_address, network.broadcast_address)
    return network.version == Family.V4.version and network.num_addresses > 2 and gateway in ends  # noqa: PLR2004
