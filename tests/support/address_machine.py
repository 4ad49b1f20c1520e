"""A client that asks for an address, in the hands of others, and the plan for what it holds.

In: a policy with one such interface, and the client's class.  Out: an `AddressMachine`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.plan import Plan
from pbrinit.policy.assigned import dynamic_interfaces, parse_assignment, with_assignments
from pbrinit.policy.policy import Policy
from pbrinit.wire.assignment import AddressClient, Assignment, Identity
from tests.support.generate.packets import seeded

if TYPE_CHECKING:
    from pbrinit.wire.assignment import Sent

ClientT = TypeVar("ClientT", bound=AddressClient)


def plan_for(policy: Policy, text: str) -> Plan:
    """The plan with an address, as `pbrctl lease` makes it."""
    assignment = parse_assignment(policy, text)
    assert assignment.text == text
    return compile_policy(with_assignments(policy, assignment))


class AddressMachine(Generic[ClientT]):
    """The client and its clock. `most_ticks`, and one for each second, is how often it may be due
    before it does not rest.
    """

    def __init__(
        self,
        policy: Policy,
        mac: bytes,
        begin: Callable[..., ClientT],
        unpack: Callable[..., Assignment],
        most_ticks: int,
    ) -> None:
        (dynamic,) = dynamic_interfaces(policy)
        self.now = 1000.0
        self.identity = Identity(hostname="gate", taken=dynamic.taken)
        self._mac, self._begin, self._unpack = mac, begin, unpack
        self._random = seeded("mangled").randrange
        self._most_ticks = most_ticks
        self.client = begin(self.identity, mac, self._random, self.now)

    def until(self, now: float) -> None:
        """Let the client do what is due until then."""
        ticks = 0
        while self.client.due <= now:
            self.now = max(self.now, self.client.due)
            self.sent(self.client.tick(self.now))
            ticks += 1
            assert ticks < self._most_ticks + (now - 1000), "it does not rest"
        self.now = now

    def sent(self, datagrams: Sent) -> None:
        """What the client has sent; nobody looks at it here."""

    def restarts(self) -> None:
        """Another process goes on with what this one told."""
        held = self.client.held
        again = (self._unpack(held[0].pack(), self.identity.taken), held[1]) if held else None
        self.client = self._begin(self.identity, self._mac, self._random, self.now, again)
