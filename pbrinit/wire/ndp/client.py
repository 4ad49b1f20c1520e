"""The client of router advertisements: a state machine without a socket or a clock.

In: the time, in seconds of a clock that never goes back, and ICMPv6 messages of any host.  Out:
messages to send, and the address that is held.

Source: RFC 4861, section 6.3.7 (when to send solicitations). What is used of all that routers
offer, `candidates` says: a policy has one address and one default route.
"""

from __future__ import annotations

from pbrinit.wire.assignment import AddressClient
from pbrinit.wire.dhcp.lease import MAX_RESOLVERS, MAX_SECONDS
from pbrinit.wire.ndp.address import LENGTH, AdvertisedAddress
from pbrinit.wire.ndp.candidates import Candidates, Choice, Offered, Router
from pbrinit.wire.ndp.message import MessageError, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pbrinit.wire.assignment import Identity, Sent

ALL_ROUTERS = "ff02::2"
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_WITH_ADDRESS = 4.0, 64.0, 3600.0
"""Seconds between solicitations: the first pause, then twice as long each time, a second more or
less, up to the longest; up to the last one where there is an address and no gateway (RFC 7559)."""

FIRST_SOLICITATIONS = 3
"""How many solicitations are sent at the first pause (MAX_RTR_SOLICITATIONS)."""

MAX_DOUBLINGS = 16
"""How many solicitations are counted: after so many every pause is the longest."""

LEAST_PAUSE = 10.0
"""Minimum of the seconds between solicitations for more time, which is half of the time left."""

REFRESH_AT = 3 / 4
"""The part of its lifetime after which the address is solicited again. Routers advertise it again
at a third (RFC 4861, section 6.2.1), so nothing is sent while a router is there."""

REPEAT_SECONDS = 5.0
"""Seconds in which an advertisement with nothing new is ignored."""

NEVER = float("inf")


