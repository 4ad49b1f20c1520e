"""Whose client's ports are whose: no two share one, and nobody listens on one.

In: a `Policy` and its `Plan`.  Out: for the machine itself and each room a `PortSlice`, and the
`Flaw` where it is not its own.  By an answer's port alone it is known who asked, so that a
port which two take, or which one takes and another listens on, would let strangers in by answers.

What counts is what the plan sets (ip_local_port_range), and that it is what the policy means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pbrinit.analysis.claim import Flaw
from pbrinit.net.services import Ports
from pbrinit.plan.plan import Plan, Sysctl
from pbrinit.policy.policy import Direction, Policy

RANGE = "net/ipv4/ip_local_port_range"
MACHINE = "the machine itself"


@dataclass(frozen=True)
class PortSlice:
    """The ports that the clients of one take: as the policy means, and as the plan sets (`taken`,
    None where it sets nothing). `others` are those of all others, and `services` what anybody
    listens on, each with what to call it.
    """

    owner: str
    meant: Ports
    taken: Ports | None
    others: tuple[tuple[str, Ports], ...]
    services: tuple[tuple[str, Ports], ...]

    @property
    def protocols(self) -> frozenset[int]:
        """It is about ports, whatever the protocol."""
        return frozenset()

    def __str__(self) -> str:
        return "the ports of clients are nobody else's"

    def conflict(self) -> Flaw | None:
        """Where the plan sets other ports than are meant, or the ports are others' as well."""
        if self.taken != self.meant:
            port = self.taken.first if self.taken else self.meant.first
            why = f"{self.owner} takes {self.taken}, and is meant to take {self.meant}"
            return Flaw(f"port {port}", why)
        for what, ports in (*self.others, *self.services):
            if ports.overlaps(self.meant):
                both = max(ports.first, self.meant.first)
                why = f"it is of the clients of {self.owner}, and of {what}"
                return Flaw(f"port {both}", why)
        return None


def slices(policy: Policy, plan: Plan) -> Iterator[PortSlice]:
    """That of the machine itself, and those of its rooms."""
    rooms = {p.program.name: p.room for p in plan.programs if p.room is not None}
    taken: dict[str, tuple[Ports, Ports | None]] = {
        MACHINE: (policy.client_ports, _range(plan.sysctls))
    }
    for program in policy.rooms:
        room = rooms.get(program.name)
        taken[program.label] = program.client_ports, _range(room.sysctls) if room else None
    services = tuple(_services(policy))
    for owner, (meant, found) in taken.items():
        others = tuple((other, ports) for other, (_, ports) in taken.items()
                       if other != owner and ports is not None)  # fmt: skip
        yield PortSlice(owner, meant, found, others, services)


def _range(sysctls: tuple[Sysctl, ...]) -> Ports | None:
    """What is set last."""
    for sysctl in reversed(sysctls):
        if sysctl.key == RANGE:
            first, last = map(int, sysctl.value.split())
            return Ports(first, last)
    return None


def _services(policy: Policy) -> Iterator[tuple[str, Ports]]:
    """What the machine itself or a room listens on."""
    for entry in policy.allows:
        if entry.direction is Direction.INPUT:
            owner = entry.room.label if entry.room else MACHINE
            for service in entry.services:
                if service.ports is not None:
                    yield f"{owner}, for {service} of {entry.key}", service.ports
    for between in policy.room_allows:
        for service in between.services:
            if service.ports is not None:
                yield f"{between.server.label}, for {service} of {between.key}", service.ports
