"""The DHCP client: a state machine without a socket or a clock.

In: the time, in seconds of a clock that never goes back, and datagrams of any host.  Out:
datagrams to send, and the lease that is held.

Source: RFC 2131, figure 5 (the states) and section 4.1 (when to send again).
"""

from __future__ import annotations

import socket

from pbrinit.wire.assignment import AddressClient, LeaseError
from pbrinit.wire.dhcp.lease import Lease
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
    is_reply,
)
from pbrinit.wire.dhcp.offer import offer_from_message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pbrinit.wire.assignment import Identity
    from pbrinit.wire.dhcp.message import Message
    from pbrinit.wire.dhcp.offer import Offer

INIT, SELECTING, REQUESTING = "init", "selecting", "requesting"
BOUND, RENEWING, REBINDING, REBOOTING = "bound", "renewing", "rebinding", "rebooting"
LEASED_STATES = (BOUND, RENEWING, REBINDING, REBOOTING)

BROADCAST = "255.255.255.255"
FIRST_PAUSE, LONGEST_PAUSE = 4.0, 64.0
"""Seconds before a request is sent again: twice as long each time, a second more or less."""

MAX_REQUESTS = 4
"""How often an offer is requested before the client looks for another one; how often a lease is
asked for anew before it is used for the rest of its time."""

LEAST_PAUSE = 60.0
"""Minimum of the seconds between requests for more time, which is half of the time left."""

RESTART_PAUSE = 10.0
"""Seconds before the client starts again after a NAK (RFC 2131, section 3.1.5)."""