class Client(AddressClient):
    """The client of one interface."""

    def __init__(
        self,
        identity: Identity,
        mac: bytes,
        random: Callable[[int], int],
        now: float,
        held: tuple[AdvertisedAddress, float] | None = None,
    ) -> None:
        """`mac` is the device's hardware address. `random(n)` returns an unpredictable number below
        n. `held` is the address of an earlier client, and since when it is held.
        """
        self._mac = mac
        self._random = random
        self._repeats = 0
        self._heard_at = now
        self._offered = Candidates(mac, identity.taken)
        self._choice: Choice | None = None
        self._held = held
        self.rejection = ""
        self.remarks = ()
        self._solicit_at = now + self._fraction()
        if held:
            self._choice = _remember(self._offered, *held)
            self._solicit_at = max(self._solicit_at, self._late(held[1]))
        self.due = self._next(now)

    @property
    def held(self) -> tuple[AdvertisedAddress, float] | None:
        """The address that is held, and since when, or None."""
        return self._held

    def tick(self, now: float) -> Sent:
        """As in `AddressClient`."""
        sent = self._tick(now)
        self.due = self._next(now)
        return sent

    def _tick(self, now: float) -> Sent:
        self._expire(now)
        if now < self._solicit_at:
            return []
        if self._choice is not None and self._choice.gateway_until is not None:
            left = min(self._times()) - now
            self._solicit_at = now + max(LEAST_PAUSE, left / 2)
        else:
            longest = LONGEST_PAUSE_WITH_ADDRESS if self._held else LONGEST_PAUSE
            self._schedule_solicitation(now, longest)
        return [(encode(self._mac), ALL_ROUTERS)]

    def reconnect(self, now: float) -> None:
        """As in `AddressClient`."""
        self._repeats = 0
        self._solicit_at = now + self._fraction()
        self.due = self._next(now)

    def receive(self, data: bytes, source: bytes, hops: int, now: float) -> Sent:
        """Process a message, and return what is to be sent then, which is nothing. `source` is the
        sender's address, `hops` the hop limit that it arrived with. A message that is not a valid
        advertisement is ignored.
        """
        try:
            advertisement = decode(data, source, hops)
        except MessageError:
            return []
        offered = self._offered.copy()
        offered.take(advertisement, now, self._choice)
        is_new = offered.shortened or offered.fingerprint(now) != self._offered.fingerprint(now)
        is_new |= offered.rejection not in ("", self._offered.rejection)
        if is_new or now >= self._heard_at + REPEAT_SECONDS:
            self._offered, self._heard_at = offered, now
            self._use(offered.choose(self._choice, now), now)
        self.due = self._next(now)
        return []

    def _use(self, choice: Choice | None, now: float) -> None:
        """Hold what was chosen, with the lifetimes that are left now, and schedule the next
        solicitation.
        """
        refused = self._offered.rejection
        if choice is None:
            self._choice, self._held, self.remarks = None, None, ()
            self.rejection = refused or self.rejection
            return
        gateway_left = choice.gateway_until - now if choice.gateway_until is not None else 0.0
        resolvers = self._offered.resolvers_for(choice)
        self._choice = choice
        self._held = (
            AdvertisedAddress(
                address=choice.address,
                length=choice.length,
                router=choice.router,
                seconds=max(1, _ceil(choice.valid_until - now)),
                gateway_seconds=max(0, _ceil(gateway_left)),
                resolvers=tuple(resolver for resolver, _ in resolvers)[:MAX_RESOLVERS],
            ),
            now,
        )
        remarks = self._offered.remarks(choice, now)
        self.remarks = (*remarks, refused) if refused else remarks
        self._repeats, self.rejection = 0, ""
        self._solicit_at = self._late(now)
        if self._offered.prefixes[choice.address].missing:
            self._solicit_at = min(self._solicit_at, now + FIRST_PAUSE)

    def _expire(self, now: float) -> None:
        """Drop what has ended, and use what is best then; ask where something was lost."""
        self._offered.forget(now, self._choice)
        before = self._held
        choice = self._offered.choose(self._choice, now)
        if choice is None or before is None:
            if before is not None:
                self._use(choice, now)
                self._solicit_at = now + self._fraction()
            return
        resolvers = tuple(r for r, _ in self._offered.resolvers_for(choice))[:MAX_RESOLVERS]
        gateway = choice.gateway_until is not None
        found = choice.address, choice.length, choice.router, gateway, resolvers
        held, known = before[0], bool(before[0].gateway_seconds)
        if found != (held.address, held.length, held.router, known, held.resolvers):
            self._use(choice, now)
            self._solicit_at = now + self._fraction()

    def _times(self) -> list[float]:
        """When the address ends and, where there is a gateway, when that ends."""
        if self._choice is None:
            return [NEVER]
        gateway = self._choice.gateway_until
        return [self._choice.valid_until, *([gateway] if gateway is not None else [])]

    def _next(self, now: float) -> float:
        """When there is something to do."""
        return min(self._solicit_at, *(time for time in self._offered.times() if time > now), NEVER)

    def _late(self, since: float) -> float:
        return since + REFRESH_AT * (min(self._times()) - since)

    def _schedule_solicitation(self, now: float, longest: float) -> None:
        pause = min(FIRST_PAUSE * 2 ** max(0, self._repeats - FIRST_SOLICITATIONS + 2), longest)
        self._repeats = min(self._repeats + 1, MAX_DOUBLINGS)
        self._solicit_at = now + pause - 1 + 2 * self._fraction()

    def _fraction(self) -> float:
        return self._random(1 << 16) / (1 << 16)


def _ceil(seconds: float) -> int:
    """The seconds, and a part of one as a whole one; no more than the maximum, which rounding may
    make a moment longer.
    """
    return min(int(-(-seconds // 1)), MAX_SECONDS)


def _remember(offered: Candidates, held: AdvertisedAddress, since: float) -> Choice:
    """What an earlier client held, as if its router had just offered it."""
    valid_until = since + held.seconds
    offered.prefixes[held.address] = Offered(
        address=held.address, on_link=held.length == LENGTH, valid_until=valid_until,
        preferred_until=valid_until, routers=frozenset((held.router,)), owner=held.router,
        heard_at=since, missing=0,
    )  # fmt: skip
    gateway_until = None
    if held.gateway_seconds:
        gateway_until = since + held.gateway_seconds
        offered.routers[held.router] = Router(until=gateway_until, preference=0)
    offered.resolvers[held.router] = tuple((r, valid_until) for r in held.resolvers)
    return Choice(
        address=held.address, length=held.length, valid_until=valid_until,
        router=held.router, gateway_until=gateway_until,
    )  # fmt: skip
