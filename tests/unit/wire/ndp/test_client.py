"""The client of advertisements; the test moves its clock, and scapy speaks for routers."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbrinit.wire.assignment import Identity
from pbrinit.wire.ndp import address
from pbrinit.wire.ndp.address import AdvertisedAddress
from pbrinit.wire.ndp.client import Client
from tests.support.generate.packets import seeded
from tests.support.ra_bytes import PREFIX, RESOLVERS, prefix, resolvers, says

MAC = bytes.fromhex("525400123456")
IDENTIFIED = "5054:ff:fe12:3456"
FIRST, SECOND = f"2001:db8:1:0:{IDENTIFIED}/64", f"2001:db8:2:0:{IDENTIFIED}/64"
ROUTER, OTHER = "fe80::1", "fe80::2"
TAKEN = ((0x20010DB8_00100000 << 64, 48),)
EVER = 0xFFFFFFFF
DAY, HOUR = 86400, 3600


class Played:
    """A client, its clock, and all that it sent."""

    def __init__(self, held: Any = None) -> None:
        self.now = 1000.0
        random = seeded("client")
        identity = Identity(hostname="gate", taken=TAKEN)
        self.client = Client(identity, MAC, random.randrange, self.now, held)
        self.sent: list[float] = []

    def until(self, now: float) -> None:
        """Let the time pass, and the client do what is due."""
        while self.client.due <= now:
            self.now = max(self.now, self.client.due)
            self._note(self.client.tick(self.now))
        self.now = now

    def hears(self, data: bytes, source: str = ROUTER, hops: int = 255) -> None:
        """Give it a message."""
        packed = socket.inet_pton(socket.AF_INET6, source)
        self._note(self.client.receive(data, packed, hops, self.now))

    def _note(self, sent: list[tuple[bytes, str]]) -> None:
        assert all(to == "ff02::2" for _, to in sent)
        self.sent += [self.now] * len(sent)

    @property
    def written(self) -> str | None:
        """What is held now, as it is used."""
        held = self.client.held
        return held[0].as_assignment(self.now - held[1]) if held else None

    @property
    def resolvers(self) -> list[str]:
        """Who resolves names."""
        return [*self.client.held[0].resolvers] if self.client.held else []

    @property
    def left(self) -> float:
        """For how long the address is valid."""
        held = self.client.held
        assert held is not None
        return held[1] + held[0].seconds - self.now


def holding(*options: Any, **fields: Any) -> Played:
    """One that has its address, since a moment ago."""
    played = Played()
    played.hears(says(*(options or (prefix(),)), **fields))
    assert played.client.held is not None
    return played


def test_routers_are_asked_three_times_and_then_less_and_less_often() -> None:
    played = Played()
    played.until(1400)
    pauses = [after - before for before, after in zip(played.sent, played.sent[1:], strict=False)]
    assert played.sent[0] <= 1001
    wanted = [4, 4, 8, 16, 32, 64, 64, 64, 64, 64]
    assert len(pauses) >= 8
    assert pauses == [pytest.approx(pause, abs=1) for pause in wanted[: len(pauses)]]


def test_routers_are_asked_for_as_long_as_there_is_none() -> None:
    played = Played()
    played.until(1000 + 3 * DAY)
    assert len(played.sent) > 3 * DAY / 70
    assert played.sent[-1] > 1000 + 3 * DAY - 70


def test_an_ordinary_advertisement_makes_an_address_and_asks_no_more() -> None:
    played = Played()
    played.until(1001)
    asked = len(played.sent)
    played.hears(says(prefix(), resolvers(*RESOLVERS, seconds=9000)))
    assert played.written == f"{FIRST},{ROUTER}"
    assert played.client.held is not None
    assert played.client.held[0] == AdvertisedAddress(
        address=FIRST.removesuffix("/64"), length=64, router=ROUTER, seconds=3600,
        gateway_seconds=1800, resolvers=RESOLVERS,
    )  # fmt: skip
    played.until(1001 + 1800 * 3 / 4 - 1)
    assert len(played.sent) == asked
    played.until(1001 + 1800 * 3 / 4 + 1)
    assert len(played.sent) == asked + 1


def test_when_the_cable_comes_back_routers_are_asked() -> None:
    played = holding()
    played.until(1100)
    asked = len(played.sent)
    played.client.reconnect(played.now)
    played.until(1101.1)
    assert len(played.sent) == asked + 1


def test_what_nobody_says_anew_is_asked_for_and_then_over_gateway_first() -> None:
    played = holding()
    played.until(1000 + 1799)
    assert played.written == f"{FIRST},{ROUTER}"
    assert len(played.sent) >= 3
    played.until(1000 + 1800)
    assert played.written == f"{FIRST},"
    played.sent.clear()
    played.until(1000 + 3599)
    assert [round(at - 2800) for at in played.sent] == [
        pytest.approx(at, abs=8) for at in (0, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    ]
    played.until(1000 + 3600)
    assert played.client.held is None
    before = len(played.sent)
    played.until(1000 + 3602)
    assert len(played.sent) == before + 1


def test_what_is_said_for_ever_is() -> None:
    played = holding(prefix(validlifetime=EVER, preferredlifetime=EVER))
    assert played.left == 0x7FFFFFFF
    for step in range(50):
        played.until(1000 + step * 7.003)
        played.hears(says(prefix(validlifetime=EVER, preferredlifetime=EVER)))
        held = played.client.held
        assert held is not None
        assert address.unpack(held[0].pack(), TAKEN) == held[0]
    played.until(1000 + DAY)
    played.hears(says(prefix(validlifetime=EVER, preferredlifetime=EVER)))
    assert played.written == f"{FIRST},{ROUTER}"


@pytest.mark.parametrize(
    "options",
    [
        [],
        [prefix(A=0)],
        [prefix(length=63)],
        [prefix(length=128)],
        [prefix(preferredlifetime=0)],
        [prefix(preferredlifetime=3601)],
        [prefix(validlifetime=59, preferredlifetime=59)],
        [prefix("fe80::")],
        [prefix("ff00::")],
        [prefix("::")],
        [prefix("2001:db8:10:1::")],
        [resolvers(*RESOLVERS)],
    ],
)
def test_what_makes_no_address_is_not_taken(options: list[Any]) -> None:
    played = Played()
    played.hears(says(*options))
    assert played.client.held is None
    played.hears(says(*options, prefix("2001:db8:2::")))
    assert played.written == f"{SECOND},{ROUTER}"


def test_why_a_prefix_was_not_taken_is_said() -> None:
    played = Played()
    played.hears(says(prefix("2001:db8:10:1::")))
    assert "overlaps with 2001:db8:10::/48" in played.client.rejection
    played.hears(says(prefix(validlifetime=59, preferredlifetime=59)))
    assert "minimum is 60 s" in played.client.rejection
    played.hears(says(prefix()))
    assert played.client.rejection == ""


def test_who_is_beyond_the_link_says_nothing() -> None:
    played = Played()
    played.hears(says(prefix()), hops=254)
    played.hears(says(prefix()), source="2001:db8::1")
    assert played.client.held is None


def test_another_router_is_not_heard_while_there_is_one() -> None:
    played = holding()
    for said in (says(prefix("2001:db8:2::")), says(prefix(), seconds=0), says(seconds=0)):
        played.hears(said, OTHER)
    assert played.written == f"{FIRST},{ROUTER}"


def test_a_router_that_gives_up_is_no_gateway_and_another_takes_its_place() -> None:
    played = holding()
    played.hears(says(seconds=0))
    assert played.written == f"{FIRST},"
    played.hears(says(prefix("2001:db8:2::"), seconds=0), OTHER)
    assert played.written == f"{FIRST},"
    played.hears(says(prefix("2001:db8:2::")), OTHER)
    assert played.written == f"{SECOND},{OTHER}"


def test_a_router_that_is_no_gateway_gives_an_address_all_the_same() -> None:
    assert holding(seconds=0).written == f"{FIRST},"


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        (DAY, DAY * 2, DAY * 2),
        (DAY, HOUR * 3, HOUR * 3),
        (DAY, HOUR * 2, HOUR * 2),
        (DAY, 0, HOUR * 2),
        (HOUR, 0, HOUR),
        (HOUR, 60, HOUR),
        (HOUR, HOUR + 60, HOUR + 60),
    ],
)
def test_who_says_an_address_is_over_leaves_it_two_hours(
    before: int, said: int, after: int
) -> None:
    """RFC 4862, section 5.5.3, e."""
    played = holding(prefix(validlifetime=before, preferredlifetime=60))
    played.hears(says(prefix(validlifetime=said, preferredlifetime=min(said, 60))))
    played.until(1010)
    played.hears(says(prefix(validlifetime=said, preferredlifetime=min(said, 60))))
    assert played.left == pytest.approx(after, abs=11)


def test_an_old_prefix_makes_room_for_a_new_one_of_the_same_router() -> None:
    played = holding()
    played.hears(says(prefix(preferredlifetime=0), prefix("2001:db8:2::")))
    assert played.written == f"{SECOND},{ROUTER}"
    played.hears(says(prefix(preferredlifetime=0)))
    assert played.written == f"{SECOND},{ROUTER}"


def test_an_old_prefix_is_kept_where_there_is_no_other() -> None:
    played = holding()
    played.hears(says(prefix(preferredlifetime=0)))
    played.hears(says(prefix(preferredlifetime=0), prefix("2001:db8:2::", A=0)))
    assert played.written == f"{FIRST},{ROUTER}"


def test_a_prefix_that_its_router_speaks_of_no_more_is_let_go_after_some_time() -> None:
    played = holding()
    said = says(prefix("2001:db8:2::"))
    asked = len(played.sent)
    played.hears(said)
    played.until(1005)
    assert len(played.sent) == asked + 1
    played.hears(said)
    assert played.written == f"{FIRST},{ROUTER}"
    played.hears(says())
    assert played.written == f"{FIRST},{ROUTER}"
    played.hears(said)
    assert played.written == f"{SECOND},{ROUTER}"


def test_a_prefix_that_is_spoken_of_again_is_kept() -> None:
    played = holding()
    said = says(prefix("2001:db8:2::"))
    for _ in range(9):
        played.hears(said)
        played.hears(said)
        played.hears(says(prefix()))
    assert played.written == f"{FIRST},{ROUTER}"


def test_a_flood_of_the_same_is_told_now_and_then() -> None:
    played = holding()
    told = set()
    for step in range(2000):
        played.until(1000 + step / 100)
        played.hears(says(prefix()))
        told.add(played.client.held and played.client.held[1])
    assert len(told) <= 5
    assert played.left > 3590


def test_resolvers_come_and_go_with_their_time() -> None:
    played = holding(prefix(), resolvers(*RESOLVERS, "fe80::53", seconds=100))
    assert played.resolvers == list(RESOLVERS)
    played.until(1010)
    played.hears(says(prefix()))
    assert played.resolvers == list(RESOLVERS)
    played.until(1101)
    assert played.resolvers == []
    played.hears(says(prefix(), resolvers(RESOLVERS[1])))
    assert played.resolvers == [RESOLVERS[1]]
    played.until(1110)
    played.hears(says(prefix(), resolvers(RESOLVERS[1], seconds=0)))
    assert played.resolvers == []


def test_one_that_follows_another_goes_on_from_there() -> None:
    held = holding(prefix(), resolvers(*RESOLVERS)).client.held
    assert held is not None
    played = Played((held[0], 1000 - 1000))
    played.until(1001)
    assert played.sent == []
    assert played.written == f"{FIRST},{ROUTER}"
    played.until(1801)
    assert played.written == f"{FIRST},"
    played.until(3601)
    assert played.client.held is None


TIMES = st.sampled_from((0, 1, 59, 60, 100, 7200, 7201, DAY, EVER))
SAID = st.builds(
    lambda value, length, valid, preferred, flags: prefix(
        value, length, validlifetime=valid, preferredlifetime=preferred, L=flags & 1, A=flags >> 1
    ),
    st.sampled_from((PREFIX, "2001:db8:2::", "2001:db8:10::", "fe80::", "ff02::", "::")),
    st.sampled_from((0, 63, 64, 64, 64, 128, 255)),
    TIMES,
    TIMES,
    st.sampled_from((3, 3, 3, 3, 0, 1, 2)),
)
NAMED = st.builds(lambda seconds: resolvers(*RESOLVERS, seconds=seconds), TIMES)
STEPS = st.lists(
    st.one_of(
        st.floats(0, 8000),
        st.tuples(
            st.sampled_from((ROUTER, ROUTER, OTHER, "2001:db8::1")),
            st.lists(
                SAID | st.builds(lambda s: resolvers(*RESOLVERS, seconds=s), TIMES), max_size=4
            ),
            st.sampled_from((0, 1, 1800, 65535)),
        ),
        st.binary(max_size=80),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_whatever_comes_whenever_what_is_held_is_usable_and_never_outlived(
    steps: list[Any],
) -> None:
    played = Played()
    for step in steps:
        if isinstance(step, float):
            played.until(played.now + step)
        elif isinstance(step, bytes):
            played.hears(step)
        else:
            source, options, seconds = step
            played.hears(says(*options, seconds=seconds), source)
        assert played.client.due > played.now - 1
        played.until(played.now)
        if (held := played.client.held) is not None:
            found, since = held
            assert address.unpack(found.pack(), TAKEN) == found
            assert played.now < since + found.seconds
            assert found.router in (ROUTER, OTHER)
