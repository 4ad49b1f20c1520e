"""The process that holds an interface's lease, and has it used.

In: what the process that asks (`dhcp`) tells, which is not trusted.  Out: a call for each lease,
and one where it is over; also where the one that asks is silent, hangs or dies.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from pbrinit.boot import dhcp
from pbrinit.boot.lease import LeaseError, unpack
from pbrinit.boot.say import say, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pbrinit.boot.dhcpclient import Identity
    from pbrinit.boot.lease import Lease

    Use = Callable[[Lease | None, bool], None]

PAUSE_SECONDS = 2.0
"""Between the end of a process that asks and the first question of the next."""

LEAST_SECONDS = 1.0
"""Between two changes of the machine, whatever the one that asks tells."""


class Tenant:
    """One interface's lease.

    `use` is called with a lease, or None where there is none, and with whether any server is asked
    for more time; first of all with what there is then.  Where it raises about a lease, it is
    called without one, and another is asked for; where it raises then, so does `keep`.
    """

    def __init__(self, name: str, device: str, identity: Identity, use: Use) -> None:
        self._name = name
        self._device = device
        self._identity = identity
        self._use = use
        self._held: tuple[Lease, float] | None = None
        self._used: tuple[object, ...] | None = None
        self._said = ""
        self._told, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def keep(self, held: tuple[Lease, float] | None = None) -> None:
        """Hold a lease without end, `held` and since when at first; a process that asks is started
        again when it ends.

        Raises whatever `use` does without a lease.
        """
        self._held = held
        self._apply()
        pause = 0.0
        while True:
            child = self._start(pause)
            try:
                while self._hear() and self._apply():
                    pass
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            pause = PAUSE_SECONDS

    def _hear(self) -> bool:
        """What the process that asks tells, or what time it is; False where it has ended."""
        due = self._due()
        wait = None if due is None else max(0.0, due - seconds())
        if select.select([self._told], [], [], wait)[0]:
            data = self._told.recv(dhcp.LONGEST_REASON + 1)
            if not data:
                return False
            self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        if data[:1] == dhcp.REFUSED:
            text = "".join(c for c in data[1:].decode("ascii", "replace") if c.isprintable())
            self._say(f"no lease yet: {text}")
        elif data == dhcp.NOTHING:
            self._held = None
        else:
            try:
                self._held = unpack(data, self._identity.taken), seconds()
            except LeaseError as error:
                self._say(f"a lease that is none: {error}")

    def _apply(self) -> bool:
        """Have used what is held now; whether who asks may go on, or is to begin anew."""
        now = seconds()
        if self._held is not None and now >= self._held[1] + self._held[0].seconds:
            self._held = None
        lease, since = self._held or (None, now)
        anyone = lease is not None and now >= since + lease.rebind
        wanted = _what_counts(lease, anyone)
        if wanted == self._used:
            return True
        self._say(_told(lease))
        try:
            self._use(lease, anyone)
            self._used = wanted
        except Exception as error:
            if lease is None:
                raise
            self._say(f"the lease of {lease.address} cannot be used: {error}")
            self._held, self._used = None, ()
            self._use(None, False)
            return False
        time.sleep(LEAST_SECONDS)
        return True

    def _due(self) -> float | None:
        """When the lease that is held changes by itself."""
        if self._held is None:
            return None
        lease, since = self._held
        times = (since + lease.rebind, since + lease.seconds)
        return next((at for at in times if at > seconds()), seconds())

    def _start(self, pause: float) -> int:
        """A process that asks. It is told of what is held, so that it goes on from there."""
        self._told.close()
        self._told, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        child = os.fork()
        if child:
            theirs.close()
            return child
        try:
            time.sleep(pause)
            dhcp.ask(self._identity, self._device, theirs, self._held, parent)
        except BaseException as error:
            theirs.send(dhcp.REFUSED + str(error).encode()[: dhcp.LONGEST_REASON])
        finally:
            os._exit(1)

    def _say(self, text: str) -> None:
        """A line, not twice the same in a row."""
        if text and text != self._said:
            say(f"{self._name}: {text}")
        self._said = text


def _what_counts(lease: Lease | None, anyone: bool) -> tuple[object, ...]:
    """What of a lease changes the machine: not its times."""
    if lease is None:
        return ()
    server = None if anyone else lease.server
    return lease.address, lease.length, lease.gateway, server, lease.resolvers


def _told(lease: Lease | None) -> str:
    if lease is None:
        return "no lease"
    gateway = f", gateway {lease.gateway}" if lease.gateway else ""
    return f"{lease.address}/{lease.length}{gateway} for {lease.seconds} s from {lease.server}"
