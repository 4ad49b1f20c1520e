"""The process that holds what interfaces are given, and has it used.

In: what the processes that ask (`dhcp`, `ra`) tell, which are not trusted.  Out: a call with all
that is held, whenever that changes; also where one that asks is silent, hangs or dies.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from types import SimpleNamespace

from pbrinit.boot.autoconf import client_process
from pbrinit.boot.system.log import say, seconds
from pbrinit.wire.assignment import LeaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pbrinit.boot.autoconf.client_process import Identity
    from pbrinit.wire.assignment import Given
    from pbrinit.wire.prefix import Prefix

    Held = tuple[str, tuple[str, ...]]
    Use = Callable[[list[Held]], None]
    Ask = Callable[[Identity, str, socket.socket, tuple[bytes, float] | None, int], None]
    Unpack = Callable[[bytes, Iterable[Prefix]], Given]


class Kind(SimpleNamespace):
    """A way of asking: what is given by it, the process that asks, and what that tells."""

    what: str
    ask: Ask
    unpack: Unpack


PAUSE_SECONDS = 2.0
"""Between the end of a process that asks and the first question of the next."""

LEAST_SECONDS = 1.0
"""Between two changes of the machine, whatever those that ask tell."""


class Asker:
    """What one interface is given of one family: who asks for it, and what is held."""

    def __init__(
        self,
        kind: Kind,
        name: str,
        device: str,
        identity: Identity,
        held: tuple[Given, float] | None = None,
    ) -> None:
        """`held` is what is held at first, and since when."""
        self._kind = kind
        self._name = name
        self._device = device
        self._identity = identity
        self._held = held
        self._said = ""
        self._child = 0
        self.pipe, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def written(self) -> Held | None:
        """What is held now, as `Tenant` has it used, and the resolvers that come with it."""
        if self._held is None:
            return None
        found, since = self._held
        text = found.written(seconds() - since)
        if text is None:
            self._held = None
            return None
        return text, found.resolvers

    def due(self) -> float | None:
        """When what is held changes by itself."""
        if self._held is None:
            return None
        found, since = self._held
        times = sorted(since + age for age in found.changes())
        return next((at for at in times if at > seconds()), seconds())

    def start(self, pause: float = 0.0) -> None:
        """Start a process that asks, after a pause. It is told of what is held, so that it goes on
        from there.
        """
        self.pipe.close()
        self.pipe, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self._child = os.fork()
        if self._child:
            theirs.close()
            return
        try:
            time.sleep(pause)
            held = (self._held[0].pack(), self._held[1]) if self._held else None
            self._kind.ask(self._identity, self._device, theirs, held, parent)
        except BaseException as error:
            theirs.send(
                client_process.REFUSED + str(error).encode()[: client_process.LONGEST_REASON]
            )
        finally:
            os._exit(1)

    def stop(self) -> None:
        """End the process that asks, where there is one."""
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0

    def hear(self) -> None:
        """What the process that asks tells; where it has ended, it is started again."""
        data = self.pipe.recv(client_process.LONGEST_REASON + 1)
        if not data:
            self.stop()
            self.start(PAUSE_SECONDS)
        elif data[:1] == client_process.REFUSED:
            text = "".join(c for c in data[1:].decode("ascii", "replace") if c.isprintable())
            self._say(f"no {self._kind.what} yet: {text}")
        elif data == client_process.NOTHING:
            self._held = None
        else:
            try:
                self._held = self._kind.unpack(data, self._identity.taken), seconds()
            except LeaseError as error:
                self._say(f"what is told is no {self._kind.what}: {error}")

    def let_go(self, error: Exception) -> None:
        """What is held cannot be used; another is asked for."""
        self._say(f"{self._told()} cannot be used: {error}")
        self._held = None
        if self._child:
            self.stop()
            self.start(PAUSE_SECONDS)

    def tell(self) -> None:
        """Say what is held."""
        self._say(self._told())

    def _told(self) -> str:
        if self._held is None:
            return f"no {self._kind.what}"
        found, since = self._held
        return found.told(seconds() - since)

    def _say(self, text: str) -> None:
        """A line, not twice the same in a row."""
        if text != self._said:
            say(f"{self._name}: {text}")
        self._said = text


class Tenant:
    """All that is given to a machine.

    `use` is called with what is held, in the order of the askers, each as `pbrctl lease` takes it
    with its resolvers; first of all with what there is then.  Where it raises, what is new is let
    go, then all, and it is called with the rest; where it raises with nothing, so does `keep`.
    """

    def __init__(self, askers: Iterable[Asker], use: Use) -> None:
        self._askers = tuple(askers)
        self._use = use
        self._used: tuple[Held | None, ...] | None = None

    def keep(self) -> None:
        """Hold it without end; a process that asks is started again when it ends.

        Raises whatever `use` does with nothing.
        """
        try:
            self._apply()
            for asker in self._askers:
                asker.start()
            while True:
                self._hear()
                self._apply()
        finally:
            for asker in self._askers:
                asker.stop()

    def _hear(self) -> None:
        """What those that ask tell, or what time it is."""
        dues = [due for asker in self._askers if (due := asker.due()) is not None]
        wait = max(0.0, min(dues) - seconds()) if dues else None
        pipes = {asker.pipe: asker for asker in self._askers}
        for pipe in select.select([*pipes], [], [], wait)[0]:
            pipes[pipe].hear()

    def _apply(self) -> None:
        """Have used what is held now, where that is not what was."""
        while (wanted := tuple(asker.written() for asker in self._askers)) != self._used:
            before = self._used or (None,) * len(wanted)
            changed = [
                asker
                for asker, now, used in zip(self._askers, wanted, before, strict=True)
                if now != used or self._used is None
            ]
            for asker in changed:
                asker.tell()
            try:
                self._use([one for one in wanted if one is not None])
            except Exception as error:
                self._used = None
                held = [asker for asker in self._askers if asker.written() is not None]
                if not held:
                    raise
                for asker in [one for one in changed if one in held] or held:
                    asker.let_go(error)
                continue
            self._used = wanted
            time.sleep(LEAST_SECONDS)
