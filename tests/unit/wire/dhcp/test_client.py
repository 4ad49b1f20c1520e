"""The client, with a clock that the test moves and a server that scapy speaks for."""

from __future__ import annotations

import itertools
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP

from pbrinit.wire.assignment import Identity
from pbrinit.wire.dhcp import client, lease
from pbrinit.wire.dhcp.client import Client
from tests.support.dhcp_bytes import OFFERED, answer, option
from tests.support.generate.packets import seeded

MAC = bytes.fromhex("52540012345a")
EVERYBODY = "255.255.255.255"
OTHER = tuple(("server_id", "192.0.2.9") if o[0] == "server_id" else o for o in OFFERED)


class Played:
    """A client, its clock, and all that it sent."""

    def __init__(self, held: Any = None) -> None:
        self.now = 1000.0
        random = seeded("client")
        identity = Identity(hostname="gate", taken=((10 << 24, 16),))
        self.client = Client(identity, MAC, random.randrange, self.now, held)
        self.sent: list[tuple[float, bytes, str]] = []

    def until(self, now: float) -> None:
        """Let the time pass, and the client do what is due."""
        while self.client.due <= now:
            self.now = max(self.now, self.client.due)
            self._note(self.client.tick(self.now))
        self.now = now

    def hears(self, data: bytes, sender: str = "192.0.2.1") -> None:
        """Give it a datagram."""
        self._note(self.client.receive(data, socket.inet_aton(sender), self.now))

    def _note(self, sent: list[tuple[bytes, str]]) -> None:
        self.sent += [(self.now, data, to) for data, to in sent]

    @property
    def last(self) -> bytes:
        """What it sent last."""
        return self.sent[-1][1]

    @property
    def asked(self) -> list[tuple[int, str]]:
        """The kinds of all that it sent, and where to."""
        return [(option(data, "message-type"), to) for _, data, to in self.sent]


def bound() -> Played:
    """One that has its lease, since a moment ago."""
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last))
    played.hears(answer("ack", played.last))
    assert played.client.state == client.BOUND
    return played


def test_discover_offer_request_acknowledgement() -> None:
    played = Played()
    played.until(1001)
    assert played.client.state == client.SELECTING
    played.hears(answer("offer", played.last))
    assert played.client.state == client.REQUESTING
    assert played.client.lease is None
    assert option(played.last, "requested_addr") == "192.0.2.77"
    assert option(played.last, "server_id") == "192.0.2.1"
    assert option(played.last, "hostname") == b"gate"
    assert BOOTP(played.last).ciaddr == "0.0.0.0"
    played.hears(answer("ack", played.last))
    assert played.client.lease is not None
    assert played.client.lease.address == "192.0.2.77"
    assert played.client.ends == pytest.approx(4601, abs=1)
    assert played.asked == [(1, EVERYBODY), (3, EVERYBODY)]


def test_without_a_server_it_asks_less_and_less_often_and_never_stops() -> None:
    played = Played()
    played.until(1000 + 600)
    assert {kind for kind, _ in played.asked} == {1}
    times = [at for at, _, _ in played.sent]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    expected = [4, 8, 16, 32] + [64] * (len(pauses) - 4)
    assert all(abs(p - e) <= 1 for p, e in zip(pauses, expected, strict=True))
    assert len(pauses) >= 10


def test_an_offer_that_nobody_stands_by_is_asked_for_four_times_and_let_go() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last))
    number = BOOTP(played.last).xid
    played.until(1100)
    assert [kind for kind, _ in played.asked][:6] == [1, 3, 3, 3, 3, 1]
    assert BOOTP(played.last).xid != number


def test_a_refused_request_begins_anew_after_a_while() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last))
    played.hears(answer("nak", played.last, ("server_id", "192.0.2.1"), address="0.0.0.0"))
    assert played.client.state == client.INIT
    played.until(1010)
    assert len(played.sent) == 2
    played.until(1013)
    assert played.asked[-1] == (1, EVERYBODY)


