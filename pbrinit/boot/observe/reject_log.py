"""Writes down who was refused: listens to what the kernel says about it, to this machine alone.

In: ICMP's "prohibited" (RFC 1812, RFC 4443), which the plan leads into loopback, with the head of
the refused packet in it.  Out: at most a line a second on the console, and the last ones in a file.

The kernel says it once a second to each sender (ip_error, icmpv6_xrlim_allow), a thousand times
in all (icmp_global_allow), and queues are bounded.  Who makes sense of it is nobody, has no
socket, and may write to the console and to one file of a fixed size.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import time

from pbrinit.boot.system import syscalls
from pbrinit.boot.system.log import confine, log, seconds
from pbrinit.boot.system.rate_limit import TokenBucket
from pbrinit.wire import decimal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/run/refused"
SIZE = 8192
UNPRIVILEGED_UID = 65534
LINES_AT_ONCE, LINES_PER_SECOND = 10, 1.0
FAMILIES = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
PROHIBITED = {socket.AF_INET: (3, 13), socket.AF_INET6: (1, 1)}
SOL_RAW, ICMP_FILTER, ICMPV6_FILTER = 255, 1, 1
QUOTE = 8
"""Where the refused packet begins in the kernel's word about it."""

WORDS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
WITH_PORTS = (6, 17)
OFFSET = 0x1FFF
HIGHEST_COUNT = 2**64
FOUR_SIZE, SIX_SIZE = 20, 40
LONGEST = 2048
SECONDS = 1.0
"""How long counts that nobody was told of may wait to be written."""

FILES = 16
FORBIDDEN = (41, 42, 44, 46, 49, 50, 53, 54, 56, 57, 58, 59, 101, 307, 322, 435, 438)
"""socket, connect, sendto, sendmsg, bind, listen, socketpair, setsockopt, clone, fork, vfork,
execve, ptrace, sendmmsg, execveat, clone3, pidfd_getfd (syscall_64.tbl). To write into a raw
socket it must be connected."""


