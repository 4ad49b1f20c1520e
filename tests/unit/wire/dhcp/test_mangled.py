"""Mangled offers: the client never ends, never hangs, never holds what the plan refuses."""

from __future__ import annotations

import socket
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pbrinit.wire.dhcp import lease
from pbrinit.wire.dhcp.client import LEASED_STATES, Client
from tests.support.address_machine import AddressMachine, plan_for
from tests.support.dhcp_bytes import answer
from tests.support.generate.mangled import ADDRESSES, CHANGES, OPTIONS, OWN, mangle
from tests.support.policy_text import ENTRIES, by_dhcp, written

if TYPE_CHECKING:
    from pbrinit.wire.assignment import Sent

MAC = bytes.fromhex("52540012345a")
POLICY = by_dhcp(written(ENTRIES))
KINDS = {"offer": 2, "ack": 5, "nak": 6}
LONGEST_LINE = 1000


plan = cache(partial(plan_for, POLICY))


class Machine(AddressMachine[Client]):
    """A client in the hands of a server; what it holds is checked after each step."""

    def __init__(self) -> None:
        self.last = b""
        super().__init__(POLICY, MAC, Client, lease.unpack, most_ticks=20)

    def sent(self, datagrams: Sent) -> None:
        for data, _ in datagrams:
            self.last = data

    def hears(self, data: bytes, sender: bytes) -> None:
        self.sent(self.client.receive(data, sender, self.now))

    def check(self) -> None:
        client = self.client
        assert (client.lease is not None) == (client.state in LEASED_STATES)
        assert client.due <= self.now + max(3600, lease.MAX_SECONDS)
        assert all(len(line) < LONGEST_LINE for line in (client.rejection, *client.remarks))
        if client.held is None:
            return
        found, since = client.held
        assert lease.unpack(found.pack(), self.identity.taken) == found
        for age in (0, found.rebind):
            text = found.as_assignment(age)
            assert text is not None
            plan(text)
        self.until(self.now)
        assert client.lease is None or self.now < since + found.seconds


REPLIES = st.tuples(
    st.sampled_from(("offer", "offer", "ack", "ack", "nak")),
    st.sampled_from((OWN, OWN, OWN, OWN, "192.0.2.78", "0.0.0.0", "10.0.0.9", "224.0.0.1")),
    OPTIONS,
    CHANGES,
    ADDRESSES,
)
EXCHANGES = st.tuples(
    OPTIONS,
    OPTIONS,
    st.one_of(st.just([]), st.just([]), CHANGES),
    st.one_of(st.just(socket.inet_aton("192.0.2.1")), ADDRESSES),
)
"""An offer and its acknowledgement, also where a cable came back: else a lease would seldom come of
it."""

STEPS = st.lists(
    st.one_of(EXCHANGES, EXCHANGES, REPLIES, st.floats(0, 4000), st.sampled_from("rc")),
    min_size=1,
    max_size=12,
)


def reply(machine: Machine, kind: str, address: str, options: bytes) -> bytes:
    head = answer(kind, machine.last, address=address)[:240]
    return head + bytes((53, 1, KINDS[kind])) + options


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_a_server_sends_the_client_goes_on_and_holds_what_the_plan_takes(
    steps: list[Any],
) -> None:
    machine = Machine()
    machine.until(1001)
    for step in steps:
        if isinstance(step, float):
            machine.until(machine.now + step)
        elif step == "r":
            machine.restarts()
        elif step == "c":
            machine.client.reconnect(machine.now)
            machine.until(machine.now)
        elif len(step) == len(("offer", "ack", "changes", "sender")):
            offer, ack, changes, sender = step
            if machine.client.lease is not None:
                machine.client.reconnect(machine.now)
            machine.until(machine.now + 15)
            machine.hears(mangle(reply(machine, "offer", OWN, offer), changes), sender)
            machine.check()
            machine.hears(reply(machine, "ack", OWN, ack), sender)
        else:
            kind, address, options, changes, sender = step
            machine.hears(mangle(reply(machine, kind, address, options), changes), sender)
        machine.check()
    gets_a_lease(machine)


def gets_a_lease(machine: Machine) -> None:
    """Whatever was, a server that does it right gives a lease."""
    machine.client.reconnect(machine.now)
    for _ in range(200):
        if machine.client.lease is None:
            machine.until(machine.now + 5)
            sender = socket.inet_aton("192.0.2.1")
            machine.hears(answer("offer", machine.last), sender)
            machine.hears(answer("ack", machine.last), sender)
    assert machine.client.lease is not None
    machine.check()
