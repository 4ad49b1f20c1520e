"""The page for Prometheus, as the policy has it: where it is served, and by whom.

In: the `[metrics]` table, and the entries.  Out: `Metrics`, with remarks where nobody can read it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pbrinit.net.services import Ports, Protocol
from pbrinit.policy.policy import Direction, Entry, Metrics
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import ROOT
from pbrinit.policy.reader.document import Node
from pbrinit.policy.reader.names import Vocabulary


def served(
    vocabulary: Vocabulary, document: Node, entries: Iterable[Entry], remarks: Problems
) -> Metrics | None:
    """The page, where the policy has one."""
    if "metrics" not in document:
        return None
    section = document.node("metrics")
    user, port = vocabulary.user_of(section), section.number("port")
    if user is None or not port:
        return None
    if user.uid == ROOT:
        what = f"{user.name} is root, and strangers speak to this program"
        vocabulary.problems.add(section.path("user"), what, "name a user who can do nothing")
    opened = [entry for entry in entries if _opens(entry, port)]
    if not opened:
        remarks.add(section.path("port"), f"no input entry opens tcp/{port}: nobody can read it")
    elif all(entry.user not in (None, user) for entry in opened):
        what = f"the input entries that open tcp/{port} are for another user's programs"
        remarks.add(section.path("user"), what)
    return Metrics(port, user)


def _opens(entry: Entry, port: int) -> bool:
    return entry.direction is Direction.INPUT and any(
        service.protocol == Protocol.TCP
        and service.ports is not None
        and Ports(port, port) in service.ports
        for service in entry.services
    )