class Log:
    """What was heard: counts, and the last lines, in a file of a fixed size."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._bucket = TokenBucket(LINES_AT_ONCE, LINES_PER_SECOND, time.monotonic())
        self._lines: list[str] = []
        self.heard = 0
        self.unsaid = 0
        self._silent = 0
        self.changed = False
        self._written = 0.0

    def note(self, packet: str) -> None:
        """Say it, or count it where enough was said."""
        self.heard += 1
        self.changed = True
        if not self._bucket.take(time.monotonic()):
            self.unsaid += 1
            self._silent += 1
            if time.monotonic() - self._written >= SECONDS:
                self.write()
            return
        more = f" (and {self._silent} more before it)" if self._silent else ""
        self._silent = 0
        log(f"refused: {packet}{more}")
        self._lines.append(f"{seconds():.2f} {packet}{more}")
        self.write()

    def write(self) -> None:
        """The counts, then as many of the last lines as there is room for."""
        head = f"{self.heard} {self.unsaid}\n"
        while len(head) + sum(len(line) + 1 for line in self._lines) > SIZE:
            del self._lines[0]
        text = head + "".join(f"{line}\n" for line in reversed(self._lines))
        self.changed, self._written = False, time.monotonic()
        with contextlib.suppress(OSError):  # a file system that is full
            os.pwrite(self._file, text.encode().ljust(SIZE, b"\n"), 0)


def watch() -> None:
    """Listen without end, in two programs of nobody's: one has the sockets and only hands on
    what it hears, the other makes sense of it and has none.

    Raises OSError where there is no such socket, or the other has ended.
    """
    plugs = [_listen(family) for family in FAMILIES]
    mouth, ear = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    mouth.setblocking(False)
    if os.fork() == 0:
        try:
            _make_sense(ear)
        finally:
            os._exit(1)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    _drop_privileges((null, null, null), [mouth.fileno(), *(plug.fileno() for plug in plugs)])
    while True:
        for plug in select.select(plugs, [], [])[0]:
            word = plug.recv(LONGEST)
            try:
                os.write(mouth.fileno(), bytes([plug.family]) + word)
            except BlockingIOError:  # more than can be said anyway
                continue


def _make_sense(ear: socket.socket) -> None:
    file = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    _drop_privileges((null, confine(), null), [ear.fileno(), file])
    log = Log(file)
    log.write()
    while True:
        waits = SECONDS if log.changed else None
        if not select.select([ear], [], [], waits)[0]:
            log.write()
            continue
        family, *word = ear.recv(1 + LONGEST)
        packet = quoted_packet(family, bytes(word))
        if packet is not None:
            log.note(packet)


def quoted_packet(family: int, word: bytes) -> str | None:
    """The refused packet, as `explain` takes it, in what a raw socket heard; None where it is
    something else, or not whole.
    """
    four = family == socket.AF_INET
    icmp = word[(word[0] & 15) * 4 :] if four and word else word
    head = icmp[QUOTE:]
    size = (head[0] & 15) * 4 if four and head else SIX_SIZE
    if tuple(icmp[:2]) != PROHIBITED[socket.AddressFamily(family)]:
        return None
    if len(head) < size or size < (FOUR_SIZE if four else SIX_SIZE):
        return None
    protocol, at, length = (head[9], 12, 4) if four else (head[6], 8, 16)
    source, destination = (
        socket.inet_ntop(family, head[start : start + length]) for start in (at, at + length)
    )
    whole = not four or not struct.unpack_from("!H", head, 6)[0] & OFFSET
    name = WORDS.get(protocol, f"ip/{protocol}")
    if protocol in WITH_PORTS and whole and len(head) >= size + 4:
        ports = struct.unpack_from("!HH", head, size)
        bracket = "{}:{}" if four else "[{}]:{}"
        ends = [bracket.format(*end) for end in zip((source, destination), ports, strict=True)]
        return f"{name} {ends[0]} > {ends[1]}"
    return f"{name} {source} > {destination}"


def recent() -> tuple[int, int, list[str]]:
    """How many were heard of, how many of them were not said, and the last that were, the newest
    first. The file is written by a program that strangers speak to, so it is read as any text.
    """
    try:
        with open(PATH, "rb") as file:  # noqa: PTH123  pathlib is not in the image
            text = file.read(SIZE).decode("ascii", "replace")
    except FileNotFoundError:
        return 0, 0, []
    head, *lines = list(_plain(text)) or [""]
    heard, _, unsaid = head.partition(" ")
    counts = [decimal_number.parse(text, HIGHEST_COUNT) for text in (heard, unsaid)]
    if None in counts:
        return 0, 0, []
    return counts[0] or 0, counts[1] or 0, lines


def _plain(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line:
            yield "".join(char for char in line if char.isascii() and char.isprintable())


def _listen(family: socket.AddressFamily) -> socket.socket:
    """A raw socket that hears loopback alone, and only prohibitions. Only root can bind it to
    another device (sock_bindtoindex).
    """
    plug = socket.socket(family, socket.SOCK_RAW, FAMILIES[family])
    os.fchown(plug.fileno(), UNPRIVILEGED_UID, -1)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    kind, _ = PROHIBITED[family]
    if family == socket.AF_INET:
        plug.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << kind) & 0xFFFFFFFF))
    else:
        passed = [0xFFFFFFFF & ~(1 << kind), *[0xFFFFFFFF] * 7]
        plug.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, struct.pack("=8I", *passed))
    return plug


def _drop_privileges(first: tuple[int, int, int], kept: list[int]) -> None:
    """Be nobody, with three files to read and write and these; make no socket, connect and
    send with none; and end with the parent.
    """
    for number, instead in enumerate(first):
        os.dup2(instead, number)
    syscalls.close_all_but(kept)
    for what, most in (
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, SIZE),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        resource.setrlimit(what, (most, most))
    syscalls.setresuid_setgroups(UNPRIVILEGED_UID)
    syscalls.set_parent_death_signal(signal.SIGKILL)
    syscalls.deny_syscalls(FORBIDDEN)
