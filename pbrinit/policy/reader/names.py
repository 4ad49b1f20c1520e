"""The names that a policy defines: interfaces, networks, services, users and programs.

In: the document.  Out: `SymbolTable`, which has the value of each name.  A name that is not
defined is reported as a problem, and a name that is never used as a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, AddressGroup
from pbrinit.policy.problems import Problem
from pbrinit.policy.programs import Program, User
from pbrinit.policy.reader import networks, programs, suggestions
from pbrinit.policy.reader.document import TomlString, TomlTable
from pbrinit.policy.reader.interfaces import read_interfaces
from pbrinit.policy.reader.reachability import Reachability
from pbrinit.policy.reader.services import ephemeral_ports, service

T = TypeVar("T")

ANY = "any"


class SymbolTable:
    """The names of one document, with their values."""

    def __init__(self, document: TomlTable) -> None:
        self.problems = document.problems
        self.interfaces = read_interfaces(document.subtable("interface"))
        self.networks = networks.read_networks(document.subtable("network"))
        section = document.subtable("service")
        self.services = {name: tuple(section.scalars(name, service)) for name in section.names()}
        numbers = document.subtable("user")
        self.users = {name: User(name, numbers.number(name)) for name in numbers.names()}
        self.ephemeral_ports = (
            document.scalar("ephemeral-ports", ephemeral_ports) or LOCAL_EPHEMERAL_PORTS
        )
        self.programs = programs.read_programs(
            document.subtable("run"), self.users, self.ephemeral_ports
        )
        self.client_ports = self._client_ports()
        self.reachability = Reachability(self.interfaces.values())
        self._check_arp_reachable()
        self._used = {("user", program.user.name) for program in self.programs.values()}

    def _check_arp_reachable(self) -> None:
        """Report those whose ARP requests are to be answered, and who are not behind it."""
        for interface in self.interfaces.values():
            if not interface.arp_from:
                continue
            addresses = AddressSet.from_prefixes(Family.V4, interface.arp_from)
            group = AddressGroup("arp-from", addresses, AddressSet(Family.V6))
            self.reachability.check_each_reachable(
                self.problems,
                f"interface.{interface.name}.arp-from",
                group,
                [interface],
                each_prefix=True,
            )

    def interfaces_of(self, table: TomlTable, key: str) -> tuple[Interface, ...]:
        """The interfaces named at `key`; all interfaces where the key is left out."""
        if key in table:
            return tuple(self._values(table.strings(key), "interface", self.interfaces))
        if not self.interfaces:
            self.problems.report(table.key, "there is no interface", "write [interface.NAME]")
        return tuple(self.interfaces.values())

    def services_of(self, table: TomlTable) -> tuple[Service, ...]:
        """The services that the key `service` names, each once."""
        groups = self._values(table.strings("service"), "service", self.services)
        return tuple(dict.fromkeys(service for group in groups for service in group))

    def user_of(self, table: TomlTable) -> User | None:
        """The user that the key `user` names, if it is there."""
        word = table.string("user")
        return next(self._values([word] if word else [], "user", self.users), None)

    def program_of(self, table: TomlTable, key: str = "run") -> Program | None:
        """The program named at `key`, if it is there."""
        word = table.string(key)
        return next(self._values([word] if word else [], "program", self.programs), None)

    def room_of(self, table: TomlTable) -> tuple[Program | None, User | None]:
        """The program whose room an entry is about, and the user. For a program without a room
        that is its user.
        """
        program, user = self.program_of(table), self.user_of(table)
        if program is not None and "user" in table:
            self.problems.report(
                table.path("user"),
                f"{program.name} runs as {program.user.name}",
                "leave the user out",
            )
        if program is None or not program.isolated:
            return None, program.user if program else user
        return program, None

    def _client_ports(self) -> Ports:
        """The ephemeral ports of clients that are in no room."""
        rooms = sum(program.isolated for program in self.programs.values())
        return programs.port_slices(rooms, self.ephemeral_ports)[0]

    def addresses_of(self, table: TomlTable, key: str) -> AddressGroup | None:
        """The addresses of the networks named at `key`; None where the key is left out."""
        words = table.strings(key)
        if not words:
            return None
        if [word.text for word in words] == [ANY]:
            return ANYBODY
        for word in words:
            if word.text == ANY:
                self.problems.report(word.key, '"any" is every address already', "write it alone")
            self._used.add(("network", networks.name_in(word.text)))
        return networks.select(self.problems, table.path(key), words, self.networks)

    def check_reachable(
        self,
        table: TomlTable,
        key: str,
        group: AddressGroup | None,
        interfaces: Sequence[Interface],
    ) -> None:
        """Report addresses of an entry that are behind none of its `interfaces`."""
        if group is None or not any(group.both) or not interfaces:
            return
        path = table.path(key) if key in table else table.key
        names_some = any(not networks.is_negated(word.text) for word in table.strings(key))
        each_prefix = names_some and group is not ANYBODY
        self.reachability.check_each_reachable(
            self.problems, path, group, interfaces, each_prefix=each_prefix
        )

    def unused(self) -> Iterator[Problem]:
        """A remark for each name that is defined and not used."""
        kinds: dict[str, Mapping[str, object]] = {
            "network": self.networks,
            "service": self.services,
            "user": self.users,
        }
        for kind, names in kinds.items():
            for name in names:
                if (kind, name) not in self._used:
                    yield Problem(self.problems.file, f"{kind}.{name}", "is defined, but not used")

    def _values(
        self, words: Sequence[TomlString], kind: str, defined: Mapping[str, T]
    ) -> Iterator[T]:
        """The values of names; a name that is not defined is reported."""
        for word in words:
            self._used.add((kind, word.text))
            if word.text in defined:
                yield defined[word.text]
            else:
                hint = suggestions.name(kind, word.text, self.interfaces.values())
                what = f'no {kind} is named "{word.text}"'
                self.problems.report_unknown(word.key, what, word.text, defined, hint)
