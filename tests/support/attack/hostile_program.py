#!/usr/bin/python3 -ISB
"""A hostile program of a policy: it executes what the agent sends to a socket in its /run.

In: lines as the agent gets them.  Out: a line for each.  Its last argument is its name.
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
GREEDY = "/etc/evil/tests/support/attack/greedy.py"


def enter_namespaces() -> dict[str, int]:
    """Try to enter every visible namespace; how often each result occurred."""
    counts: dict[str, int] = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        for name in os.listdir(f"/proc/{process}/ns"):
            result = "done"
            try:
                descriptor = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY)
                socket_steps.call(socket_steps.LIBC.setns(descriptor, 0))
            except OSError as error:
                result = errno.errorcode[error.errno or 0]
            counts[result] = counts.get(result, 0) + 1
    return counts


def other_processes() -> int:
    """How many processes are visible, except the program's own."""
    count = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        count += sys.argv[-1] not in agent.read(f"/proc/{process}/cmdline").split("\0")
    return count


def files_with(text: str) -> list[str]:
    """The readable files that contain this text."""
    files = []
    for directory, _, names in os.walk("/"):
        if directory.startswith(("/proc/", "/dev")):
            continue
        for name in names:
            try:
                if _has(f"{directory}/{name}", text.encode()):
                    files.append(f"{directory}/{name}")
            except OSError:
                continue
    return files


def _has(path: str, text: bytes) -> bool:
    """Whether a file contains the text; read in pieces, as the program's memory is limited."""
    with open(path, "rb") as file:
        before = b""
        while piece := file.read(65536):
            if text in before + piece:
                return True
            before = piece[-len(text) :]
    return False


def leave_chroot() -> list[str]:
    """Leave a chroot by a directory outside of it (chroot(2)); the files in the root reached."""
    os.makedirs("/tmp/below", exist_ok=True)
    outside = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/below")
    os.fchdir(outside)
    for _ in range(64):
        os.chdir("..")
    names = os.listdir(".")
    os.chroot(".")
    return sorted(names)


def user_ids() -> tuple[list[str], list[int]]:
    """The user namespace's mapping, and the users that the program can become."""
    uids = []
    for uid in (0, 1, 1001, 1002, 65534, 65535, 65536, 1 << 30):
        child = os.fork()
        if child == 0:
            try:
                os.setresuid(uid, uid, uid)
            except OSError:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            uids.append(uid)
    return agent.read("/proc/self/uid_map").split(), uids


def writable_files(folder: str) -> list[str]:
    """The files below a folder that can be opened for writing."""
    files = []
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                os.close(os.open(f"{directory}/{name}", os.O_WRONLY))
                files.append(f"{directory}/{name}")
            except OSError:
                continue
    return files


def flood(seconds: float, packets: list[tuple[int, bytes, str]]) -> None:
    """Start to send packets through raw sockets, without a pause, for some seconds.

    Each packet is (address family, whole IP packet, destination).
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        FLOODS.append(reader)
        return
    sockets = {family: socket.socket(family, socket.SOCK_RAW, 255) for family, _, _ in packets}
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for family, data, destination in packets:
            try:
                sockets[family].sendto(data, (destination, 0))
                sent += 1
            except OSError:
                continue
    os.write(writer, b"%d" % sent)
    os._exit(0)


def flood_count() -> int:
    """How many packets the flood sent; waits for its end."""
    reader = FLOODS.pop()
    count = os.read(reader, 64)
    os.close(reader)
    return int(count)


def main() -> None:
    """Execute the lines that arrive on a socket in the program's own /run."""
    functions = {**vars(agent), **vars(socket_steps), **globals()}
    if os.path.exists(GREEDY):
        from tests.support.attack import greedy  # noqa: PLC0415  only some policies have it

        functions |= vars(greedy)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(agent.SOCKET_PATH)
    server.listen(1)
    print("ready", flush=True)
    while True:
        line, _ = server.accept()
        with line, line.makefile("rb") as commands:
            for command in commands:
                line.sendall(repr(agent.execute(command, functions)).encode() + b"\n")


if __name__ == "__main__":
    main()
