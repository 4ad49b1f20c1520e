"""What the routers of a link offer, and which of it is used.

In: advertisements, and the time.  Out: a `Choice`: one address and at most one default router.

Source: RFC 4862, section 5.5.3 (which prefixes make addresses, and for how long); RFC 6724 (a
preferred address before a deprecated one, a global one before a unique local one, one of the
router's prefix before others); RFC 4191 (which router); RFC 8978 (prefixes that are gone).
"""

from __future__ import annotations

from pbrinit.wire.assignment import LeaseError
from pbrinit.wire.dhcp.lease import MAX_SECONDS
from pbrinit.wire.ndp.address import (
    BITS,
    LENGTH,
    MIN_SECONDS,
    as_text,
    check_address,
    eui64_address,
    is_global,
    usable_resolvers,
)
from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pbrinit.wire.ndp.message import Advertisement, Prefix
    from pbrinit.wire.prefix import Prefix as Taken

TWO_HOURS = 7200.0
"""Seconds: an advertisement cannot shorten the lifetime of an address below this, since any host
can send one."""

MAX_MISSING = 3
"""How many advertisements of its router in a row may have other prefixes, and not this one, before
it is deprecated: the router restarted and did not withdraw it (RFC 8978)."""

MAX_ENTRIES = 8
"""How many prefixes, and how many routers, are remembered."""

OWNER_SILENT = 1800.0
"""Seconds of silence after which another router may shorten a prefix: the longest time between
two advertisements (MaxRtrAdvInterval, RFC 4861, section 6.2.1)."""


class Offered(Record):
    """A prefix that makes an address, with its times; who offers it; and the one of these who may
    shorten it, when that one was heard, and how often it has not named it since.
    """

    address: str
    on_link: bool
    valid_until: float
    preferred_until: float
    routers: frozenset[str]
    owner: str
    heard_at: float
    missing: int


class Router(Record):
    """A default router, until when it is one, and how it is preferred."""

    until: float
    preference: int


class Choice(Record):
    """What is used: an address with its prefix length, and a router; `gateway_until` is when that
    is a default router no more, None where it is none.
    """

    address: str
    length: int
    valid_until: float
    router: str
    gateway_until: float | None


