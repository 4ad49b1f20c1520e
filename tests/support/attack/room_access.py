"""What the agent does with rooms: it calls the policy's programs and taps their devices.

In: a program's name, or a device.  Out: what the program returned, or the packets.  Runs in the
guest, beside the agent.
"""

from __future__ import annotations

import errno
import os
import socket
import time

from tests.support.attack import agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONNECTIONS: dict[str, socket.socket] = {}
GREEDY_PROCESSES: dict[str, str] = {}
START_SECONDS = 30.0


def tap_device(device: str) -> None:
    """Raw sockets of every protocol that receive what is delivered from one device."""
    agent.tap()
    for _, _, raw in agent.TAPS:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def untap() -> None:
    """Close the taps."""
    for _, _, raw in agent.TAPS:
        raw.close()
    agent.TAPS.clear()


def tapped_packets() -> list[tuple[int, int]]:
    """Version and protocol of each packet that the taps received since the last call."""
    packets = []
    for version, protocol, raw in agent.TAPS:
        while True:
            try:
                raw.recv(65535)
            except BlockingIOError:
                break
            packets.append((version, protocol))
    return packets


def relay(name: str, function: str, *arguments: Any) -> Any:
    """Call a function of the policy's program whose last argument is this name."""
    if name not in CONNECTIONS:
        CONNECTIONS[name] = _connection_to(name)
    CONNECTIONS[name].sendall(repr((function, arguments)).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        piece = CONNECTIONS[name].recv(65536)
        if not piece:
            raise OSError(f"{name} has ended")
        answer += piece
    good, result = eval(answer)
    if not good:
        raise OSError(result)
    return result


def start_greedy(name: str, kind: str) -> bool:
    """Start a greedy program's work, unless it has started or is not ready; whether it was sent."""
    try:
        process = _process(name)
    except ProcessLookupError:
        return False
    if GREEDY_PROCESSES.get(name) == process:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            client.connect(f"/proc/{process}/root{agent.SOCKET_PATH}")
            client.sendall(repr(("begin", (kind,))).encode() + b"\n")
            client.recv(64)
    except OSError:
        return False
    GREEDY_PROCESSES[name] = process
    return True


def restart_count(name: str) -> int:
    """How often PID 1 started a program again."""
    from pbrinit.boot.state import program_status  # noqa: PLC0415  PID 1's, only in the guest

    return next(p.restarts for p in program_status.read() if p.name == name)


def repair_seconds(key: str, wrong: str) -> float:
    """Change a sysctl; the seconds until the guard has restored its value."""
    path = f"/proc/sys/{key}"
    right = agent.read(path)
    begin = time.monotonic()
    agent.write(path, wrong)
    while agent.read(path) != right:
        if time.monotonic() - begin > START_SECONDS:
            raise TimeoutError(f"{key} stays {wrong}")
        time.sleep(0.01)
    return time.monotonic() - begin


def disconnect(name: str) -> None:
    """Close the connection to a program: it was started again."""
    CONNECTIONS.pop(name).close()


def _connection_to(name: str) -> socket.socket:
    """A connection to a program; waits until it has started."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            connection.connect(f"/proc/{_process(name)}/root{agent.SOCKET_PATH}")
            return connection
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def _process(name: str) -> str:
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = agent.read(f"/proc/{process}/cmdline").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        if words[-2:-1] == [name]:
            return process
    raise ProcessLookupError(errno.ESRCH, f"no process is {name}")
