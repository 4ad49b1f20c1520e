"""The log of who was refused, inside a namespace: acts of `lab`.

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
from tests.support.namespaces import in_namespace

IP_PKTINFO = 8
RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
loggers: list[int] = []
plugs: dict[tuple[str, int], socket.socket] = {}
CONSOLE = "/run/console"


def start() -> None:
    """Run the logger as PID 1 does, with a /run of its own and a file for a console."""
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    start_again()


def start_again() -> None:
    """Run another one."""
    child = os.fork()
    if child == 0:
        try:
            console = os.open(CONSOLE, os.O_RDWR | os.O_CREAT, 0o600)
            os.dup2(console, 1)
            reject_log.watch()
        finally:
            os._exit(1)
    loggers.append(child)
    end = time.monotonic() + 10
    while not Path(reject_log.PATH).exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)


def stop() -> None:
    """End all of them."""
    for logger in loggers:
        os.kill(logger, signal.SIGKILL)
        os.waitpid(logger, 0)


def end(program: int) -> None:
    """Kill one of them."""
    os.kill(program, signal.SIGKILL)


def programs() -> tuple[int, int]:
    """The one with the sockets, and the one that makes sense of what it hears."""
    child = Path(f"/proc/{loggers[-1]}/task/{loggers[-1]}/children").read_text()
    return loggers[-1], int(child)


def is_alive(program: int) -> bool:
    """Whether a program is there, and not only its remains."""
    try:
        return ") Z " not in Path(f"/proc/{program}/stat").read_text()
    except FileNotFoundError:
        return False


def told() -> tuple[int, int, list[str]]:
    """What it has written down."""
    time.sleep(reject_log.SECONDS + 0.3)
    return reject_log.recent()


def told_in(now: tuple[int, int, list[str]], before: tuple[int, int, list[str]]) -> list[str]:
    """The lines that are new, without their times; the oldest first."""
    fresh = now[2][: len(now[2]) - len(before[2])]
    return [re.sub(r" \(and .*\)", "", line.partition(" ")[2]) for line in fresh[::-1]]


def said() -> list[str]:
    """What it has said on the console."""
    return Path(CONSOLE).read_text().splitlines()


def state(program: int) -> dict[str, str]:
    """Of /proc/PID/status."""
    rows = Path(f"/proc/{program}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def files(program: int) -> dict[str, int]:
    """What it has open, and how (open(2), flags)."""
    found = {}
    for path in Path(f"/proc/{program}/fd").iterdir():
        told = Path(f"/proc/{program}/fdinfo/{path.name}").read_text()
        flags = int(dict(line.split(":", 1) for line in told.splitlines())["flags"], 8)
        name = str(path.readlink())
        found[name.partition(":")[0] if name.startswith("socket:") else name] = flags
    return found


def network_sockets(program: int) -> int:
    """How many sockets it has that are of a network: told by their numbers (proc_pid_net(5))."""
    links = [str(path.readlink()) for path in Path(f"/proc/{program}/fd").iterdir()]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    tables = [f"{kind}{six}" for kind in ("raw", "udp", "tcp", "icmp") for six in ("", "6")]
    rows = [
        row.split()
        for table in tables
        for row in Path(f"/proc/{program}/net/{table}").read_text().splitlines()[1:]
    ]
    return sum(row[9] in own for row in rows)


def seconds_of_work() -> float:
    """Processor time that it has used."""
    stats = (Path(f"/proc/{program}/stat").read_text() for program in programs())
    fields = [text.rpartition(")")[2].split() for text in stats]
    ticks = sum(int(field[11]) + int(field[12]) for field in fields)
    return ticks / os.sysconf("SC_CLK_TCK")


def taken_over(destination: str) -> list[str]:
    """What a program could do that has the logger's sockets and its rights: try to send with
    them, by any device and in any shape, to bind them elsewhere, and to make others.
    """
    six = ":" in destination
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            plug = reject_log._listen(socket.AF_INET6 if six else socket.AF_INET)
            attempts = _attempts(plug, destination, six)
            reject_log._give_up((0, 1, 2), [plug.fileno(), writer])
            tried = [in_namespace.verdict(attempt) for attempt in attempts]
            os.write(writer, " ".join(tried).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        told = answer.read().split()
    os.wait()
    return told


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


def hold(
    protocol: str, port: int, uid: int, family: int, peer: tuple[str, int] | None = None
) -> None:
    """A user's socket on a port that wants to hear of errors, connected where a peer is given."""
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
    plugs[protocol, port] = plug


def error_of(protocol: str, port: int) -> int:
    """The error that the socket has been told of, if any."""
    return plugs[protocol, port].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def flood(destination: str, source: str, seconds: float) -> int:
    """Datagrams as fast as they go; how many."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    end, count = time.monotonic() + seconds, 0
    with socket.socket(family, socket.SOCK_DGRAM) as plug:
        plug.bind((source, 0))
        while time.monotonic() < end:
            plug.sendto(b"x", (destination, 7000 + count % 1000))
            count += 1
    return count
