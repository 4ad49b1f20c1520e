#!/usr/bin/python3 -ISB
"""A hostile program of a policy: does what it is told by the agent, who reaches into its /run.

In: lines as the agent has them.  Out: a line for each.  Its last argument is its name.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time

sys.path.insert(0, "/etc/evil")

from tests.support.attack import agent, socket_steps

FLOODS: list[int] = []


def namespaces() -> dict[str, int]:
    """What comes of going into every namespace that can be seen, and how often."""
    told: dict[str, int] = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        for name in os.listdir(f"/proc/{process}/ns"):
            said = "done"
            try:
                place = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY)
                socket_steps.call(socket_steps.LIBC.setns(place, 0))
            except OSError as error:
                said = errno.errorcode[error.errno or 0]
            told[said] = told.get(said, 0) + 1
    return told


def processes() -> int:
    """How many processes can be seen, but for the program's own."""
    seen = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        seen += sys.argv[-1] not in agent.read(f"/proc/{process}/cmdline").split("\0")
    return seen


def writable(folder: str) -> list[str]:
    """The files below a folder that could be opened to be written."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                os.close(os.open(f"{place}/{name}", os.O_WRONLY))
                found.append(f"{place}/{name}")
            except OSError:
                continue
    return found


def flood(seconds: float, packets: list[tuple[int, bytes, str]]) -> None:
    """Begin to send packets with headers of their own, a family and a destination each, as fast as
    it goes, for so long.
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        FLOODS.append(reader)
        return
    lines = {family: socket.socket(family, socket.SOCK_RAW, 255) for family, _, _ in packets}
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for family, data, there in packets:
            try:
                lines[family].sendto(data, (there, 0))
                sent += 1
            except OSError:
                continue
    os.write(writer, b"%d" % sent)
    os._exit(0)


def flooded() -> int:
    """How many packets the flood had, once it is over."""
    reader = FLOODS.pop()
    told = os.read(reader, 64)
    os.close(reader)
    return int(told)


def main() -> None:
    """As a program of the policy: do what the lines say that come by a socket in its own /run."""
    functions = {**vars(agent), **vars(socket_steps), **globals()}
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(agent.LINE)
    server.listen(1)
    print("here", flush=True)
    while True:
        line, _ = server.accept()
        with line, line.makefile("rb") as commands:
            for command in commands:
                line.sendall(repr(agent.done(command, functions)).encode() + b"\n")


if __name__ == "__main__":
    main()