def test_half_of_the_time_is_over_and_the_server_is_asked_for_more() -> None:
    played = bound()
    played.until(1001 + 1795)
    assert len(played.sent) == 2
    played.until(1001 + 1801)
    assert played.client.state == client.RENEWING
    assert played.asked[-1] == (3, "192.0.2.1")
    assert BOOTP(played.last).ciaddr == "192.0.2.77"
    assert option(played.last, "requested_addr") is None
    assert option(played.last, "server_id") is None
    played.hears(answer("ack", played.last))
    assert played.client.state == client.BOUND
    assert played.client.ends == pytest.approx(1001 + 1800 + 3600, abs=2)


def test_a_server_that_is_silent_is_asked_again_then_everybody_then_it_is_over() -> None:
    played = bound()
    played.until(1001 + 3140)
    assert {to for _, to in played.asked[2:]} == {"192.0.2.1"}
    renewals = len(played.sent)
    assert renewals > 4
    played.until(1001 + 3590)
    assert played.client.state == client.REBINDING
    assert {to for _, to in played.asked[renewals:]} == {EVERYBODY}
    assert BOOTP(played.last).ciaddr == "192.0.2.77"
    assert played.client.lease is not None
    played.until(1001 + 3610)
    assert played.client.lease is None
    assert played.asked[-1] == (1, EVERYBODY)


def test_no_lease_is_held_longer_than_it_lasts_from_the_question_on() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last))
    asked = played.now
    played.until(1007)
    assert played.asked[-2:] == [(3, EVERYBODY), (3, EVERYBODY)]
    played.hears(answer("ack", played.last))
    assert played.client.ends == asked + 3600


def test_another_server_may_give_more_time_when_everybody_is_asked_and_not_before() -> None:
    played = bound()
    played.until(1001 + 1801)
    played.hears(answer("ack", played.last, *OTHER))
    assert played.client.state == client.RENEWING
    played.until(1001 + 3200)
    played.hears(answer("ack", played.last, *OTHER))
    assert played.client.state == client.BOUND
    assert played.client.lease is not None
    assert played.client.lease.server == "192.0.2.9"


def test_a_server_that_refuses_more_time_takes_the_address_away() -> None:
    played = bound()
    played.until(1001 + 1801)
    played.hears(answer("nak", played.last, ("server_id", "192.0.2.9"), address="0.0.0.0"))
    assert played.client.lease is not None
    played.hears(answer("nak", played.last, ("server_id", "192.0.2.1"), address="0.0.0.0"))
    assert played.client.lease is None


def test_more_time_is_for_the_same_address() -> None:
    played = bound()
    played.until(1001 + 1801)
    played.hears(answer("ack", played.last, address="192.0.2.78"))
    assert played.client.state == client.RENEWING


def test_when_the_cable_comes_back_the_lease_is_asked_for_anew_at_once() -> None:
    """INIT-REBOOT: the address is requested, and no server is named (RFC 2131, table 4)."""
    played = bound()
    played.until(1001 + 100)
    number = BOOTP(played.last).xid
    played.client.reconnect(played.now)
    played.until(played.now)
    assert played.client.state == client.REBOOTING
    assert played.asked[2:] == [(3, EVERYBODY)]
    assert BOOTP(played.last).ciaddr == "0.0.0.0"
    assert BOOTP(played.last).xid != number
    assert option(played.last, "requested_addr") == "192.0.2.77"
    assert option(played.last, "server_id") is None
    assert played.client.held is not None
    assert not played.client.held[0].by_broadcast
    played.hears(answer("ack", played.last))
    assert played.client.state == client.BOUND
    assert played.client.ends == pytest.approx(1101 + 3600)


def test_on_another_network_the_lease_is_refused_and_another_is_looked_for() -> None:
    played = bound()
    played.client.reconnect(played.now)
    played.until(played.now)
    played.hears(answer("nak", played.last, ("server_id", "203.0.113.1"), address="0.0.0.0"))
    assert played.client.lease is None
    played.until(played.now + 12)
    assert played.asked[-1] == (1, EVERYBODY)


