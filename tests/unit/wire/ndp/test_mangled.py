"""Mangled advertisements: the client never ends, never hangs, never holds what the plan refuses."""

from __future__ import annotations

import socket
from functools import cache, partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pbrinit.wire.ndp import address
from pbrinit.wire.ndp.candidates import MAX_ENTRIES
from pbrinit.wire.ndp.client import Client
from tests.support.address_machine import AddressMachine, plan_for
from tests.support.generate.mangled import CHANGES, mangle
from tests.support.policy_text import ENTRIES, by_ra, written
from tests.support.ra_bytes import prefix, resolvers, says

MAC = bytes.fromhex("525400123456")
POLICY = by_ra(written(ENTRIES))
TIMES = st.sampled_from((0, 59, 60, 100, 1800, 7200, 7201, 86400, 0xFFFFFFFF))
PREFIXES = st.builds(
    lambda value, length, valid, preferred, flags: prefix(
        value, length, validlifetime=valid, preferredlifetime=preferred, L=flags & 1, A=flags >> 1
    ),
    st.sampled_from((
        "2001:db8:77::", "2001:db8:77::", "2001:db8:78::", "fd12:3456:789a::", "fd12:3456:789b::",
        "fd00:10::", "fe80::", "ff02::", "::", "fd70:6272:696e:6974::",
    )),
    st.sampled_from((64, 64, 64, 64, 0, 63, 128, 255)),
    TIMES,
    TIMES,
    st.sampled_from((3, 3, 3, 2, 1)),
)  # fmt: skip
NAMED = st.builds(
    lambda names, seconds: resolvers(*names, seconds=seconds),
    st.lists(st.sampled_from(("2001:db8::53", "2001:db8::54", "fe80::53", "::")), max_size=4),
    TIMES,
)
ROUTERS = st.sampled_from(("fe80::1", "fe80::1", "fe80::2", "fe80::3", "2001:db8::1", "fe80::"))
SAID = st.tuples(
    ROUTERS,
    st.lists(st.one_of(PREFIXES, PREFIXES, NAMED), max_size=4),
    st.sampled_from((0, 1, 1800, 1800, 65535)),
    st.integers(0, 3),
    st.one_of(st.just([]), CHANGES),
)
STEPS = st.lists(
    st.one_of(SAID, SAID, SAID, st.floats(0, 8000), st.sampled_from("rc")), min_size=1, max_size=16
)


plan = cache(partial(plan_for, POLICY))


class Machine(AddressMachine[Client]):
    """A client among routers; what it holds is checked after each step."""

    def __init__(self) -> None:
        super().__init__(POLICY, MAC, Client, address.unpack, most_ticks=100)

    def hears(self, data: bytes, source: str) -> None:
        packed = socket.inet_pton(socket.AF_INET6, source)
        self.client.receive(data, packed, 255, self.now)

    def check(self) -> None:
        self.until(self.now)
        client = self.client
        offered = client._offered
        assert max(len(offered.prefixes), len(offered.routers)) <= MAX_ENTRIES
        assert all(len(line) < 200 for line in (client.rejection, *client.remarks))
        if client.held is None:
            return
        found, since = client.held
        assert address.unpack(found.pack(), self.identity.taken) == found
        assert self.now < since + found.seconds
        for age in (0, found.gateway_seconds):
            text = found.as_assignment(age)
            if text is not None:
                plan(text)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_routers_send_the_client_goes_on_and_holds_what_the_plan_takes(
    steps: list[Any],
) -> None:
    machine = Machine()
    for step in steps:
        if isinstance(step, float):
            machine.until(machine.now + step)
        elif step == "r":
            machine.restarts()
        elif step == "c":
            machine.client.reconnect(machine.now)
        else:
            source, options, seconds, preference, changes = step
            said = says(*options, seconds=seconds, prf=preference)
            machine.hears(mangle(said, changes), source)
        machine.check()
    machine.until(machine.now + 10)
    machine.hears(says(prefix("2001:db8:77::", validlifetime=0xFFFFFFFF)), "fe80::1")
    machine.check()
    assert machine.client.held is not None
