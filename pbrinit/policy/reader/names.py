"""The names that a policy defines: interfaces, networks, services, users and programs.

In: the document.  Out: what a name stands for wherever one is used, `Remarks` on those that
never are; a name that stands for nothing is noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pbrinit.net.services import Ports, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, Peers
from pbrinit.policy.problems import Problem
from pbrinit.policy.programs import Run, User
from pbrinit.policy.reader import networks, programs, suggestions
from pbrinit.policy.reader.document import Node, Word
from pbrinit.policy.reader.interfaces import interfaces
from pbrinit.policy.reader.reachability import Reach
from pbrinit.policy.reader.services import service

T = TypeVar("T")

ANY = "any"


class Vocabulary:
    """The names of one document."""

    def __init__(self, document: Node) -> None:
        self.problems = document.problems
        self.interfaces = interfaces(document.node("interface"))
        self.networks = networks.defined(document.node("network"))
        section = document.node("service")
        self.services = {name: tuple(section.atoms(name, service)) for name in section.names()}
        numbers = document.node("user")
        self.users = {name: User(name, numbers.number(name)) for name in numbers.names()}
        self.runs = programs.runs(document.node("run"), self.users)
        self.clients = self._clients()
        self.reach = Reach(self.interfaces.values())
        self._used = {("user", run.user.name) for run in self.runs.values()}

    def interfaces_of(self, node: Node, key: str) -> tuple[Interface, ...]:
        """The interfaces named at `key`; all of them where nothing is said."""
        if key in node:
            return tuple(self._named(node.texts(key), "interface", self.interfaces))
        if not self.interfaces:
            self.problems.add(node.key, "there is no interface", "write [interface.NAME]")
        return tuple(self.interfaces.values())

    def services_of(self, node: Node) -> tuple[Service, ...]:
        """The services named, one by one."""
        groups = self._named(node.texts("service"), "service", self.services)
        return tuple(dict.fromkeys(atom for group in groups for atom in group))

    def user_of(self, node: Node) -> User | None:
        """The user named, if one is."""
        word = node.text("user")
        found = list(self._named([word] if word else [], "user", self.users))
        return found[0] if found else None

    def run_of(self, node: Node, key: str = "run") -> Run | None:
        """The program named at `key`, if one is."""
        word = node.text(key)
        found = list(self._named([word] if word else [], "program", self.runs))
        return found[0] if found else None

    def room_of(self, node: Node) -> tuple[Run | None, User | None]:
        """The program whose room an entry is about, and the user: a program without a room is
        known by its user.
        """
        run, user = self.run_of(node), self.user_of(node)
        if run is not None and "user" in node:
            self.problems.add(
                node.path("user"), f"{run.name} runs as {run.user.name}", "leave the user out"
            )
        if run is None or not run.isolated:
            return None, run.user if run else user
        return run, None

    def _clients(self) -> Ports:
        """The ports of clients that are in no room."""
        rooms = sum(run.isolated for run in self.runs.values())
        return programs.slices(rooms)[0]

    def peers_of(self, node: Node, key: str) -> Peers | None:
        """The peers named at `key`; None where nothing is said."""
        words = node.texts(key)
        if not words:
            return None
        if [word.text for word in words] == [ANY]:
            return ANYBODY
        for word in words:
            if word.text == ANY:
                self.problems.add(word.key, '"any" is everybody already', "it stands alone")
            self._used.add(("network", networks.name_in(word.text)))
        return networks.chosen(self.problems, node.path(key), words, self.networks)

    def check_reach(
        self, node: Node, key: str, peers: Peers | None, interfaces: Sequence[Interface]
    ) -> None:
        """Note peers of an entry that none of its `interfaces` leads to."""
        if peers is None or not any(peers.both) or not interfaces:
            return
        where = node.path(key) if key in node else node.key
        said = any(not networks.is_left_out(word.text) for word in node.texts(key))
        whole = said and peers is not ANYBODY
        self.reach.check(self.problems, where, peers, interfaces, whole=whole)

    def unused(self) -> Iterator[Problem]:
        """A remark on each name that is defined and then not used."""
        kinds: dict[str, Mapping[str, object]] = {
            "network": self.networks,
            "service": self.services,
            "user": self.users,
        }
        for kind, names in kinds.items():
            for name in names:
                if (kind, name) not in self._used:
                    yield Problem(self.problems.file, f"{kind}.{name}", "is defined, but not used")

    def _named(self, words: Sequence[Word], kind: str, known: Mapping[str, T]) -> Iterator[T]:
        for word in words:
            self._used.add((kind, word.text))
            if word.text in known:
                yield known[word.text]
            else:
                hint = suggestions.name(kind, word.text, self.interfaces.values())
                said = f'no {kind} is named "{word.text}"'
                self.problems.unknown(word.key, said, word.text, known, hint)