class Client(AddressClient):
    """The client of one interface. `lease` is held until `ends`; `due` is when to call `tick` next.
    `rejection` says why the last reply was not accepted, `remarks` what of the lease was left out.
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
        self._offer: Offer | None = None
        self.lease: Lease | None = held[0] if held else None
        self._since = held[1] if held else now
        self.state = BOUND if held else INIT
        self.rejection = ""
        self.remarks = ()
        self.due = now if held else now + self._fraction()

    @property
    def held(self) -> tuple[Lease, float] | None:
        """The lease that is held, and since when, or None. Where its server does not answer to a
        cable that came back, the network may be another one: any server is heard then.
        """
        if self.lease is None:
            return None
        lease = self.lease
        if self.state == REBOOTING and self._repeats > 1:
            lease = Lease(**{**vars(lease), "by_broadcast": True})
        return lease, self._since

    @property
    def ends(self) -> float | None:
        """When the lease that is held ends, or None."""
        return self._since + self.lease.seconds if self.lease else None

    def tick(self, now: float) -> list[tuple[bytes, str]]:
        """As in `AddressClient`."""
        if now < self.due:
            return []
        if self.lease is not None and self.state in LEASED_STATES:
            if self.state == REBOOTING and now < self._since + self.lease.seconds:
                return self._reboot(now, self.lease)
            return self._extend(now, self.lease)
        if self.state == REQUESTING and self._offer is not None and self._repeats < MAX_REQUESTS:
            return self._request(now, self._offer)
        if self.state != SELECTING:
            self._start_exchange(now, SELECTING)
        self._schedule_retry(now)
        return [(self._encode(DISCOVER, now), BROADCAST)]

    def reconnect(self, now: float) -> None:
        """As in `AddressClient`: the lease is asked for anew (RFC 2131, section 4.4.2), any other
        is looked for.
        """
        if self.lease is not None:
            self._start_exchange(now, REBOOTING)
        else:
            self.state, self._offer = INIT, None
        self.due = now

    def receive(self, data: bytes, sender: bytes, now: float) -> list[tuple[bytes, str]]:
        """Process a datagram from `sender`, and return what is to be sent then. A datagram that
        does not answer the request of this client is ignored. Where an answer is not used,
        `rejection` says why.
        """
        if not is_reply(data, self._transaction_id, self._mac):
            return []
        try:
            message = decode(data)
            if self.state == SELECTING and message.kind == OFFER:
                return self._accept_offer(message, sender, now)
            if self.state in (REQUESTING, RENEWING, REBINDING, REBOOTING):
                if message.kind == ACK:
                    self._accept_ack(message, sender, now)
                elif message.kind == NAK:
                    self._accept_nak(message, now)
        except (MessageError, LeaseError) as error:
            self.rejection = str(error)
        return []

    def _extend(self, now: float, lease: Lease) -> list[tuple[bytes, str]]:
        """Ask the server for more time, later any server; drop the lease when it has ended."""
        # Sums, as in `due`: a difference may be less by its rounding, and `due` would not move on.
        renew, rebind, end = (
            self._since + age for age in (lease.renew, lease.rebind, lease.seconds)
        )
        if now >= end:
            self._drop_lease(now)
            return []
        if now >= rebind:
            state, until = REBINDING, end
        elif now >= renew:
            state, until = RENEWING, rebind
        else:
            self.due = renew
            return []
        if self.state != state:
            self._start_exchange(now, state)
        self.due = min(until, now + max(LEAST_PAUSE, (until - now) / 2))
        by_broadcast = state == REBINDING or lease.by_broadcast
        destination = BROADCAST if by_broadcast else lease.server
        return [(self._encode(REQUEST, now, client_address=lease.address), destination)]

    def _reboot(self, now: float, lease: Lease) -> list[tuple[bytes, str]]:
        """Ask every server for the lease; where none answers, it is used for the rest of its
        time.
        """
        if self._repeats >= MAX_REQUESTS:
            self.state = BOUND
            return self._extend(now, lease)
        self._schedule_retry(now)
        self.due = min(self.due, self._since + lease.seconds)
        options = ((REQUESTED_ADDRESS, socket.inet_aton(lease.address)),)
        return [(self._encode(REQUEST, now, options=options), BROADCAST)]

    def _accept_offer(self, message: Message, sender: bytes, now: float) -> list[tuple[bytes, str]]:
        """Request what is offered. Raises LeaseError."""
        self._offer = offer_from_message(message, sender, self._identity.taken)
        self.state, self._repeats, self._requested_at = REQUESTING, 0, now
        return self._request(now, self._offer)

    def _request(self, now: float, offer: Offer) -> list[tuple[bytes, str]]:
        """Request an offer. A server that does not say who it is may compare the identifier with
        another address than it has: every other request is without one.
        """
        options = [(REQUESTED_ADDRESS, socket.inet_aton(offer.lease.address))]
        if offer.identifier is not None:
            options.append((SERVER_ID, offer.identifier))
        elif not self._repeats % 2:
            options.append((SERVER_ID, socket.inet_aton(offer.lease.server)))
        self._schedule_retry(now)
        return [(self._encode(REQUEST, now, options=tuple(options)), BROADCAST)]

    def _accept_ack(self, message: Message, sender: bytes, now: float) -> None:
        """Accept an ACK of the offer, or of more time for the same address. Raises LeaseError."""
        before = self._asked_for()
        given = offer_from_message(message, sender, self._identity.taken, before)
        lease = given.lease
        if lease.address != before.address:
            raise LeaseError(f"{lease.server} gives {lease.address}, which was not asked for")
        if not self._asks_all(before) and lease.server != before.server:
            raise LeaseError(f"{lease.server} gives {lease.address} and was not asked")
        offered = self._offer.remarks if self._offer is not None else ()
        self.remarks = tuple(dict.fromkeys((*offered, *given.remarks)))
        # The time counts from the request, which is earlier than the server counts from.
        self.lease, self._since = lease, self._requested_at
        self.state, self._offer, self.rejection = BOUND, None, ""
        self.due = max(now, self._since + lease.renew)

    def _accept_nak(self, message: Message, now: float) -> None:
        """Start again where the server that was asked refuses. Raises LeaseError."""
        before = self._asked_for()
        server = message.options.get(SERVER_ID, b"")
        if not self._asks_all(before) and server != socket.inet_aton(before.server):
            who = socket.inet_ntoa(server) if len(server) == 4 else "a server without a name"  # noqa: PLR2004
            raise LeaseError(f"{who} refuses {before.address} and was not asked")
        self.rejection = f"its server refuses {before.address}"
        self._drop_lease(now + RESTART_PAUSE)

    def _asked_for(self) -> Lease:
        """The lease that is asked for, or for which more time is asked. Raises LeaseError."""
        asked = self._offer.lease if self._offer is not None else self.lease
        if asked is None:
            raise LeaseError("nothing was asked for")
        return asked

    def _asks_all(self, asked: Lease) -> bool:
        """Whether every server was asked, and may answer."""
        return self.state in (REBINDING, REBOOTING) or asked.by_broadcast

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