def test_without_an_answer_every_server_is_heard_and_then_the_lease_goes_on() -> None:
    played = bound()
    before = played.client.held
    played.client.reconnect(played.now)
    played.until(played.now)
    assert played.client.held == before
    played.until(played.now + 6)
    assert played.client.held is not None
    assert played.client.held[0].by_broadcast
    played.until(played.now + 80)
    assert played.asked[2:] == [(3, EVERYBODY)] * 4
    assert played.client.state == client.BOUND
    assert played.client.held == before
    played.until(1001 + 1801)
    assert played.asked[-1] == (3, "192.0.2.1")


def test_a_lease_ends_although_it_is_asked_for_anew() -> None:
    played = bound()
    played.until(1001 + 3590)
    played.client.reconnect(played.now)
    played.until(1001 + 3601)
    assert played.client.lease is None


def test_a_cable_that_comes_for_the_first_time_is_asked_at_once() -> None:
    played = Played()
    played.until(1000 + 300)
    asked = len(played.sent)
    played.client.reconnect(played.now)
    played.until(played.now)
    assert played.asked[asked:] == [(1, EVERYBODY)]


def test_a_time_that_rounding_makes_a_moment_shorter_is_over_all_the_same() -> None:
    """The client was due at once, again and again, until the clock had gone on."""
    held = bound().client.lease
    assert held is not None
    since = next(
        since
        for since in (1000.0 + number / 977 for number in range(100_000))
        if since + held.renew - since < held.renew
    )
    played = Played((held, since))
    now = since + held.renew
    assert played.client.tick(now)
    assert played.client.due > now


def test_who_starts_with_a_lease_goes_on_with_it() -> None:
    held = bound().client.lease
    assert held is not None
    played = Played((held, 1000.0 - 1700))
    played.until(1050)
    assert not played.sent
    assert played.client.ends == 1000 - 1700 + 3600
    played.until(1101)
    assert played.asked == [(3, "192.0.2.1")]


def test_who_starts_with_a_lease_that_is_over_begins_anew() -> None:
    held = bound().client.lease
    assert held is not None
    played = Played((held, 1000.0 - 3601))
    played.until(1002)
    assert played.client.lease is None
    assert played.asked == [(1, EVERYBODY)]


@pytest.mark.parametrize(
    "change",
    [{"xid": 1}, {"chaddr": bytes(16)}, {"op": 1}, {"address": "10.0.3.4"}, {"address": "0.0.0.0"}],
)
def test_an_offer_to_somebody_else_or_of_no_use_is_passed_over(change: dict[str, Any]) -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last, **change))
    assert played.client.state == client.SELECTING
    played.hears(answer("offer", played.last))
    assert played.client.state == client.REQUESTING


def test_why_an_offer_was_passed_over_is_told() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last, address="10.0.3.4"))
    assert "overlaps with 10.0.0.0/16" in played.client.rejection


def test_no_reply_to_this_request_is_passed_over_in_silence() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last)[:240])
    assert played.client.rejection == "it is not an OFFER, ACK or NAK"
    played.hears(answer("offer", played.last))
    played.hears(answer("ack", played.last, address="192.0.2.78"))
    assert played.client.rejection == "192.0.2.1 gives 192.0.2.78, which was not asked for"
    played.hears(answer("ack", played.last, *OTHER))
    assert played.client.rejection == "192.0.2.9 gives 192.0.2.77 and was not asked"
    played.hears(answer("nak", played.last, ("server_id", "192.0.2.9"), address="0.0.0.0"))
    assert played.client.rejection == "192.0.2.9 refuses 192.0.2.77 and was not asked"
    played.hears(answer("nak", played.last, ("server_id", "192.0.2.1"), address="0.0.0.0"))
    assert played.client.rejection == "its server refuses 192.0.2.77"
    assert played.client.state == client.INIT


NAMELESS = tuple(o for o in OFFERED if o[0] != "server_id")


