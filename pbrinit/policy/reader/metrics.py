"""The page for Prometheus, as the policy has it: its port, and the user that serves it.

In: the `[metrics]` table, and the entries.  Out: `Metrics`, and a remark where no host can read it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pbrinit.net.services import Ports, Protocol
from pbrinit.policy.policy import Allow, Direction, Metrics
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import ROOT
from pbrinit.policy.reader.document import TomlTable
from pbrinit.policy.reader.names import SymbolTable


def read_metrics(
    symbols: SymbolTable, document: TomlTable, allows: Iterable[Allow], remarks: Problems
) -> Metrics | None:
    """The page, if the policy has one."""
    if "metrics" not in document:
        return None
    section = document.subtable("metrics")
    user, port = symbols.user_of(section), section.number("port")
    if user is None or not port:
        return None
    if user.uid == ROOT:
        what = f"{user.name} is root, and this program answers other hosts"
        symbols.problems.report(section.path("user"), what, "name a user without rights")
    opening = [allow for allow in allows if _opens(allow, port)]
    if not opening:
        remarks.report(
            section.path("port"), f"no input entry allows tcp/{port}: no host can read it"
        )
    elif all(allow.user not in (None, user) for allow in opening):
        what = f"the input entries that allow tcp/{port} are for another user's programs"
        remarks.report(section.path("user"), what)
    return Metrics(port, user)


def _opens(allow: Allow, port: int) -> bool:
    return allow.direction is Direction.INPUT and any(
        service.protocol == Protocol.TCP
        and service.ports is not None
        and Ports(port, port) in service.ports
        for service in allow.services
    )
