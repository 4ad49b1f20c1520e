"""The client of router advertisements: a state machine without a socket or a clock.

In: the time, in seconds of a clock that never goes back, and ICMPv6 messages of any host.  Out:
messages to send, and the address that is held.

Source: RFC 4861, section 6.3.7 (when to send solicitations), 6.3.4 (the router lifetime); RFC 4862,
section 5.5.3 (which prefixes make addresses, and for how long). It uses one router, and one of its
prefixes: a policy has one address and one default route.
"""

from __future__ import annotations

from pbrinit.wire.assignment import AddressClient, LeaseError
from pbrinit.wire.dhcp.lease import MAX_SECONDS
from pbrinit.wire.ndp.address import (
    LENGTH,
    MIN_SECONDS,
    AdvertisedAddress,
    as_text,
    check_advertised,
    eui64_address,
    usable_resolvers,
)
from pbrinit.wire.ndp.message import MessageError, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pbrinit.wire.assignment import Identity, Sent
    from pbrinit.wire.ndp.message import Advertisement, Prefix

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

TWO_HOURS = 7200.0
"""Seconds: an advertisement cannot shorten the lifetime of an address below this, since any host
can send one."""

MAX_MISSING = 3
"""How many advertisements in a row may have other prefixes, and not the one that is held, before it
is dropped: the router restarted with other prefixes and did not withdraw this one (RFC 8978)."""

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
        self._taken = identity.taken
        self._mac = mac
        self._random = random
        self._repeats = 0
        self._missing = 0
        self._heard_at = now
        self._held = held
        self._resolvers: tuple[tuple[str, float], ...] = ()
        self._valid_until = self._gateway_until = now
        if held:
            assigned, since = held
            self._valid_until = since + assigned.seconds
            self._gateway_until = since + assigned.gateway_seconds
            self._resolvers = tuple((r, self._valid_until) for r in assigned.resolvers)
        self.rejection = ""
        self._solicit_at = now + self._fraction()
        if held:
            self._solicit_at = max(self._solicit_at, self._late(held[1]))
        self.due = min(self._solicit_at, *self._ends())

    @property
    def held(self) -> tuple[AdvertisedAddress, float] | None:
        """The address that is held, and since when, or None."""
        return self._held

    def tick(self, now: float) -> Sent:
        """As in `AddressClient`."""
        sent = self._tick(now)
        self.due = min(self._solicit_at, *self._ends())
        return sent

    def _tick(self, now: float) -> Sent:
        if self._held is not None and any(end <= now for end in self._ends()):
            self._expire(now)
        if now < self._solicit_at:
            return []
        if self._held is not None and self._held[0].gateway_seconds:
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
        self.due = min(self._solicit_at, *self._ends())

    def receive(self, data: bytes, source: bytes, hops: int, now: float) -> Sent:
        """Process a message, and return what is to be sent then, which is nothing. `source` is the
        sender's address, `hops` the hop limit that it arrived with. A message that is not a valid
        advertisement is ignored.
        """
        try:
            advertisement = decode(data, source, hops)
        except MessageError:
            return []
        if self._held is not None and as_text(advertisement.router) == self._held[0].router:
            self._update(advertisement, self._held[0], now)
        elif self._held is None or (self._gateway_until <= now and advertisement.seconds):
            self._accept_router(advertisement, now)
        self.due = min(self._solicit_at, *self._ends())
        return []

    def _accept_router(self, advertisement: Advertisement, now: float) -> bool:
        """Use a new router, with its first prefix that can be used; whether there is one."""
        for prefix in _autonomous_prefixes(advertisement):
            if not prefix.preferred or not prefix.on_link:
                continue
            assigned = AdvertisedAddress(
                address=self._address(prefix),
                router=as_text(advertisement.router),
                seconds=min(prefix.valid, MAX_SECONDS),
                gateway_seconds=advertisement.seconds,
                resolvers=(),
            )
            try:
                if prefix.valid < MIN_SECONDS:
                    raise LeaseError(
                        f"it is valid for {prefix.valid} s; the minimum is {MIN_SECONDS} s"
                    )
                check_advertised(assigned, self._taken)
            except LeaseError as error:
                self.rejection = str(error)
                continue
            self._valid_until = now + assigned.seconds
            self._gateway_until = now + advertisement.seconds
            self._resolvers, self._missing, self._heard_at = (), 0, now
            self._take_resolvers(advertisement, now)
            self._hold(assigned, now)
            return True
        return False

    def _update(self, advertisement: Advertisement, held: AdvertisedAddress, now: float) -> None:
        """Process an advertisement of the router in use: more time, or less, or another prefix."""
        prefixes = _autonomous_prefixes(advertisement)
        prefix = next((p for p in prefixes if self._address(p) == held.address), None)
        self._missing = 0 if prefix else self._missing + bool(advertisement.prefixes)
        is_deprecated = prefix is not None and not prefix.preferred
        is_replaced = is_deprecated or self._missing >= MAX_MISSING
        if is_replaced and self._accept_router(advertisement, now):
            return
        valid_until = self._valid_until
        if prefix is not None:
            valid_for = float(min(prefix.valid, MAX_SECONDS))
            valid_until = now + _valid_lifetime(valid_for, valid_until - now)
        is_shortened = valid_until < self._valid_until - 1
        gateway_changes = bool(advertisement.seconds) != (self._gateway_until > now)
        before = [resolver for resolver, _ in self._resolvers]
        self._take_resolvers(advertisement, now)
        is_new = is_shortened or gateway_changes or before != [r for r, _ in self._resolvers]
        if is_new or now >= self._heard_at + REPEAT_SECONDS:
            self._valid_until, self._heard_at = valid_until, now
            self._gateway_until = now + advertisement.seconds
            self._hold(held, now)
        if self._missing:
            self._solicit_at = min(self._solicit_at, now + FIRST_PAUSE)

    def _address(self, prefix: Prefix) -> str:
        """The device's address in a prefix."""
        return as_text(eui64_address(prefix.value, self._mac))

    def _take_resolvers(self, advertisement: Advertisement, now: float) -> None:
        """Take the advertised resolvers, where the message has an option for them."""
        if advertisement.resolvers is not None:
            lifetimes = [(r, seconds) for r, seconds in advertisement.resolvers if seconds]
            times = {as_text(resolver): now + seconds for resolver, seconds in lifetimes}
            usable = usable_resolvers(resolver for resolver, _ in lifetimes)
            self._resolvers = tuple((resolver, times[resolver]) for resolver in usable)

    def _hold(self, held: AdvertisedAddress, now: float) -> None:
        """Hold the address with the lifetimes that are left now, and schedule the next
        solicitation.
        """
        self._resolvers = tuple((r, end) for r, end in self._resolvers if end > now)
        self._held = (
            AdvertisedAddress(
                address=held.address,
                router=held.router,
                seconds=max(1, round(self._valid_until - now)),
                gateway_seconds=max(0, round(self._gateway_until - now)),
                resolvers=tuple(resolver for resolver, _ in self._resolvers),
            ),
            now,
        )
        self._repeats, self.rejection = 0, ""
        self._solicit_at = self._late(now)

    def _expire(self, now: float) -> None:
        """Drop what has ended: everything where the address has, else the gateway or resolvers."""
        if self._valid_until <= now or self._held is None:
            self._held, self._resolvers = None, ()
            self._solicit_at = now + self._fraction()
            return
        self._hold(self._held[0], now)
        self._solicit_at = now + self._fraction()

    def _times(self) -> list[float]:
        """When the address ends and, where there is a gateway, when that ends."""
        left = self._held[0].gateway_seconds if self._held else 0
        return [self._valid_until, *([self._gateway_until] if left else [])]

    def _ends(self) -> Iterator[float]:
        """When anything that is held ends."""
        yield from self._times() if self._held else (NEVER,)
        yield from (end for _, end in self._resolvers)

    def _late(self, since: float) -> float:
        return since + REFRESH_AT * (min(self._times()) - since)

    def _schedule_solicitation(self, now: float, longest: float) -> None:
        pause = min(FIRST_PAUSE * 2 ** max(0, self._repeats - FIRST_SOLICITATIONS + 2), longest)
        self._repeats = min(self._repeats + 1, MAX_DOUBLINGS)
        self._solicit_at = now + pause - 1 + 2 * self._fraction()

    def _fraction(self) -> float:
        return self._random(1 << 16) / (1 << 16)


def _autonomous_prefixes(advertisement: Advertisement) -> Iterator[Prefix]:
    """The prefixes from which hosts make their own addresses (RFC 4862, section 5.5.3, a to d)."""
    for prefix in advertisement.prefixes:
        if prefix.autonomous and prefix.length == LENGTH and prefix.preferred <= prefix.valid:
            yield prefix


def _valid_lifetime(seconds: float, left: float) -> float:
    """The valid lifetime of an address that had `left` seconds when `seconds` are advertised for it
    (RFC 4862, section 5.5.3, e).
    """
    if seconds > min(TWO_HOURS, left):
        return seconds
    return min(left, TWO_HOURS)
