"""What a program does to have all of the machine: one kind of greed each, without a privilege.

In: the kind.  Out: nothing, it never ends by itself.  Runs in the guest, in the hostile programs;
it has the modules that are in the image, and no others.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = bytes(65536)
NETLINK, GET_LINK, DUMP = 16, 18, 0x301
kept: list[object] = []


def memory() -> None:
    """Pages."""
    while True:
        kept.append(b"x" * (1 << 20))


def files() -> None:
    """Open files, in as many processes as there may be."""
    _everywhere(lambda: kept.append(os.open("/dev/null", os.O_RDONLY)))


def sockets() -> None:
    """What Unix sockets hold that nobody reads."""
    _everywhere(lambda: _fill(*socket.socketpair()))


def datagrams() -> None:
    """The same in datagrams of one byte, each of which the kernel keeps by itself."""
    _everywhere(lambda: _fill(*socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), b"x"))


def passed() -> None:
    """Open files that are under way to a process that never takes them."""

    def many(one: socket.socket) -> bytes:
        return struct.pack("=200i", *[one.fileno()] * 200)

    def step() -> None:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.setblocking(False)
        with contextlib.suppress(OSError):
            while True:
                one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many(other))])
        kept.append((one, other))

    _everywhere(step)


def pipes() -> None:
    """What pipes hold."""

    def step() -> None:
        reader, writer = os.pipe()
        kept.append(reader)
        os.set_blocking(writer, False)
        with contextlib.suppress(OSError):
            while True:
                os.write(writer, PIECE)

    _everywhere(step)


def looped() -> None:
    """Datagrams and connections to itself that nobody takes."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(4096)

    def step() -> None:
        taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taker.bind(("127.0.0.1", 0))
        taker.setblocking(False)
        for _ in range(400):
            taker.sendto(PIECE[:1000], taker.getsockname())
        caller = socket.create_connection(server.getsockname())
        _fill(caller)
        kept.append(taker)

    _everywhere(step)


def unaccepted() -> None:
    """Connections to itself that were begun and given up, each of which the kernel keeps."""

    def step() -> None:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(65535)
        kept.append(server)
        place = server.getsockname()
        with contextlib.suppress(TimeoutError):
            while True:
                caller = socket.socket()
                caller.settimeout(0.5)
                caller.connect(place)
                caller.send(PIECE[:1000])
                caller.close()

    _everywhere(step)


def netlink() -> None:
    """Answers of the kernel that nobody reads."""
    ask = (20).to_bytes(4, "little") + GET_LINK.to_bytes(2, "little")
    ask += DUMP.to_bytes(2, "little") + bytes(12)

    def step() -> None:
        asker = socket.socket(NETLINK, socket.SOCK_RAW, 0)
        asker.setblocking(False)
        kept.append(asker)
        for _ in range(300):
            with contextlib.suppress(OSError):
                asker.send(ask)

    _everywhere(step)


def threads() -> None:
    """Threads."""
    while True:
        with contextlib.suppress(RuntimeError):
            _thread.start_new_thread(signal.pause, ())


def forks() -> None:
    """Processes, each of which makes more."""
    while True:
        with contextlib.suppress(OSError):
            os.fork()


def processor() -> None:
    """The processor, by as many processes as there may be, each leader of its own session."""
    with contextlib.suppress(OSError):
        while True:
            if os.fork() == 0:
                os.setsid()
                break
    while True:
        sum(range(100000))


def wakers() -> None:
    """The processor, by processes that sleep and wake as often as they can."""
    with contextlib.suppress(OSError):
        while os.fork():
            pass
    while True:
        time.sleep(0)
        select.select([], [], [], 0.000001)


def stored() -> None:
    """Files in /tmp, until there is no room; then names of more."""
    number = 0
    while True:
        number += 1
        try:
            with open(f"/tmp/{number}", "wb") as file:
                file.write(PIECE * 16)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(f"/tmp/{number}")
            for more in range(100000):
                with contextlib.suppress(OSError):
                    os.close(os.open(f"/tmp/{number}-{more}", os.O_CREAT | os.O_WRONLY))


def missing() -> None:
    """Names of files that are not there, which the kernel remembers."""
    number = 0
    while True:
        number += 1
        os.path.exists(f"/tmp/{number:0200d}")


def mappings() -> None:
    """Places in its memory, and tables of pages for them."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p

    def step() -> None:
        place = libc.mmap(None, ctypes.c_size_t(4 << 20), 3, 0x22, -1, ctypes.c_size_t(0))
        if place == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "mmap")
        ctypes.memset(place, 1, 1)

    _everywhere(step)


def polls() -> None:
    """What waits for files."""

    def step() -> None:
        poll = select.epoll()
        kept.append(poll)
        for one in range(3, 1024):
            with contextlib.suppress(OSError):
                poll.register(one, select.EPOLLIN)

    _everywhere(step)


def signals() -> None:
    """Signals that wait, each with its value."""
    libc = ctypes.CDLL(None)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 64))
    _everywhere(lambda: libc.sigqueue(os.getpid(), 35, ctypes.c_void_p(1)))


def words() -> None:
    """Lines on the console."""
    while True:
        os.write(1, b"a line of a greedy program\n" * 100)


def packets() -> None:
    """Packets to everybody."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        for there in ("192.0.2.1", "169.254.77.1", "169.254.0.1", "203.0.113.7"):
            with contextlib.suppress(OSError):
                sender.sendto(PIECE[:1200], (there, 9))


KINDS: dict[str, Callable[[], None]] = {
    act.__name__: act
    for act in (memory, files, sockets, datagrams, passed, pipes, looped, unaccepted, netlink,
                threads, forks, processor, wakers, stored, missing, mappings, polls, signals,
                words, packets)
}  # fmt: skip


def begin(kind: str) -> int:
    """Begin with this kind, in another process; its number."""
    child = os.fork()
    if child == 0:
        try:
            KINDS[kind]()
        finally:
            os._exit(1)
    return child


def _fill(one: socket.socket, other: object = None, piece: bytes = PIECE) -> None:
    """Send what is never read."""
    one.setblocking(False)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        one.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
    with contextlib.suppress(OSError):
        while True:
            one.send(piece)
    kept.append((one, other))


def _everywhere(step: Callable[[], object]) -> None:
    """Do it again and again, and in another process where it can no longer be done in this one."""
    while True:
        try:
            step()
        except OSError:
            with contextlib.suppress(OSError):
                if os.fork():
                    _wait()
                else:
                    kept.clear()
                    os.closerange(3, 70000)


def _wait() -> None:
    while True:
        signal.pause()
