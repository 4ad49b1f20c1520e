"""The log of rejected packets, inside a namespace: calls for `lab`.

In: plain values.  Out: plain values.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from pbrinit.boot.observe import reject_log
from pbrinit.boot.system import console_writer, log
from tests.support.namespaces import in_namespace

IP_PKTINFO = 8
RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
loggers: list[int] = []
writers: list[int] = []
sockets: dict[tuple[str, int], socket.socket] = {}
CONSOLE = "/run/console"
ACTIVE = "/run/active"


def start() -> None:
    """Run the logger as PID 1 does, with a /run of its own, a console writer, and a file as
    console.
    """
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    Path(CONSOLE).touch()
    Path(ACTIVE).write_text(f"..{CONSOLE}")  # below /dev
    console_writer.ACTIVE = ACTIVE
    console_writer.begin()
    child = os.fork()
    if child == 0:
        try:
            console_writer.run()
        finally:
            os._exit(1)
    writers.append(child)
    console_writer.hand_over()
    start_again()


def start_again() -> None:
    """Run another logger."""
    child = os.fork()
    if child == 0:
        try:
            reject_log.watch()
        finally:
            os._exit(1)
    loggers.append(child)
    end = time.monotonic() + 10
    while not Path(reject_log.PATH).exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)


def stop() -> None:
    """End all loggers, and the console writer."""
    for logger in (*loggers, *writers):
        os.kill(logger, signal.SIGKILL)
        os.waitpid(logger, 0)


def kill(program: int) -> None:
    """Kill a process of the logger."""
    os.kill(program, signal.SIGKILL)


def processes() -> tuple[int, int]:
    """The process with the sockets, and the process that interprets what it receives."""
    child = Path(f"/proc/{loggers[-1]}/task/{loggers[-1]}/children").read_text()
    return loggers[-1], int(child)


def is_alive(program: int) -> bool:
    """Whether a process runs, and is no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{program}/stat").read_text()
    except FileNotFoundError:
        return False


def entries() -> tuple[int, int, list[str]]:
    """How many packets it counted, how many of these it did not print, and its last lines; the
    newest line is the first.
    """
    time.sleep(reject_log.SECONDS + 0.3)
    return reject_log.recent()


def new_entries(now: tuple[int, int, list[str]], before: tuple[int, int, list[str]]) -> list[str]:
    """The new lines, without their times; the oldest first."""
    new_lines = now[2][: len(now[2]) - len(before[2])]
    return [re.sub(r" \(and .*\)", "", line.partition(" ")[2]) for line in new_lines[::-1]]


def console_lines() -> list[str]:
    """The lines that it wrote to the console."""
    return Path(CONSOLE).read_text().splitlines()


