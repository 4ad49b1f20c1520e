"""A real network at the far end of a guest's cable: a namespace, in which a tap is eth0.

In: a `Wire`, addresses.  Out: a `Namespace` of `lab`, whose programs the guest meets.
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
    """The namespace and what carries its frames. The addresses `behind` answer no ARP."""

    def __init__(
        self, wire: Wire, folder: Path, on_link: Iterable[str], behind: Iterable[str]
    ) -> None:
        self.inside = Namespace()
        self._wire = wire
        path = folder / "tap"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
            waiting.bind(str(path))
            waiting.listen()
            self.inside.do(hand_over_tap, str(path))
            taken, _ = waiting.accept()
            with taken:
                _, (self._tap,), _, _ = socket.recv_fds(taken, 1, 1)
        for where, addresses in (("eth0", on_link), ("lo", behind)):
            for address in addresses:
                self.inside.run("ip", "address", "add", address, "dev", where)
            self.inside.run("ip", "link", "set", where, "up")
        for key in ("arp_announce=2", "arp_ignore=1"):
            self.inside.run("sysctl", "-qw", f"net/ipv4/conf/all/{key}")
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
        self.inside.close()

    def _carry(self, frame: Frame) -> None:
        os.write(self._tap, frame.data)

    def _read(self) -> None:
        while True:
            try:
                self._wire.send(os.read(self._tap, LONGEST_FRAME))
            except OSError:
                return


def hand_over_tap(path: str) -> None:
    """Make a tap eth0 of this namespace, and give it to whoever listens at `path`."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH14x", b"eth0", IFF_TAP | IFF_NO_PI))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taker:
        taker.connect(path)
        socket.send_fds(taker, [b"t"], [tap])
    os.close(tap)
