"""The process that holds what interfaces are given, and has it used.

In: what the processes that ask (`dhcp`, `ra`) tell, which are not trusted, and cables that come
back.  Out: a call with all that is held, whenever that changes; also where one that asks is silent,
hangs or dies.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time

from pbrinit.boot.autoconf import client_process
from pbrinit.boot.autoconf.carrier_watch import CarrierWatch
from pbrinit.boot.autoconf.line_budget import LineBudget
from pbrinit.boot.system.log import log, seconds
from pbrinit.wire.assignment import LeaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pbrinit.boot.autoconf.client_process import AddressProtocol
    from pbrinit.wire.assignment import Assignment, Identity

    Held = tuple[str, tuple[str, ...]]
    Apply = Callable[[list[Held]], None]


PAUSE_SECONDS = 2.0
"""Between the end of a process that asks and the first question of the next."""

LEAST_SECONDS = 1.0
"""Between two changes of the machine, whatever those that ask tell."""


class InterfaceClient:
    """What one interface is given of one family: who asks for it, and what is held."""

    def __init__(
        self,
        protocol: AddressProtocol,
        name: str,
        device: str,
        identity: Identity,
        held: tuple[Assignment, float] | None = None,
    ) -> None:
        """`held` is what is held at first, and since when."""
        self._protocol = protocol
        self._name = name
        self.device = device
        self._identity = identity
        self._held = held
        self._last_text = ""
        self._budget = LineBudget()
        self._child = 0
        self.pipe, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def as_assignment(self) -> Held | None:
        """What is held now, as `LeaseHolder` has it used, and the resolvers that come with it."""
        if self._held is None:
            return None
        assignment, since = self._held
        text = assignment.as_assignment(seconds() - since)
        if text is None:
            self._held = None
            return None
        return text, assignment.resolvers

    def next_change(self) -> float | None:
        """When what is held changes by itself."""
        if self._held is None:
            return None
        assignment, since = self._held
        times = sorted(since + age for age in assignment.change_times())
        return next((at for at in times if at > seconds()), seconds())

    def start(self, pause: float = 0.0) -> None:
        """Start a process that asks, after a pause. It is told of what is held, so that it goes on
        from there.
        """
        self.pipe.close()
        self.pipe, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self._child = os.fork()
        if self._child:
            child_end.close()
            return
        try:
            time.sleep(pause)
            held = (self._held[0].pack(), self._held[1]) if self._held else None
            self._protocol.run_client(self._identity, self.device, child_end, held, parent)
        except BaseException as error:
            child_end.send(
                client_process.REJECTED + str(error).encode()[: client_process.LONGEST_REASON]
            )
        finally:
            os._exit(1)

    def stop(self) -> None:
        """End the process that asks, where there is one."""
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0

    def receive(self) -> None:
        """What the process that asks tells; where it has ended, it is started again."""
        data = self.pipe.recv(client_process.LONGEST_REASON + 1)
        if not data:
            self.stop()
            self.start(PAUSE_SECONDS)
        elif data[:1] in (client_process.REJECTED, client_process.REMARKED):
            is_waiting = data[:1] == client_process.REJECTED and self._held is None
            words = f"no {self._protocol.what} yet" if is_waiting else self._protocol.what
            text = "".join(c for c in data[1:].decode("ascii", "replace") if c.isprintable())
            self._log_untrusted(f"{words}: {text}")
        elif data == client_process.NOTHING:
            self._held = None
        else:
            try:
                self._held = self._protocol.unpack(data, self._identity.taken), seconds()
            except LeaseError as error:
                self._log_untrusted(f"what is told is no {self._protocol.what}: {error}")

    def reconnect(self) -> None:
        """Have the process ask at once, since the cable came back. One that does not listen ends,
        or is about to ask.
        """
        with contextlib.suppress(OSError):
            self.pipe.send(client_process.RECONNECT, socket.MSG_DONTWAIT)

    def reject(self, error: Exception) -> None:
        """What is held cannot be used; another is asked for."""
        self._log(f"{self._describe()} cannot be used: {error}")
        self._held = None
        if self._child:
            self.stop()
            self.start(PAUSE_SECONDS)

    def log_assignment(self) -> None:
        """Say what is held."""
        self._log(self._describe())

    def _describe(self) -> str:
        if self._held is None:
            return f"no {self._protocol.what}"
        assignment, since = self._held
        return assignment.describe(seconds() - since)

    def _log_untrusted(self, text: str) -> None:
        """A line that strangers can cause: not more often than the budget has it."""
        if text == self._last_text:
            return
        left_out = self._budget.spend(seconds())
        if left_out:
            self._log(f"{left_out} lines about replies were left out")
        if left_out is not None:
            self._log(text)

    def _log(self, text: str) -> None:
        """A line, not twice the same in a row."""
        if text != self._last_text:
            log(f"{self._name}: {text}")
        self._last_text = text


class LeaseHolder:
    """All that is given to a machine.

    `use` is called with what is held, in the order of the askers, each as `pbrctl lease` takes it
    with its resolvers; first of all with what there is then.  Where it raises, what is new is let
    go, then all, and it is called with the rest; where it raises with nothing, so does `keep`.
    """

    def __init__(self, clients: Iterable[InterfaceClient], apply: Apply) -> None:
        self._clients = tuple(clients)
        self._apply_assignments = apply
        self._applied: tuple[Held | None, ...] | None = None
        self._carriers = CarrierWatch(client.device for client in self._clients)

    def run(self) -> None:
        """Hold it without end; a process that asks is started again when it ends.

        Raises whatever `use` does with nothing.
        """
        try:
            self._apply()
            for client in self._clients:
                client.start()
            while True:
                self._wait()
                self._apply()
        finally:
            for client in self._clients:
                client.stop()
            self._carriers.close()

    def _wait(self) -> None:
        """What those that ask tell, or what time it is."""
        dues = [due for client in self._clients if (due := client.next_change()) is not None]
        wait = max(0.0, min(dues) - seconds()) if dues else None
        pipes = {client.pipe: client for client in self._clients}
        listened: list[socket.socket | CarrierWatch] = [*pipes, self._carriers]
        ready = select.select(listened, [], [], wait)[0]
        if self._carriers in ready:
            returned = self._carriers.returned()
            for client in self._clients:
                if client.device in returned:
                    client.reconnect()
        for pipe, client in pipes.items():
            if pipe in ready:
                client.receive()

    def _apply(self) -> None:
        """Have used what is held now, where that is not what was."""
        while (
            wanted := tuple(client.as_assignment() for client in self._clients)
        ) != self._applied:
            before = self._applied or (None,) * len(wanted)
            changed = [
                client
                for client, now, used in zip(self._clients, wanted, before, strict=True)
                if now != used or self._applied is None
            ]
            for client in changed:
                client.log_assignment()
            try:
                self._apply_assignments([one for one in wanted if one is not None])
            except Exception as error:
                self._applied = None
                held = [client for client in self._clients if client.as_assignment() is not None]
                if not held:
                    raise
                for client in [one for one in changed if one in held] or held:
                    client.reject(error)
                continue
            self._applied = wanted
            time.sleep(LEAST_SECONDS)