class Candidates:
    """All that is offered on one link. `remarks` says what is not used, and why."""

    def __init__(self, mac: bytes, taken: tuple[Taken, ...]) -> None:
        self._mac = mac
        self._taken = taken
        self.prefixes: dict[str, Offered] = {}
        self.routers: dict[str, Router] = {}
        self.resolvers: dict[str, tuple[tuple[str, float], ...]] = {}
        self.rejection = ""
        self.shortened = False

    def copy(self) -> Candidates:
        """The same, to be changed."""
        other = Candidates(self._mac, self._taken)
        other.prefixes, other.routers = dict(self.prefixes), dict(self.routers)
        other.resolvers = dict(self.resolvers)
        return other

    def take(self, said: Advertisement, now: float, held: Choice | None) -> None:
        """Remember what a router says; what `held` names is not forgotten for it."""
        router = as_text(said.router)
        if said.router[8:] in (bytes(8), eui64_address(said.router, self._mac)[8:]):
            self.rejection = f"the router {router} is not another host of the link"
            return
        if said.seconds:
            self.routers[router] = Router(until=now + said.seconds, preference=said.preference)
        else:
            self.routers.pop(router, None)
        named: dict[str, bool] = {}
        for prefix in _autonomous_prefixes(said):
            address = as_text(eui64_address(prefix.value, self._mac))
            on_link = prefix.on_link or named.get(address, False)
            named[address] = on_link
            self._take_prefix(prefix, address, router, now, on_link=on_link)
        for address, known in self.prefixes.items():
            if router in known.routers and address not in named and said.prefixes:
                self.prefixes[address] = _missed(known, router, now)
        if said.resolvers is not None:
            times = {as_text(resolver): now + seconds for resolver, seconds in said.resolvers}
            usable = usable_resolvers(resolver for resolver, seconds in said.resolvers if seconds)
            self.resolvers[router] = tuple((resolver, times[resolver]) for resolver in usable)
        self.forget(now, held)

    def _take_prefix(
        self, prefix: Prefix, address: str, router: str, now: float, *, on_link: bool
    ) -> None:
        valid_for = float(min(prefix.valid, MAX_SECONDS))
        preferred_until = now + min(prefix.preferred, MAX_SECONDS)
        known = self.prefixes.get(address)
        if known is None:
            if self._is_usable(prefix, address):
                self.prefixes[address] = Offered(
                    address=address, on_link=on_link, valid_until=now + valid_for,
                    preferred_until=preferred_until, routers=frozenset((router,)),
                    owner=router, heard_at=now, missing=0,
                )  # fmt: skip
            return
        routers = known.routers | {router}
        if router != known.owner and now < known.heard_at + OWNER_SILENT:
            # Nobody but its owner takes anything from a prefix.
            self.prefixes[address] = Offered(**{
                **vars(known), "routers": routers,
                "valid_until": max(known.valid_until, now + valid_for),
            })  # fmt: skip
            return
        valid_until = now + _valid_lifetime(valid_for, known.valid_until - now)
        self.shortened |= valid_until < known.valid_until - 1
        self.prefixes[address] = Offered(
            address=address, on_link=on_link, valid_until=valid_until,
            preferred_until=preferred_until, routers=routers, owner=router, heard_at=now, missing=0,
        )  # fmt: skip

    def _is_usable(self, prefix: Prefix, address: str) -> bool:
        """Whether a new prefix makes an address that can be used; `rejection` says why not."""
        if not prefix.preferred:
            return False
        try:
            if prefix.valid < MIN_SECONDS:
                minimum = f"the minimum is {MIN_SECONDS} s"
                raise LeaseError(f"{address} is valid for {prefix.valid} s; {minimum}")
            check_address(address, LENGTH, None, self._taken)
        except LeaseError as error:
            self.rejection = str(error)
            return False
        return True

    def forget(self, now: float, held: Choice | None) -> None:
        """Forget what is over, and what is too much: never what is used, and of the rest what is
        worst or ends first.
        """
        self.prefixes = {a: p for a, p in self.prefixes.items() if p.valid_until > now}
        self.routers = {r: one for r, one in self.routers.items() if one.until > now}
        while len(self.prefixes) > MAX_ENTRIES:
            others = [
                p for p in self.prefixes.values() if held is None or p.address != held.address
            ]
            worst = min(others, key=lambda one: (_rank(one, now), one.valid_until))
            del self.prefixes[worst.address]
        while len(self.routers) > MAX_ENTRIES:
            unused = [r for r in self.routers if held is None or r != held.router]
            del self.routers[min(unused, key=lambda router: self.routers[router].until)]
        known = {*self.routers, *(r for one in self.prefixes.values() for r in one.routers)}
        self.resolvers = {
            router: tuple((resolver, end) for resolver, end in those if end > now)
            for router, those in self.resolvers.items()
            if router in known
        }

    def choose(self, held: Choice | None, now: float) -> Choice | None:
        """The best router, and the best address with it; of equal ones that which is held. A router
        is better for its preference, and for a better prefix than the one that is held. An address
        that is deprecated is kept, and none is begun with (RFC 4862, 5.5.4).
        """

        known = self.prefixes.get(held.address) if held is not None else None
        least = _rank(known, now) if known is not None else 0

        def rank_router(router: str) -> tuple[int, int, bool, bool]:
            best = max((_rank(p, now) for p in self._of(router)), default=0)
            is_held = held is not None and held.router == router
            gives_held = known is not None and router in known.routers
            return self.routers[router].preference, max(0, best - least), is_held, gives_held

        def rank_prefix(prefix: Offered) -> tuple[int, bool, bool]:
            is_held = held is not None and held.address == prefix.address
            return _rank(prefix, now), gateway in prefix.routers, is_held

        gateway = max(self.routers, key=rank_router, default=None)
        usable = (p for p in self.prefixes.values() if p.preferred_until > now or known)
        best = max(usable, key=rank_prefix, default=None)
        if best is None:
            return None
        return Choice(
            address=best.address,
            length=LENGTH if best.on_link else BITS,
            valid_until=best.valid_until,
            router=gateway or best.owner,
            gateway_until=self.routers[gateway].until if gateway else None,
        )

    def _of(self, router: str) -> Iterator[Offered]:
        return (prefix for prefix in self.prefixes.values() if router in prefix.routers)

    def resolvers_for(self, choice: Choice) -> tuple[tuple[str, float], ...]:
        """The resolvers of the router that is used, then those of the prefix's owner."""
        owner = self.prefixes[choice.address].owner
        ends: dict[str, float] = {}
        for router in (choice.router, owner):
            for resolver, end in self.resolvers.get(router, ()):
                ends.setdefault(resolver, end)
        return tuple(ends.items())

    def remarks(self, choice: Choice, now: float) -> tuple[str, ...]:
        """Which other addresses could be used, and are not: a plan has one of each family."""
        others = (p.address for p in self.prefixes.values() if p.preferred_until > now)
        return tuple(
            f"{address} is not used: a policy has one address by advertisement"
            for address in others
            if address != choice.address
        )

    def times(self) -> Iterator[float]:
        """When anything of it changes by itself."""
        for prefix in self.prefixes.values():
            yield from (prefix.valid_until, prefix.preferred_until)
        yield from (router.until for router in self.routers.values())
        yield from (end for those in self.resolvers.values() for _, end in those)

    def fingerprint(self, now: float) -> tuple[object, ...]:
        """What is the same as long as only times go on."""
        return (
            [(p.address, p.on_link, p.routers, p.missing, p.preferred_until > now)
             for p in self.prefixes.values()],
            [(name, router.preference) for name, router in self.routers.items()],
            [(name, [resolver for resolver, _ in those]) for name, those in self.resolvers.items()],
        )  # fmt: skip


def _rank(prefix: Offered, now: float) -> int:
    """How good a prefix is, whoever offers it."""
    return 1 + 2 * (prefix.preferred_until > now) + is_global(prefix.address)


def _missed(known: Offered, router: str, now: float) -> Offered:
    """A prefix that one of its routers did not name. After some time that router does not offer it
    any more, and where it is the owner the prefix is deprecated.
    """
    missing = known.missing + 1 if router == known.owner else known.missing
    is_gone = missing >= MAX_MISSING and router == known.owner
    return Offered(**{
        **vars(known),
        "missing": missing,
        "preferred_until": min(known.preferred_until, now) if is_gone else known.preferred_until,
    })  # fmt: skip


def _autonomous_prefixes(advertisement: Advertisement) -> Iterable[Prefix]:
    """The prefixes from which hosts make their own addresses (RFC 4862, section 5.5.3, a to d)."""
    return (
        prefix
        for prefix in advertisement.prefixes
        if prefix.autonomous and prefix.length == LENGTH and prefix.preferred <= prefix.valid
    )


def _valid_lifetime(seconds: float, left: float) -> float:
    """The valid lifetime of an address that had `left` seconds when `seconds` are advertised for it
    (RFC 4862, section 5.5.3, e).
    """
    if seconds > min(TWO_HOURS, left):
        return seconds
    return min(left, TWO_HOURS)
