"""pbrctl and the metrics server of a running machine, inside a namespace: calls for `lab`.

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
from pbrinit.boot.control.commands import UsageError
from pbrinit.boot.network import fail_closed
from pbrinit.boot.observe import drop_counters, metrics_server, status
from pbrinit.boot.state import active_plan
from pbrinit.boot.system.atomic_file import atomic_write
from pbrinit.wire.bootplan import BootPlan, pack

servers: list[int] = []

status.__dict__["SYSCTLS"] = ()  # of the kernel that is shipped, not of the one that tests run on


def query(plan: BootPlan, line: str) -> tuple[Any, list[str]]:
    """The answer to a command, as values and as lines, or the usage error."""
    try:
        value, lines = queries.answer(plan, line.split())
    except UsageError as error:
        return None, [str(error)]
    return value, list(lines)


def drop_counts() -> dict[tuple[str, str], int]:
    """The drop counters by kind and family."""
    return {(str(d["kind"]), str(d["family"])): int(d["count"]) for d in drop_counters.read()}


def pbrctl_command(plan: BootPlan, *words: str) -> tuple[int, str, str]:
    """Run `pbrctl` on a machine with this plan; its exit status, output and errors."""
    active_plan.IMAGE = f"{tempfile.mkdtemp()}/plan"
    fail_closed.REASON = f"{active_plan.IMAGE}.closed"
    Path(active_plan.IMAGE).write_bytes(pack(plan))
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = pbrctl.main(words)
    return code, output.getvalue(), errors.getvalue()


def serve_metrics(plan: BootPlan) -> None:
    """Run the metrics server in a process of its own, as PID 1 does."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    active_plan.IN_FORCE = str(folder / "plan")
    child = os.fork()
    if child == 0:
        try:
            metrics_server.serve(plan)
        finally:
            os._exit(1)
    servers.append(child)
    time.sleep(0.3)


def put_in_force(plan: BootPlan | None) -> None:
    """Record another plan as the one in force, or none."""
    if plan is None:
        Path(active_plan.IN_FORCE).unlink()
    else:
        atomic_write(active_plan.IN_FORCE, pack(plan))


def server_status() -> dict[str, str]:
    """The fields of /proc/PID/status of the metrics server."""
    rows = Path(f"/proc/{servers[-1]}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def server_files() -> set[str]:
    """The files that it has open, except sockets."""
    names = {str(path.readlink()) for path in Path(f"/proc/{servers[-1]}/fd").iterdir()}
    return {name for name in names if not name.startswith("socket:")}


def server_sockets() -> int:
    """How many sockets it has."""
    links = (str(path.readlink()) for path in Path(f"/proc/{servers[-1]}/fd").iterdir())
    return sum(link.startswith("socket:") for link in links)


def stop_metrics() -> None:
    """End the metrics server."""
    os.kill(servers[-1], signal.SIGKILL)
    os.waitpid(servers[-1], 0)


def curl(url: str, source: str, *more: str) -> tuple[int, str]:
    """Run curl from a source address; its exit status and output."""
    command = ["curl", "-sS", "--globoff", "-m", "5", "--interface", source, *more, url]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


def exchange(address: str, port: int, source: str, request: bytes, seconds: float = 6.0) -> bytes:
    """Connect, send the request, and read until the server closes the connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    response = b""
    with socket.socket(family) as plug:
        plug.settimeout(seconds)
        plug.bind((source, 0))
        plug.connect((address, port))
        with contextlib.suppress(OSError):
            plug.sendall(request)
            while piece := plug.recv(65536):
                response += piece
    return response


def hold_connections(address: str, port: int, source: str, count: int, request: bytes) -> None:
    """Open many connections, send an incomplete request on each, and keep them open."""

    def keep_open() -> None:
        with contextlib.suppress(OSError):
            exchange(address, port, source, request, 30)

    for _ in range(count):
        threading.Thread(target=keep_open, daemon=True).start()
