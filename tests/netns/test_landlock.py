"""The second wall: without any mount or namespace, a process that is restricted reaches no more,
as far as the kernel of this host can; that of the image knows version 6.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from pbrinit.boot.system import landlock

ATTEMPTS = """
import errno, json, os, socket, sys
from pbrinit.boot.system import landlock, syscalls
if sys.argv[1] == "restricted":
    syscalls.prctl(38, 1)  # no new privileges
    landlock.restrict()

def attempt(what, *words):
    try:
        what(*words)
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

def write(path):
    with open(path, "w") as file:
        file.write("x")

print(json.dumps([
    attempt(write, sys.argv[2]),
    attempt(write, "/dev/null"),
    attempt(write, sys.argv[3]),
    attempt(open, sys.executable),
    attempt(os.kill, os.getppid(), 0),
    attempt(socket.socket(socket.AF_UNIX).connect, "\\0" + sys.argv[4][1:]),
]))
"""


def attempts(how: str, *words: str) -> list[str]:
    command = [sys.executable, "-c", ATTEMPTS, how, *words]
    told: list[str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return told


def test_files_signals_and_abstract_sockets_of_others_are_out_of_reach() -> None:
    version = landlock.abi_version()
    file, other = ("EACCES" if version else "done"), ("EPERM" if version >= 6 else "done")
    outside, inside = Path("/var/tmp/landlock-test"), Path("/tmp/landlock-test")  # noqa: S108
    name = f"\0landlock-test-{id(outside)}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        words = (str(outside), str(inside), f"@{name[1:]}")
        try:
            assert attempts("free", *words) == ["done"] * 6
            told = attempts("restricted", *words)
            assert told == [file, "done", "done", "done", other, other]
        finally:
            outside.unlink(missing_ok=True)
            inside.unlink(missing_ok=True)
