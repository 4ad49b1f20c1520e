"""One claim: packets that an entry names, as one look-up sees them.

In: nothing (values only).  Out: `Claim`.  `claims` makes them of a policy.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pbrinit.net import icmp
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports
from pbrinit.policy.programs import Run

(ANY_PORT,) = icmp.ANY_PORT


class Role(enum.Enum):
    """What a claim is for: TOLD is what the kernel itself says, whatever is denied; HEARD and
    NOT_HEARD stand, among what leaves, for what may arrive and what may not, turned round as the
    return path check turns it.
    """

    ALLOW = "allow"
    DENY = "deny"
    REJECT = "reject"
    TOLD = "told"
    HEARD = "heard"
    NOT_HEARD = "not heard"


@dataclass(frozen=True)
class Shape:
    """Protocol and ports of a packet; protocol None is every one."""

    protocol: int | None
    source_ports: Ports = ANY_PORT
    destination_ports: Ports = ANY_PORT

    @property
    def turned(self) -> Shape:
        """The same from the other end."""
        return Shape(self.protocol, self.destination_ports, self.source_ports)


@dataclass(frozen=True)
class Claim:
    """Packets that an entry names, as one look-up sees them; `uid` None is every user, and `room`
    is whose program alone takes them.

    `answer` says whether they have the form of answers: what is denied takes what asks from what
    asks, and answers from answers.  `log` says whether who sends them is written down.
    """

    role: Role
    key: str
    shape: Shape
    sources: AddressSet
    destinations: AddressSet
    uid: int | None = None
    answer: bool = False
    room: Run | None = None
    log: bool = False


@dataclass(frozen=True)
class Granted:
    """Who is left of all that claims allow and deny, and the entries that say so."""

    left: AddressSet
    keys: str
    denied: str


def granted(
    claims: tuple[Claim, ...], family: Family, peers: Callable[[Claim], AddressSet]
) -> Granted:
    """What is left of what they allow, where `peers` are those whom a claim is about: asks are
    denied by asks, answers by answers.
    """
    left = AddressSet(family)
    telling = [c for c in claims if c.role is Role.ALLOW and peers(c)]
    denying: list[Claim] = []
    for answer in (False, True) if telling else ():
        given, taken = AddressSet(family), AddressSet(family)
        for claim in (c for c in claims if c.answer is answer):
            if claim.role is Role.ALLOW:
                given = given | peers(claim)
            else:
                taken = taken | peers(claim)
        left = left | (given - taken)
        denying += [c for c in claims
                    if c.role is Role.DENY and c.answer is answer and peers(c) & given]  # fmt: skip
    return Granted(left, keys(telling), keys(denying))


def keys(claims: Iterable[Claim]) -> str:
    """The entries that make these claims."""
    return ", ".join(dict.fromkeys(claim.key for claim in claims))
