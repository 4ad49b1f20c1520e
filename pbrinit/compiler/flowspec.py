"""A flow specification: the packets that an entry names, as one look-up sees them.

In: nothing (values only).  Out: `FlowSpec`.  `policy_flows` makes them from a policy.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pbrinit.net import icmp
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports
from pbrinit.policy.programs import Program

(ANY_PORT,) = icmp.ANY_PORT


class Role(enum.Enum):
    """What a flow specification is for.

    KERNEL_ICMP is what the kernel itself sends, whatever is denied. RETURN_PATH_ALLOW and
    RETURN_PATH_DENY are about packets that arrive, reversed as the return path check reverses
    them: it looks them up as output.
    """

    ALLOW = "allow"
    DENY = "deny"
    REJECT = "reject"
    KERNEL_ICMP = "kernel ICMP"
    RETURN_PATH_ALLOW = "return path, allow"
    RETURN_PATH_DENY = "return path, deny"


@dataclass(frozen=True)
class PortMatch:
    """Protocol and ports of a packet; protocol None matches every protocol."""

    protocol: int | None
    source_ports: Ports = ANY_PORT
    destination_ports: Ports = ANY_PORT

    @property
    def reversed(self) -> PortMatch:
        """The match for the reverse flow."""
        return PortMatch(self.protocol, self.destination_ports, self.source_ports)


@dataclass(frozen=True)
class FlowSpec:
    """Packets that an entry names, as one look-up sees them; `uid` None is every user, and `room`
    is the program whose room they are for.

    `answer`: whether they have the form of answers; requests are denied by requests, and answers
    by answers.  `log`: whether their senders are logged.
    """

    role: Role
    key: str
    match: PortMatch
    sources: AddressSet
    destinations: AddressSet
    uid: int | None = None
    answer: bool = False
    room: Program | None = None
    log: bool = False


@dataclass(frozen=True)
class Resolved:
    """The addresses that are allowed and not denied, and the keys of the entries that decide it."""

    allowed: AddressSet
    keys: tuple[str, ...]
    denying_keys: tuple[str, ...]


def resolve(
    flows: tuple[FlowSpec, ...], family: Family, peers: Callable[[FlowSpec], AddressSet]
) -> Resolved:
    """What flows allow minus what flows deny, where `peers` gives the other end of a flow.
    Requests are denied by requests, and answers by answers.
    """
    allowed = AddressSet(family)
    allowing = [flow for flow in flows if flow.role is Role.ALLOW and peers(flow)]
    denying: list[FlowSpec] = []
    for answer in (False, True) if allowing else ():
        named, denied = AddressSet(family), AddressSet(family)
        for flow in (flow for flow in flows if flow.answer is answer):
            if flow.role is Role.ALLOW:
                named = named | peers(flow)
            else:
                denied = denied | peers(flow)
        allowed = allowed | (named - denied)
        denying += [
            flow
            for flow in flows
            if flow.role is Role.DENY and flow.answer is answer and peers(flow) & named
        ]
    return Resolved(allowed, keys(allowing), keys(denying))


def keys(flows: Iterable[FlowSpec]) -> tuple[str, ...]:
    """The keys of the entries that make these flows, each once."""
    return tuple(dict.fromkeys(flow.key for flow in flows))