def test_a_server_without_an_identifier_is_asked_with_and_without_its_address() -> None:
    """One may compare the identifier with an address that we do not know; without one it takes the
    request for INIT-REBOOT.
    """
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last, *NAMELESS), "192.0.2.3")
    played.until(1040)
    assert [option(data, "server_id") for _, data, _ in played.sent[1:5]] == [
        "192.0.2.3", None, "192.0.2.3", None,
    ]  # fmt: skip
    played.hears(answer("ack", played.last, *NAMELESS), "192.0.2.3")
    assert played.client.lease is not None
    assert played.client.lease.as_assignment(0) == "192.0.2.77/24,192.0.2.1,any"
    assert played.client.remarks == (
        "it has no usable server identifier: 192.0.2.3 is taken for its server, and more time is"
        " asked for by broadcast",
    )


def test_a_server_without_an_identifier_is_asked_for_more_time_by_broadcast() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last, *NAMELESS))
    played.hears(answer("ack", played.last, *NAMELESS))
    played.until(1001 + 1801)
    assert played.client.state == client.RENEWING
    assert played.asked[-1] == (3, EVERYBODY)
    played.hears(answer("ack", played.last, *NAMELESS), "192.0.2.4")
    assert played.client.state == client.BOUND
    played.until(played.now + 1801)
    played.hears(answer("nak", played.last, "pad", address="0.0.0.0"), "192.0.2.4")
    assert played.client.lease is None


def test_an_acknowledgement_without_server_or_mask_is_the_offers() -> None:
    mute = tuple(o for o in NAMELESS if o[0] != "subnet_mask")
    played = Played()
    played.until(1001)
    wide = tuple(("subnet_mask", "255.255.254.0") if o[0] == "subnet_mask" else o for o in OFFERED)
    played.hears(answer("offer", played.last, *wide))
    played.hears(answer("ack", played.last, *mute))
    assert played.client.lease is not None
    assert played.client.lease.as_assignment(0) == "192.0.2.77/23,192.0.2.1,192.0.2.1"
    assert played.client.remarks == (
        "it has no subnet mask: /23 is used, as before",
        "it has no usable server identifier: 192.0.2.1 is its server, as before",
    )


def test_what_the_offer_lacks_is_said_of_the_lease() -> None:
    short = tuple(o for o in OFFERED if o[0] not in ("subnet_mask", "lease_time"))
    played = Played()
    played.until(1001)
    played.hears(answer("offer", played.last, *short))
    played.hears(answer("ack", played.last, *short))
    assert played.client.lease is not None
    assert played.client.lease.as_assignment(0) == "192.0.2.77/24,192.0.2.1,192.0.2.1"
    assert played.client.lease.seconds == 3600
    assert played.client.remarks[:2] == (
        "it has no subnet mask: /24 is used, by the address's class",
        "it has no lease time: it is used for 3600 s",
    )


def test_an_acknowledgement_of_what_was_not_asked_for_is_nothing() -> None:
    played = Played()
    played.until(1001)
    played.hears(answer("ack", played.last))
    assert played.client.lease is None


STEPS = st.lists(
    st.one_of(
        st.floats(0, 3000),
        st.tuples(
            st.sampled_from(("offer", "ack", "nak")),
            st.sampled_from(("192.0.2.77", "192.0.2.78", "0.0.0.0", "10.0.0.9", "224.0.0.1")),
            st.sampled_from((OFFERED, OTHER, OFFERED[:1], OFFERED[1:], NAMELESS)),
        ),
        st.binary(max_size=60),
        st.none(),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(STEPS)
def test_whatever_comes_whenever_a_lease_is_usable_and_never_outlived(steps: list[Any]) -> None:
    played = Played()
    for step in steps:
        if isinstance(step, float):
            played.until(played.now + step)
        elif isinstance(step, bytes):
            played.hears(step)
        elif step is None:
            played.client.reconnect(played.now)
        elif played.sent:
            kind, address, options = step
            played.hears(answer(kind, played.last, *options, address=address))
        found, ends = played.client.lease, played.client.ends
        assert (found is not None) == (played.client.state in client.LEASED_STATES)
        if found is not None and ends is not None:
            lease.check_lease(found, ((10 << 24, 16),))
            played.until(played.now)
            assert played.client.lease is None or played.now < ends
        assert played.client.due <= played.now + max(3600, client.LONGEST_PAUSE)
