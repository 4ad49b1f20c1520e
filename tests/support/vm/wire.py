"""One cable to a guest's network card; the test holds its other end. No root.

In: frames to send.  Out: every frame that the guest sent since power-on, with its time.  Nothing
here answers; `tests.support.vm.peer` does.
"""

from __future__ import annotations

import contextlib
import queue
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from scapy.layers import inet, inet6  # noqa: F401  scapy takes apart what was imported, no more
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from factory.vm.qemu import Dgram

LONGEST_FRAME = 65536

# The kernel queues about ten datagrams. A busy guest delays the sender; a guest that has not set up
# its card accepts none at all.
SEND_SECONDS = 1.0


@dataclass(frozen=True)
class Frame:
    """A frame from the guest; `at` is `time.monotonic()` when it arrived here."""

    at: float
    data: bytes

    @cached_property
    def packet(self) -> Packet:
        """The frame taken apart, once."""
        return Ether(self.data)


class Wire:
    """The sockets of a QEMU `dgram` network and all that came through them.

    Make it before QEMU starts, and start QEMU with `netdev`: then it has every frame. It is a
    context manager. With `pcap`, closing it writes both directions to that file.
    """

    def __init__(self, pcap: Path | None = None) -> None:
        # Not the test's own directory: a Unix socket's path is at most 107 bytes (unix(7)).
        self._directory = Path(tempfile.mkdtemp(prefix="wire-"))
        self.netdev = Dgram(self._directory / "guest", self._directory / "far")
        self._pcap = pcap
        self._arrived = threading.Condition()
        self._frames: list[Frame] = []
        self._sent: list[Frame] = []
        self._listeners: list[Callable[[Frame], None]] = []
        self._failure: Exception | None = None
        self._stalled = False
        self._open = True
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.netdev.remote))
        # Two threads: a slow listener must not change the times of the next frames.
        self._undelivered: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=work, name="wire", daemon=True)
            for work in (self._read, self._call_listeners)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and close the sockets. Raises the error of a listener."""
        if not self._open:
            return
        self._open = False
        # Wakes the reader; an unconnected datagram socket says that it is not connected.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._pcap is not None:
            self._write_pcap(self._pcap)
        if self._failure is not None:
            raise self._failure

    def listen(self, listener: Callable[[Frame], None]) -> None:
        """Call `listener` for each frame from now on, in a thread of the wire, in order."""
        self._listeners.append(listener)

    def send(self, frame: Packet | bytes) -> bool:
        """Send a frame to the guest's card; False if QEMU did not accept it, which is no error.

        True means that QEMU has it, not that the card has it: QEMU and the socket keep the first
        dozen frames for a card that is not set up yet. The next frame waits a second and is lost.
        Each one after it is lost without a wait, until one is accepted.
        """
        data = bytes(frame)
        give_up = time.monotonic() + (0 if self._stalled else SEND_SECONDS)
        while True:
            try:
                self._socket.sendto(data, socket.MSG_DONTWAIT, str(self.netdev.local))
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    self._stalled = True
                    return False
                time.sleep(0.001)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            else:
                self._stalled = False
                self._sent.append(Frame(time.monotonic(), data))
                return True

    def frames(self, since: float = 0.0, until: float = float("inf")) -> list[Frame]:
        """What the guest sent in `since` <= at < `until`, of `time.monotonic()`."""
        with self._arrived:
            return [frame for frame in self._frames if since <= frame.at < until]

    def sent(self) -> list[Frame]:
        """The frames that QEMU accepted, with their times."""
        return list(self._sent)

    def wait_for(
        self, predicate: Callable[[Frame], bool], timeout: float, since: float = 0.0
    ) -> Frame | None:
        """The first frame from `since` on that `predicate` accepts; None after `timeout` s."""
        give_up = time.monotonic() + timeout
        looked_at = 0
        while True:
            with self._arrived:
                fresh = self._frames[looked_at:]
                if not fresh and not self._arrived.wait(give_up - time.monotonic()):
                    return None
            looked_at += len(fresh)
            for frame in fresh:
                if frame.at >= since and predicate(frame):
                    return frame

    def _read(self) -> None:
        while True:
            data = self._socket.recv(LONGEST_FRAME)
            frame = Frame(time.monotonic(), data)
            if not data:
                break
            with self._arrived:
                self._frames.append(frame)
                self._arrived.notify_all()
            self._undelivered.put(frame)
        self._undelivered.put(None)

    def _call_listeners(self) -> None:
        while (frame := self._undelivered.get()) is not None:
            for listener in self._listeners:
                try:
                    listener(frame)
                except Exception as error:  # any, as it fails the test at its end
                    self._failure = self._failure or error

    def _write_pcap(self, path: Path) -> None:
        """Both directions in time order, as libpcap's format (pcap-savefile(5)), Ethernet."""
        offset = time.time() - time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LONGEST_FRAME, 1))
            for frame in sorted(self._frames + self._sent, key=lambda frame: frame.at):
                seconds, microseconds = divmod(int((frame.at + offset) * 1e6), 10**6)
                length = len(frame.data)
                file.write(struct.pack("<IIII", seconds, microseconds, length, length))
                file.write(frame.data)
