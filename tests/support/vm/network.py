"""A network namespace at the other end of a guest's cable; its eth0 is a tap.

In: a `Wire`, addresses.  Out: a `Namespace` of `lab`, with programs that the guest reaches.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tests.support.namespaces.lab import Namespace
from tests.support.vm.wire import LONGEST_FRAME, Frame, Wire

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x2, 0x1000


class Network:
    """The namespace, and a thread that carries its frames. It answers no ARP for `behind`."""

    def __init__(
        self, wire: Wire, folder: Path, on_link: Iterable[str], behind: Iterable[str]
    ) -> None:
        self.namespace = Namespace()
        self._wire = wire
        path = folder / "tap"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen()
            self.namespace.do(hand_over_tap, str(path))
            connection, _ = listener.accept()
            with connection:
                _, (self._tap,), _, _ = socket.recv_fds(connection, 1, 1)
        for where, addresses in (("eth0", on_link), ("lo", behind)):
            for address in addresses:
                self.namespace.run("ip", "address", "add", address, "dev", where)
            self.namespace.run("ip", "link", "set", where, "up")
        for key in ("arp_announce=2", "arp_ignore=1"):
            self.namespace.run("sysctl", "-qw", f"net/ipv4/conf/all/{key}")
        wire.listen(self._carry)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.namespace.close()

    def _carry(self, frame: Frame) -> None:
        os.write(self._tap, frame.data)

    def _read(self) -> None:
        while True:
            try:
                self._wire.send(os.read(self._tap, LONGEST_FRAME))
            except OSError:
                return


def hand_over_tap(path: str) -> None:
    """Make a tap as eth0 of this namespace, and send its descriptor to the listener at `path`."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH14x", b"eth0", IFF_TAP | IFF_NO_PI))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as receiver:
        receiver.connect(path)
        socket.send_fds(receiver, [b"t"], [tap])
    os.close(tap)
