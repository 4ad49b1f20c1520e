"""The client of router advertisements: when routers are asked, and what is made of what they say.

In: the time, in seconds of a clock that never goes back, and ICMPv6 messages of anybody.  Out:
messages to send, and what is held.  It has no socket and no clock of its own.

Source: RFC 4861, section 6.3.7 (when to ask), 6.3.4 (what a router's lifetime is); RFC 4862,
section 5.5.3 (which prefixes make addresses, and for how long). One router is held, and of its
prefixes one: a policy has one address, and one way to everybody else.
"""

from __future__ import annotations

from pbrinit.wire.assignment import AddressClient, LeaseError
from pbrinit.wire.dhcp.lease import MOST_SECONDS
from pbrinit.wire.ndp.address import (
    LEAST_SECONDS,
    LENGTH,
    AdvertisedAddress,
    checked,
    eui64_address,
    text,
    usable,
)
from pbrinit.wire.ndp.message import MessageError, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pbrinit.wire.assignment import Identity, Sent
    from pbrinit.wire.ndp.message import Advertisement, Prefix

ALL_ROUTERS = "ff02::2"
FIRST_PAUSE, LONGEST_PAUSE, WITH_ADDRESS = 4.0, 64.0, 3600.0
"""Between questions: so long at first, then twice as long each time, a second more or less, up to
the longest; or up to the last, where there is an address and no gateway (RFC 7559)."""

ASKED = 3
"""So often it is asked at the first pause (MAX_RTR_SOLICITATIONS)."""

DOUBLED = 16
"""So often at most: then any pause is the longest."""

LEAST_PAUSE = 10.0
"""Between questions for what is soon over: half of what is left, and at least so much."""

LATE = 3 / 4
"""The part of its time after which what is held is asked for again. Routers say it anew at a third
(RFC 4861, section 6.2.1), so that it is not asked for while there is one."""

TWO_HOURS = 7200.0
"""What a router cannot shorten the time of an address to less than: who says so may be anybody."""

UNSAID = 3
"""So often in a row the router speaks of other prefixes, and not of the one that is held, before it
is let go: it has been given others, and did not live to say so (RFC 8978)."""

AGAIN = 5.0
"""Seconds in which the router is not heard saying the same again."""

NEVER = float("inf")


