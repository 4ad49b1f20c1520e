"""A desk inside a namespace, as PID 1 starts it, and who asks there: acts of `lab`.

In: plans, and bytes that are said.  Out: plain values.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from pbrinit.boot.control import broker
from pbrinit.boot.observe import status
from pbrinit.boot.programs import mounts
from pbrinit.boot.state import active_plan
from pbrinit.wire.bootplan import BootPlan, pack

desks: list[int] = []

CLIENT = """
import contextlib, socket, struct
def say(said, path="/run/broker/socket", whole=False):
    plug = socket.socket(socket.AF_UNIX)
    plug.settimeout(30)
    plug.connect(path)
    heard = b""
    with contextlib.suppress(BrokenPipeError):
        plug.sendall(said)
    try:
        while piece := plug.recv(65536):
            heard += piece
    except OSError as error:
        if whole:
            raise
        heard += str(error).encode()
    return heard
def ask(*words):
    said = "\\0".join(words).encode()
    heard = say(struct.pack("!II", len(said), 0) + said, whole=True)
    told = {1: b"", 2: b"", 3: None}
    while heard:
        kind, size = struct.unpack_from("!BI", heard)
        if kind == 3:
            told[3] = size
            break
        told[kind] += heard[5:5 + size]
        heard = heard[5 + size:]
    return told[3], told[1].decode(), told[2].decode()
"""
"""What a program has that asks; it sees nothing of ours."""


def start(plan: BootPlan, hear_seconds: float = 10.0) -> None:
    """Serve the plan's programs, in a process of its own."""
    child = os.fork()
    if child:
        desks.append(child)
        time.sleep(0.3)
        return
    try:
        os.dup2(2, 1)
        active_plan.IMAGE = f"{tempfile.mkdtemp(dir='/run')}/plan"
        Path(active_plan.IMAGE).write_bytes(pack(plan))
        broker.HEAR_SECONDS = hear_seconds
        status.__dict__["SYSCTLS"] = ()  # of the kernel that is shipped
        broker.serve([program for program in plan.programs if program.ask])
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    os._exit(1)


def stop() -> None:
    """End it."""
    os.kill(desks[-1], signal.SIGKILL)
    os.waitpid(desks.pop(), 0)


def workers() -> list[tuple[int, int]]:
    """Of each that attends to somebody: its nice value, and how early it goes where memory ends."""
    text = Path(f"/proc/{desks[-1]}/task/{desks[-1]}/children").read_text()
    return [
        (os.getpriority(os.PRIO_PROCESS, int(child)),
         int(Path(f"/proc/{child}/oom_score_adj").read_text()))
        for child in text.split()
    ]  # fmt: skip


def said_by(uid: int, said: bytes, name: str = "one") -> str:
    """What a user hears who is let to a program's socket and says this."""
    path = f"{mounts.BROKERS}/{name}/socket"
    script = f"{CLIENT}\nprint(say({said!r}, {path!r}))"
    return subprocess.run(
        ["/usr/bin/python3", "-ISBc", script],
        check=True, capture_output=True, text=True, user=uid, group=uid, extra_groups=[],
    ).stdout  # fmt: skip


def hold(uid: int, count: int) -> int:
    """So many connections by a user, on which nothing is said; the process that holds them."""
    script = (
        "import socket, time\nheld = []\n"
        f"for _ in range({count}):\n"
        "    plug = socket.socket(socket.AF_UNIX)\n    plug.setblocking(False)\n"
        "    try:\n"
        f"        plug.connect('{mounts.BROKERS}/one/socket')\n        held.append(plug)\n"
        "    except OSError:\n        pass\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    child = subprocess.Popen(
        ["/usr/bin/python3", "-ISBc", script], stdout=subprocess.PIPE,
        user=uid, group=uid, extra_groups=[],
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    return child.pid


def let_go(process: int) -> None:
    """End one who holds."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def program(*asked: tuple[str, ...], then: str = "time.sleep(60)") -> str:
    """One that asks these, each the words of a command, and says what it heard as JSON."""
    return (
        f"{CLIENT}\nimport json, os, time\n"
        "while not os.path.exists('/run/broker/socket'):\n    time.sleep(0.05)\n"
        f"print(json.dumps([os.listdir('/run/broker'), *(ask(*words) for words in {asked!r})]))\n"
        f"{then}"
    )


def heard(said: str) -> list[tuple[int, str, str]]:
    """What the program `one` heard for each: exit status, output and errors."""
    line = next(line for line in said.splitlines() if line.startswith("one: [["))
    files, *told = json.loads(line.removeprefix("one: "))
    assert files == ["socket"]
    return [tuple(answer) for answer in told]
