"""The DHCP client: a state machine without a socket or a clock.

In: the time, in seconds of a clock that never goes back, and datagrams of any host.  Out:
datagrams to send, and the lease that is held.

Source: RFC 2131, figure 5 (the states) and section 4.1 (when to send again).
"""

from __future__ import annotations

import socket

from pbrinit.wire.assignment import AddressClient, LeaseError
from pbrinit.wire.dhcp.lease import lease_from_message
from pbrinit.wire.dhcp.message import (
    ACK,
    DISCOVER,
    HOSTNAME,
    NAK,
    OFFER,
    REQUEST,
    REQUESTED_ADDRESS,
    SERVER_ID,
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
LEASED_STATES = (BOUND, RENEWING, REBINDING)

BROADCAST = "255.255.255.255"
FIRST_PAUSE, LONGEST_PAUSE = 4.0, 64.0
"""Seconds before a request is sent again: twice as long each time, a second more or less."""

MAX_REQUESTS = 4
"""How often an offer is requested before the client looks for another one."""

LEAST_PAUSE = 60.0
"""Minimum of the seconds between requests for more time, which is half of the time left."""

RESTART_PAUSE = 10.0
"""Seconds before the client starts again after a NAK (RFC 2131, section 3.1.5)."""


class Client(AddressClient):
    """The client of one interface. `lease` is held until `ends`; `due` is when to call `tick` next.
    `rejection` says why the last lease that was offered was not accepted.
    """

    def __init__(
        self,
        identity: Identity,
        mac: bytes,
        random: Callable[[int], int],
        now: float,
        held: tuple[Lease, float] | None = None,
    ) -> None:
        """`mac` is the device's hardware address. `random(n)` returns an unpredictable number below
        n. `held` is the lease of an earlier client, and since when it is held.
        """
        self._identity = identity
        self._mac = mac
        self._random = random
        self._transaction_id = 0
        self._repeats = 0
        self._started_at = self._requested_at = now
        self._offer: Lease | None = None
        self.lease: Lease | None = held[0] if held else None
        self._since = held[1] if held else now
        self.state = BOUND if held else INIT
        self.rejection = ""
        self.due = now if held else now + self._fraction()

    @property
    def held(self) -> tuple[Lease, float] | None:
        """The lease that is held, and since when, or None."""
        return (self.lease, self._since) if self.lease else None

    @property
    def ends(self) -> float | None:
        """When the lease that is held ends, or None."""
        return self._since + self.lease.seconds if self.lease else None

    def tick(self, now: float) -> list[tuple[bytes, str]]:
        """As in `AddressClient`."""
        if now < self.due:
            return []
        if self.lease is not None and self.state in LEASED_STATES:
            return self._extend(now, self.lease)
        if self.state == REQUESTING and self._offer is not None and self._repeats < MAX_REQUESTS:
            return self._request(now, self._offer)
        if self.state != SELECTING:
            self._start_exchange(now, SELECTING)
        self._schedule_retry(now)
        return [(self._encode(DISCOVER, now), BROADCAST)]

    def receive(self, data: bytes, now: float) -> list[tuple[bytes, str]]:
        """Process a datagram, and return what is to be sent then. A datagram that does not answer
        the request of this client is ignored.
        """
        try:
            message = decode(data)
        except MessageError:
            return []
        if message.transaction_id != self._transaction_id or message.mac != self._mac:
            return []
        if self.state == SELECTING and message.kind == OFFER:
            return self._accept_offer(message, now)
        if self.state in (REQUESTING, RENEWING, REBINDING):
            if message.kind == ACK:
                self._accept_ack(message, now)
            elif message.kind == NAK and self._is_from_server(message):
                self._drop_lease(now + RESTART_PAUSE)
        return []

    def _extend(self, now: float, lease: Lease) -> list[tuple[bytes, str]]:
        """Ask the server for more time, later any server; drop the lease when it has ended."""
        age = now - self._since
        if age >= lease.seconds:
            self._drop_lease(now)
            return []
        if age >= lease.rebind:
            state, until = REBINDING, self._since + lease.seconds
        elif age >= lease.renew:
            state, until = RENEWING, self._since + lease.rebind
        else:
            self.due = self._since + lease.renew
            return []
        if self.state != state:
            self._start_exchange(now, state)
        self.due = min(until, now + max(LEAST_PAUSE, (until - now) / 2))
        destination = lease.server if state == RENEWING else BROADCAST
        return [(self._encode(REQUEST, now, client_address=lease.address), destination)]

    def _accept_offer(self, message: Message, now: float) -> list[tuple[bytes, str]]:
        try:
            self._offer = lease_from_message(message, self._identity.taken)
        except LeaseError as error:
            self.rejection = str(error)
            return []
        self.state, self._repeats, self._requested_at = REQUESTING, 0, now
        return self._request(now, self._offer)

    def _request(self, now: float, offer: Lease) -> list[tuple[bytes, str]]:
        self._schedule_retry(now)
        options = (
            (REQUESTED_ADDRESS, socket.inet_aton(offer.address)),
            (SERVER_ID, socket.inet_aton(offer.server)),
        )
        return [(self._encode(REQUEST, now, options=options), BROADCAST)]

    def _accept_ack(self, message: Message, now: float) -> None:
        """Accept an ACK of the offer, or of more time for the same address."""
        before = self._offer if self.state == REQUESTING else self.lease
        try:
            lease = lease_from_message(message, self._identity.taken)
        except LeaseError as error:
            self.rejection = str(error)
            return
        if before is None or lease.address != before.address:
            return
        if self.state != REBINDING and lease.server != before.server:
            return
        # The time counts from the request, which is earlier than the server counts from.
        self.lease, self._since = lease, self._requested_at
        self.state, self._offer, self.rejection = BOUND, None, ""
        self.due = max(now, self._since + lease.renew)

    def _is_from_server(self, message: Message) -> bool:
        """Whether a NAK comes from the server that was asked; in REBINDING any server was."""
        before = self._offer if self.state == REQUESTING else self.lease
        server = message.options.get(SERVER_ID, b"")
        was_asked = before is not None and server == socket.inet_aton(before.server)
        return self.state == REBINDING or was_asked

    def _drop_lease(self, due: float) -> None:
        self.lease, self._offer, self.state = None, None, INIT
        self.due = due + self._fraction()

    def _start_exchange(self, now: float, state: str) -> None:
        """Begin with a new transaction, so that replies to earlier requests are ignored."""
        self.state, self._repeats, self._offer = state, 0, None
        self._started_at = self._requested_at = now
        self._transaction_id = self._random(1 << 32)

    def _schedule_retry(self, now: float) -> None:
        pause = min(FIRST_PAUSE * 2**self._repeats, LONGEST_PAUSE)
        self._repeats = min(self._repeats + 1, MAX_REQUESTS)
        self.due = now + pause - 1 + 2 * self._fraction()

    def _fraction(self) -> float:
        return self._random(1 << 16) / (1 << 16)

    def _encode(
        self,
        kind: int,
        now: float,
        *,
        client_address: str = "0.0.0.0",  # noqa: S104  no address yet
        options: tuple[tuple[int, bytes], ...] = (),
    ) -> bytes:
        name = self._identity.hostname.encode()
        hostname = ((HOSTNAME, name),) if name else ()
        return encode(
            kind,
            self._transaction_id,
            self._mac,
            seconds=int(now - self._started_at),
            client_address=socket.inet_aton(client_address),
            options=(*options, *hostname),
        )