def process_status(program: int) -> dict[str, str]:
    """The fields of /proc/PID/status."""
    rows = Path(f"/proc/{program}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def open_files(program: int) -> dict[str, int]:
    """The files that it has open, with the flags of open(2)."""
    flags_by_name = {}
    for path in Path(f"/proc/{program}/fd").iterdir():
        info = Path(f"/proc/{program}/fdinfo/{path.name}").read_text()
        flags = int(dict(line.split(":", 1) for line in info.splitlines())["flags"], 8)
        name = str(path.readlink())
        flags_by_name[name.partition(":")[0] if name.startswith("socket:") else name] = flags
    return flags_by_name


def console_queues(program: int) -> list[str]:
    """The queues to the console writer of which a process has an end open, each with the
    descriptors of it that lead there.
    """
    queues = log.queues()
    assert queues is not None
    ends = {
        f"socket:[{os.fstat(end.fileno()).st_ino}]": name
        for name, queue in vars(queues).items()
        for end in (queue.reader, queue.writer)
    }
    links = {path.name: str(path.readlink()) for path in Path(f"/proc/{program}/fd").iterdir()}
    return sorted(f"{ends[link]} by {number}" for number, link in links.items() if link in ends)


def network_sockets(program: int) -> int:
    """How many network sockets it has, found by their inodes (proc_pid_net(5))."""
    links = [str(path.readlink()) for path in Path(f"/proc/{program}/fd").iterdir()]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    tables = [f"{kind}{six}" for kind in ("raw", "udp", "tcp", "icmp") for six in ("", "6")]
    rows = [
        row.split()
        for table in tables
        for row in Path(f"/proc/{program}/net/{table}").read_text().splitlines()[1:]
    ]
    return sum(row[9] in own for row in rows)


def processor_seconds() -> float:
    """The processor time that its processes used."""
    stats = (Path(f"/proc/{program}/stat").read_text() for program in processes())
    fields = [text.rpartition(")")[2].split() for text in stats]
    ticks = sum(int(field[11]) + int(field[12]) for field in fields)
    return ticks / os.sysconf("SC_CLK_TCK")


def logger_rights(destination: str) -> list[str]:
    """What a program could do with the logger's sockets and rights: the result of each attempt to
    send, to bind the socket elsewhere, to open another socket and to run a program.
    """
    six = ":" in destination
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            plug = reject_log._listen(socket.AF_INET6 if six else socket.AF_INET)
            attempts = _attempts(plug, destination, six)
            reject_log._drop_privileges((0, 1, 2), [plug.fileno(), writer])
            outcomes = [in_namespace.verdict(attempt) for attempt in attempts]
            os.write(writer, " ".join(outcomes).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        results = answer.read().split()
    os.wait()
    return results


def _attempts(plug: socket.socket, destination: str, six: bool):  # type: ignore[no-untyped-def]
    index = socket.if_nametoindex("eth0")
    echo = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 1, 1)
    header = bytes.fromhex("4500001c000000004002000000000000") + socket.inet_aton("224.0.0.1")
    info = (
        (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", b"", index))
        if six
        else (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", index, b"", b""))
    )

    def send() -> str:
        plug.sendto(echo, (destination, 0))
        return "sent"

    def by_device() -> str:
        plug.sendmsg([echo], [info], 0, (destination, 0))
        return "sent"

    def with_header() -> str:
        level, option = (socket.IPPROTO_IPV6, 36) if six else (socket.IPPROTO_IP, 3)
        plug.setsockopt(level, option, 1)  # IPV6_HDRINCL, IP_HDRINCL
        plug.sendto(header + echo, ("ff02::1" if six else "224.0.0.1", 0))
        return "sent"

    def connected() -> str:
        plug.connect((destination, 0))
        return "connected"

    def written() -> str:
        os.write(plug.fileno(), echo)
        return "sent"

    def elsewhere() -> str:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        return "bound"

    def anywhere() -> str:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
        return "bound"

    def another() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
            return "made"

    def program() -> str:
        os.execv("/bin/true", ["true"])  # noqa: S606

    return send, by_device, with_header, connected, written, elsewhere, anywhere, another, program


def hold_socket(
    protocol: str, port: int, uid: int, family: int, peer: tuple[str, int] | None = None
) -> None:
    """Open a user's socket on a port, with IP_RECVERR, connected if a peer is given."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    plug = socket.socket(family, kind)
    os.fchown(plug.fileno(), uid, -1)
    plug.setsockopt(*RECVERR[socket.AddressFamily(family)], 1)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        plug.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    plug.bind(("", port))
    if peer is not None:
        plug.connect(peer)
    elif protocol == "tcp":
        plug.listen()
    sockets[protocol, port] = plug


def error_of(protocol: str, port: int) -> int:
    """The pending error of the socket, or 0."""
    return sockets[protocol, port].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def flood(destination: str, source: str, seconds: float) -> int:
    """Send datagrams as fast as possible; how many."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    end, count = time.monotonic() + seconds, 0
    with socket.socket(family, socket.SOCK_DGRAM) as plug:
        plug.bind((source, 0))
        while time.monotonic() < end:
            plug.sendto(b"x", (destination, 7000 + count % 1000))
            count += 1
    return count