class Client(AddressClient):
    """One interface's. `random` gives numbers below another one that nobody can guess."""

    def __init__(
        self,
        identity: Identity,
        mac: bytes,
        random: Callable[[int], int],
        now: float,
        held: tuple[AdvertisedAddress, float] | None = None,
    ) -> None:
        """`mac` is the device's address; `held` is what an earlier client held, since when."""
        self._taken = identity.taken
        self._mac = mac
        self._random = random
        self._repeats = 0
        self._unsaid = 0
        self._heard = now
        self._held = held
        self._resolvers: tuple[tuple[str, float], ...] = ()
        self._valid = self._gateway = now
        if held:
            found, since = held
            self._valid = since + found.seconds
            self._gateway = since + found.gateway_seconds
            self._resolvers = tuple((one, self._valid) for one in found.resolvers)
        self.refused = ""
        self._asks = now + self._fraction()
        if held:
            self._asks = max(self._asks, self._late(held[1]))
        self.due = min(self._asks, *self._ends())

    @property
    def held(self) -> tuple[AdvertisedAddress, float] | None:
        """What is told of what is held, and since when."""
        return self._held

    def tick(self, now: float) -> Sent:
        """As `AddressClient` has it."""
        sent = self._tick(now)
        self.due = min(self._asks, *self._ends())
        return sent

    def _tick(self, now: float) -> Sent:
        if self._held is not None and any(end <= now for end in self._ends()):
            self._over(now)
        if now < self._asks:
            return []
        if self._held is not None and self._held[0].gateway_seconds:
            left = min(self._times()) - now
            self._asks = now + max(LEAST_PAUSE, left / 2)
        else:
            self._again(now, WITH_ADDRESS if self._held else LONGEST_PAUSE)
        return [(encode(self._mac), ALL_ROUTERS)]

    def receive(self, data: bytes, source: bytes, hops: int, now: float) -> Sent:
        """What follows from a message of somebody; nothing from what is no advertisement."""
        try:
            said = decode(data, source, hops)
        except MessageError:
            return []
        if self._held is not None and text(said.router) == self._held[0].router:
            self._hear(said, self._held[0], now)
        elif self._held is None or (self._gateway <= now and said.seconds):
            self._take(said, now)
        self.due = min(self._asks, *self._ends())
        return []

    def _take(self, said: Advertisement, now: float) -> bool:
        """A router that is not held: the first of its prefixes that can be used."""
        for prefix in _of_hosts(said):
            if not prefix.preferred or not prefix.on_link:
                continue
            address = text(eui64_address(prefix.value, self._mac))
            found = AdvertisedAddress(
                address=address,
                router=text(said.router),
                seconds=min(prefix.valid, MOST_SECONDS),
                gateway_seconds=said.seconds,
                resolvers=(),
            )
            try:
                if prefix.valid < LEAST_SECONDS:
                    raise LeaseError(
                        f"it is valid for {prefix.valid} s; {LEAST_SECONDS} is the least"
                    )
                checked(found, self._taken)
            except LeaseError as error:
                self.refused = str(error)
                continue
            self._valid, self._gateway = now + found.seconds, now + said.seconds
            self._resolvers, self._unsaid, self._heard = (), 0, now
            self._resolve(said, now)
            self._tell(found, now)
            return True
        return False

    def _hear(self, said: Advertisement, held: AdvertisedAddress, now: float) -> None:
        """The router that is held: more time, or less, or another prefix instead."""
        mine = next((p for p in _of_hosts(said)
                     if text(eui64_address(p.value, self._mac)) == held.address), None)  # fmt: skip
        self._unsaid = 0 if mine else self._unsaid + bool(said.prefixes)
        given_up = mine is not None and not mine.preferred
        if (given_up or self._unsaid >= UNSAID) and self._take(said, now):
            return
        valid = self._valid
        if mine is not None:
            valid = now + _two_hours(float(min(mine.valid, MOST_SECONDS)), valid - now)
        news = valid < self._valid - 1 or bool(said.seconds) != (self._gateway > now)
        before = [one for one, _ in self._resolvers]
        self._resolve(said, now)
        if news or before != [one for one, _ in self._resolvers] or now >= self._heard + AGAIN:
            self._valid, self._gateway, self._heard = valid, now + said.seconds, now
            self._tell(held, now)
        if self._unsaid:
            self._asks = min(self._asks, now + FIRST_PAUSE)

    def _resolve(self, said: Advertisement, now: float) -> None:
        """Take the resolvers, where it speaks of any."""
        if said.resolvers is not None:
            times = {text(one): now + seconds for one, seconds in said.resolvers if seconds}
            names = usable(one for one, seconds in said.resolvers if seconds)
            self._resolvers = tuple((one, times[one]) for one in names)

    def _tell(self, held: AdvertisedAddress, now: float) -> None:
        """Hold what is known now, and ask again late in its time."""
        self._resolvers = tuple((one, end) for one, end in self._resolvers if end > now)
        self._held = (
            AdvertisedAddress(
                address=held.address,
                router=held.router,
                seconds=max(1, round(self._valid - now)),
                gateway_seconds=max(0, round(self._gateway - now)),
                resolvers=tuple(one for one, _ in self._resolvers),
            ),
            now,
        )
        self._repeats, self.refused = 0, ""
        self._asks = self._late(now)

    def _over(self, now: float) -> None:
        """The time of something is up: of the address, and all is; of the rest, and that is."""
        if self._valid <= now or self._held is None:
            self._held, self._resolvers = None, ()
            self._asks = now + self._fraction()
            return
        self._tell(self._held[0], now)
        self._asks = now + self._fraction()

    def _times(self) -> list[float]:
        """When what the router says again in time is over: the address, and the way by it."""
        left = self._held[0].gateway_seconds if self._held else 0
        return [self._valid, *([self._gateway] if left else [])]

    def _ends(self) -> Iterator[float]:
        """When something is over. What lasts for less than a second is."""
        yield from self._times() if self._held else (NEVER,)
        yield from (end for _, end in self._resolvers)

    def _late(self, since: float) -> float:
        return since + LATE * (min(self._times()) - since)

    def _again(self, now: float, longest: float) -> None:
        pause = min(FIRST_PAUSE * 2 ** max(0, self._repeats - ASKED + 2), longest)
        self._repeats = min(self._repeats + 1, DOUBLED)
        self._asks = now + pause - 1 + 2 * self._fraction()

    def _fraction(self) -> float:
        return self._random(1 << 16) / (1 << 16)


def _of_hosts(said: Advertisement) -> Iterator[Prefix]:
    """The prefixes addresses of which hosts make themselves (RFC 4862, section 5.5.3, a to d)."""
    for prefix in said.prefixes:
        if prefix.autonomous and prefix.length == LENGTH and prefix.preferred <= prefix.valid:
            yield prefix


def _two_hours(seconds: float, left: float) -> float:
    """For how long an address is valid that was for `left` and is said to be for `seconds` (RFC
    4862, section 5.5.3, e).
    """
    if seconds > min(TWO_HOURS, left):
        return seconds
    return min(left, TWO_HOURS)
