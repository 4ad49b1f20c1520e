"""What the agent reaches into: programs of the policy in their rooms, and what comes out of these.

In: a program's name, or a device.  Out: what came of it.  Runs in the guest, beside the agent.
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

LINES: dict[str, socket.socket] = {}
START_SECONDS = 30.0


def tap_device(device: str) -> None:
    """Raw sockets of every protocol that get what comes by one device and is handed on."""
    agent.tap()
    for _, _, raw in agent.TAPS:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def untap() -> None:
    """Close the taps."""
    for _, _, raw in agent.TAPS:
        raw.close()
    agent.TAPS.clear()


def handed() -> list[tuple[int, int]]:
    """Version and protocol of each packet that the taps got since it was last asked."""
    found = []
    for version, protocol, raw in agent.TAPS:
        while True:
            try:
                raw.recv(65535)
            except BlockingIOError:
                break
            found.append((version, protocol))
    return found


def relay(name: str, function: str, *arguments: Any) -> Any:
    """Have a function done by the program of the policy that was started with this last word."""
    if name not in LINES:
        LINES[name] = _line_to(name)
    LINES[name].sendall(repr((function, arguments)).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        piece = LINES[name].recv(65536)
        if not piece:
            raise OSError(f"{name} is gone")
        answer += piece
    good, result = eval(answer)
    if not good:
        raise OSError(result)
    return result


def forget(name: str) -> None:
    """The program is another process now."""
    LINES.pop(name).close()


def _line_to(name: str) -> socket.socket:
    """The line to a program, which may have still to start."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            line.connect(f"/proc/{_process(name)}/root{agent.LINE}")
            return line
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def _process(name: str) -> str:
    for process in filter(str.isdigit, os.listdir("/proc")):
        if agent.read(f"/proc/{process}/cmdline").split("\0")[-2:-1] == [name]:
            return process
    raise ProcessLookupError(errno.ESRCH, f"no process is {name}")
