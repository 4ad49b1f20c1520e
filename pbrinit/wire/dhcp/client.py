"""The DHCP client: what is asked when, and what is made of the answers.

In: the time, in seconds of a clock that never goes back, and datagrams of anybody.  Out:
datagrams to send, and the lease that is held.  It has no socket and no clock of its own.

Source: RFC 2131, figure 5 (the states) and section 4.1 (when to ask again).
"""

from __future__ import annotations

import socket

from pbrinit.wire.assignment import AddressClient, LeaseError
from pbrinit.wire.dhcp.lease import lease_from_message
from pbrinit.wire.dhcp.message import (
    ACK,
    ASK,
    DISCOVER,
    HOSTNAME,
    NAK,
    OFFER,
    SERVER,
    WANTED,
    MessageError,
    decode,
    encode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pbrinit.wire.assignment import Identity
    from pbrinit.wire.dhcp.lease import Lease
    from pbrinit.wire.dhcp.message import Message

INIT, SELECTING, REQUESTING = "init", "selecting", "requesting"
BOUND, RENEWING, REBINDING = "bound", "renewing", "rebinding"
HOLDING = (BOUND, RENEWING, REBINDING)

EVERYBODY = "255.255.255.255"
FIRST_PAUSE, LONGEST_PAUSE = 4.0, 64.0
"""Between a question and the same again: twice as long each time, a second more or less."""

ASKED = 4
"""So often an offer is asked for, before another is looked for."""

LEAST_PAUSE = 60.0
"""Between questions for more time: half of what is left, and at least so much."""

AFRESH = 10.0
"""Before it all begins anew after a refusal (RFC 2131, section 3.1.5)."""


class Client(AddressClient):
    """One interface's. `lease` is what is held, until `ends`; `due` is when to `tick` next.

    `random` gives numbers below another one that nobody can guess. `refused` says why the last
    lease that was given was not taken.
    """

    def __init__(
        self,
        identity: Identity,
        mac: bytes,
        random: Callable[[int], int],
        now: float,
        held: tuple[Lease, float] | None = None,
    ) -> None:
        """`mac` is the device's address; `held` is a lease that an earlier client got, and since
        when.
        """
        self._identity = identity
        self._mac = mac
        self._random = random
        self._number = 0
        self._repeats = 0
        self._begun = self._asked_at = now
        self._offer: Lease | None = None
        self.lease: Lease | None = held[0] if held else None
        self._since = held[1] if held else now
        self.state = BOUND if held else INIT
        self.refused = ""
        self.due = now if held else now + self._fraction()

    @property
    def held(self) -> tuple[Lease, float] | None:
        """The lease that is held, and since when."""
        return (self.lease, self._since) if self.lease else None

    @property
    def ends(self) -> float | None:
        """When the lease that is held ends."""
        return self._since + self.lease.seconds if self.lease else None

    def tick(self, now: float) -> list[tuple[bytes, str]]:
        """As `AddressClient` has it."""
        if now < self.due:
            return []
        if self.lease is not None and self.state in HOLDING:
            return self._hold(now, self.lease)
        if self.state == REQUESTING and self._offer is not None and self._repeats < ASKED:
            return self._request(now, self._offer)
        if self.state != SELECTING:
            self._begin(now, SELECTING)
        self._again(now)
        return [(self._encode(DISCOVER, now), EVERYBODY)]

    def receive(self, data: bytes, now: float) -> list[tuple[bytes, str]]:
        """What follows from a datagram; nothing from what is no answer to what was asked."""
        try:
            message = decode(data)
        except MessageError:
            return []
        if message.number != self._number or message.mac != self._mac:
            return []
        if self.state == SELECTING and message.kind == OFFER:
            return self._take_offer(message, now)
        if self.state in (REQUESTING, RENEWING, REBINDING):
            if message.kind == ACK:
                self._take(message, now)
            elif message.kind == NAK and self._is_of_server(message):
                self._lose(now + AFRESH)
        return []

    def _hold(self, now: float, lease: Lease) -> list[tuple[bytes, str]]:
        """A lease that is held: ask its server for more time, then any, then it is over."""
        age = now - self._since
        if age >= lease.seconds:
            self._lose(now)
            return []
        if age >= lease.rebind:
            wanted, until = REBINDING, self._since + lease.seconds
        elif age >= lease.renew:
            wanted, until = RENEWING, self._since + lease.rebind
        else:
            self.due = self._since + lease.renew
            return []
        if self.state != wanted:
            self._begin(now, wanted)
        self.due = min(until, now + max(LEAST_PAUSE, (until - now) / 2))
        to = lease.server if wanted == RENEWING else EVERYBODY
        return [(self._encode(ASK, now, own=lease.address), to)]

    def _take_offer(self, message: Message, now: float) -> list[tuple[bytes, str]]:
        try:
            self._offer = lease_from_message(message, self._identity.taken)
        except LeaseError as error:
            self.refused = str(error)
            return []
        self.state, self._repeats, self._asked_at = REQUESTING, 0, now
        return self._request(now, self._offer)

    def _request(self, now: float, offer: Lease) -> list[tuple[bytes, str]]:
        self._again(now)
        options = (
            (WANTED, socket.inet_aton(offer.address)),
            (SERVER, socket.inet_aton(offer.server)),
        )
        return [(self._encode(ASK, now, options=options), EVERYBODY)]

    def _take(self, message: Message, now: float) -> None:
        """An acknowledgement: of the offer, or of more time for the same address."""
        before = self._offer if self.state == REQUESTING else self.lease
        try:
            found = lease_from_message(message, self._identity.taken)
        except LeaseError as error:
            self.refused = str(error)
            return
        if before is None or found.address != before.address:
            return
        if self.state != REBINDING and found.server != before.server:
            return
        # The time runs from the question on, which is earlier than the server has it.
        self.lease, self._since = found, self._asked_at
        self.state, self._offer, self.refused = BOUND, None, ""
        self.due = max(now, self._since + found.renew)

    def _is_of_server(self, message: Message) -> bool:
        """Whether a refusal is of the server that was asked; where any was, of anyone."""
        before = self._offer if self.state == REQUESTING else self.lease
        server = message.options.get(SERVER, b"")
        asked = before is not None and server == socket.inet_aton(before.server)
        return self.state == REBINDING or asked

    def _lose(self, due: float) -> None:
        self.lease, self._offer, self.state = None, None, INIT
        self.due = due + self._fraction()

    def _begin(self, now: float, state: str) -> None:
        """A question that no answer to an earlier one is taken for an answer to."""
        self.state, self._repeats, self._offer = state, 0, None
        self._begun = self._asked_at = now
        self._number = self._random(1 << 32)

    def _again(self, now: float) -> None:
        pause = min(FIRST_PAUSE * 2**self._repeats, LONGEST_PAUSE)
        self._repeats = min(self._repeats + 1, ASKED)
        self.due = now + pause - 1 + 2 * self._fraction()

    def _fraction(self) -> float:
        return self._random(1 << 16) / (1 << 16)

    def _encode(
        self,
        kind: int,
        now: float,
        *,
        own: str = "0.0.0.0",  # noqa: S104  no address, not every one
        options: tuple[tuple[int, bytes], ...] = (),
    ) -> bytes:
        name = self._identity.hostname.encode()
        told = ((HOSTNAME, name),) if name else ()
        return encode(
            kind,
            self._number,
            self._mac,
            seconds=int(now - self._begun),
            own=socket.inet_aton(own),
            options=(*options, *told),
        )
