"""What a running machine is asked, inside a namespace: acts of `lab`.

In: plans and words.  Out: plain values.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pbrinit.boot.control import pbrctl, queries
from pbrinit.boot.network import fail_closed
from pbrinit.boot.observe import drop_counters, metrics_server, status
from pbrinit.boot.state import active_plan
from pbrinit.boot.system.atomic_file import atomic_write
from pbrinit.wire.bootplan import BootPlan, pack

serving: list[int] = []

status.__dict__["SYSCTLS"] = ()  # of the kernel that is shipped, not of the one that tests run on


def answer(plan: BootPlan, line: str) -> tuple[Any, list[str]]:
    """What a command says, as values and as lines; how it was wrong, where it was."""
    try:
        told, lines = queries.answer(plan, line.split())
    except queries.UsageError as error:
        return None, [str(error)]
    return told, list(lines)


def dropped() -> dict[tuple[str, str], int]:
    """How many of each kind and family."""
    return {(str(d["kind"]), str(d["family"])): int(d["count"]) for d in drop_counters.read()}


def program(plan: BootPlan, *words: str) -> tuple[int, str, str]:
    """What `pbrctl` says on a machine with this plan: exit status, output, errors."""
    active_plan.IMAGE = f"{tempfile.mkdtemp()}/plan"
    fail_closed.REASON = f"{active_plan.IMAGE}.closed"
    Path(active_plan.IMAGE).write_bytes(pack(plan))
    out, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
        code = pbrctl.main(words)
    return code, out.getvalue(), wrong.getvalue()


def serve_metrics(plan: BootPlan) -> None:
    """Serve the page in a process of its own, as PID 1 does."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    active_plan.IN_FORCE = str(folder / "plan")
    child = os.fork()
    if child == 0:
        try:
            metrics_server.serve(plan)
        finally:
            os._exit(1)
    serving.append(child)
    time.sleep(0.3)


def put_in_force(plan: BootPlan | None) -> None:
    """Note that another plan is in force than the machine started with, or that none is."""
    if plan is None:
        Path(active_plan.IN_FORCE).unlink()
    else:
        atomic_write(active_plan.IN_FORCE, pack(plan))


def server_status() -> dict[str, str]:
    """Of /proc/PID/status of the program that serves."""
    rows = Path(f"/proc/{serving[-1]}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def server_files() -> set[str]:
    """What it has open, but for sockets."""
    names = {str(path.readlink()) for path in Path(f"/proc/{serving[-1]}/fd").iterdir()}
    return {name for name in names if not name.startswith("socket:")}


def server_sockets() -> int:
    """How many sockets it has."""
    links = (str(path.readlink()) for path in Path(f"/proc/{serving[-1]}/fd").iterdir())
    return sum(link.startswith("socket:") for link in links)


def stop_metrics() -> None:
    """End the program that serves."""
    os.kill(serving[-1], signal.SIGKILL)
    os.waitpid(serving[-1], 0)


def curl(url: str, source: str, *more: str) -> tuple[int, str]:
    """curl's exit status and what it got, from an address."""
    command = ["curl", "-sS", "--globoff", "-m", "5", "--interface", source, *more, url]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


def say(address: str, port: int, source: str, said: bytes, seconds: float = 6.0) -> bytes:
    """Connect, say it, and hear until the other side ends."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    heard = b""
    with socket.socket(family) as plug:
        plug.settimeout(seconds)
        plug.bind((source, 0))
        plug.connect((address, port))
        with contextlib.suppress(OSError):
            plug.sendall(said)
            while piece := plug.recv(65536):
                heard += piece
    return heard


def hold(address: str, port: int, source: str, count: int, said: bytes) -> None:
    """Open many connections, say something on each that is no whole request, and stay."""

    def stay() -> None:
        with contextlib.suppress(OSError):
            say(address, port, source, said, 30)

    for _ in range(count):
        threading.Thread(target=stay, daemon=True).start()
