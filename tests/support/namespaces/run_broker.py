"""A broker inside a namespace, as PID 1 starts it, and its clients: calls for `lab`.

In: plans, and bytes that clients send.  Out: plain values.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

from pbrinit.boot.control import actions, broker, broker_protocol
from pbrinit.boot.observe import status
from pbrinit.boot.programs import mounts
from pbrinit.boot.state import active_plan
from pbrinit.wire.bootplan import BootPlan, pack
from tests.support.namespaces import run_supervisor

brokers: list[int] = []
Answer = tuple[int, str, str]

CLIENT = """
import contextlib, socket, struct
def exchange(request, path="/run/broker/socket", strict=False):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(path)
    answer = b""
    with contextlib.suppress(BrokenPipeError):
        client.sendall(request)
    try:
        while piece := client.recv(65536):
            answer += piece
    except OSError as error:
        if strict:
            raise
        answer += str(error).encode()
    return answer
def run(*words):
    request = "\\0".join(words).encode()
    answer = exchange(struct.pack("!II", len(request), 0) + request, strict=True)
    streams, status = {1: b"", 2: b""}, None
    while answer:
        kind, size = struct.unpack_from("!BI", answer)
        if kind == 3:
            status = size
            break
        streams[kind] += answer[5:5 + size]
        answer = answer[5 + size:]
    return status, streams[1].decode(), streams[2].decode()
"""
"""The code of a client program. It imports nothing of this project."""


PROJECT = Path(__file__).parents[3]
CONTROL = f"""#!{sys.executable} -ISB
import sys
sys.path.insert(0, {str(PROJECT)!r})
from pbrinit.boot.state import active_plan
from pbrinit.cli.appliance.main import main
active_plan.IMAGE = "/run/image.plan"
sys.exit(main(sys.argv[1:]))
"""
"""The program that compiles policies, as the image has it."""


def write_control_program(plan: BootPlan) -> str:
    """Write that program and the image's plan below /run; the program's path."""
    Path("/run/image.plan").write_bytes(pack(plan))
    path = Path("/run/control")
    path.write_text(CONTROL)
    path.chmod(0o755)
    return str(path)


def start(plan: BootPlan, hear_seconds: float = 10.0) -> None:
    """Run the broker for the plan's programs, in a process of its own, with the users that
    `run_supervisor` gives them.
    """
    plan = run_supervisor.with_ids(plan)
    child = os.fork()
    if child:
        brokers.append(child)
        time.sleep(0.3)
        return
    try:
        os.dup2(2, 1)
        actions.CONTROL = write_control_program(plan)
        active_plan.IMAGE = "/run/image.plan"
        broker.HEAR_SECONDS = hear_seconds
        status.__dict__["SYSCTLS"] = ()  # of the kernel that is shipped
        broker.serve([program for program in plan.programs if program.control])
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    os._exit(1)


def plant(folder: str, names: tuple[str, ...], text: str) -> None:
    """Put a secret into files that root alone may read, into descriptors that the broker will have
    open, and into its environment.
    """
    os.environ["SECRET"] = text
    Path(folder).mkdir(0o700)
    for name in names:
        path = Path(folder, name)
        path.write_text(text)
        path.chmod(0o600)
        os.set_inheritable(os.open(path, os.O_RDONLY), True)


def stop() -> None:
    """End the broker."""
    os.kill(brokers[-1], signal.SIGKILL)
    os.waitpid(brokers.pop(), 0)


def workers() -> list[tuple[int, int]]:
    """The nice value and the oom_score_adj of each process that serves a client."""
    text = Path(f"/proc/{brokers[-1]}/task/{brokers[-1]}/children").read_text()
    return [
        (os.getpriority(os.PRIO_PROCESS, int(child)),
         int(Path(f"/proc/{child}/oom_score_adj").read_text()))
        for child in text.split()
    ]  # fmt: skip


def reply_to(uid: int, request: bytes, name: str = "one") -> str:
    """What the broker answers to a user who sends this to a program's socket."""
    path = f"{mounts.BROKERS}/{name}/socket"
    script = f"{CLIENT}\nprint(exchange({request!r}, {path!r}))"
    return subprocess.run(
        ["/usr/bin/python3", "-ISBc", script],
        check=True, capture_output=True, text=True, user=uid, group=uid, extra_groups=[],
    ).stdout  # fmt: skip


def answer(uid: int, words: tuple[str, ...], policy: bytes = b"", name: str = "one") -> Answer:
    """Exit status, output and errors of a command that a user sends to a program's socket."""
    streams = {broker_protocol.OUT: b"", broker_protocol.ERR: b""}
    data = exchange(uid, broker_protocol.request(words, policy), name)
    while len(data) >= broker_protocol.PIECE.size:
        kind, size = broker_protocol.PIECE.unpack_from(data)
        data = data[broker_protocol.PIECE.size :]
        if kind == broker_protocol.END:
            return (
                size,
                streams[broker_protocol.OUT].decode(),
                streams[broker_protocol.ERR].decode(),
            )
        streams[kind] += data[:size]
        data = data[size:]
    raise AssertionError(f"the broker did not end its answer: {streams}")


def exchange(uid: int, request: bytes, name: str = "one", seconds: float = 150.0) -> bytes:
    """All that a user receives who sends this to a program's socket."""
    response = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        os.seteuid(uid)  # the broker reads the user of the connection (SO_PEERCRED)
        try:
            client.connect(f"{mounts.BROKERS}/{name}/socket")
        finally:
            os.seteuid(0)
        with contextlib.suppress(BrokenPipeError):
            client.sendall(request)
        while piece := client.recv(65536):
            response += piece
    return response


def hold_connections(uid: int, count: int) -> int:
    """Open `count` idle connections as a user; the process that holds them."""
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


def end_process(process: int) -> None:
    """End a process that holds connections."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def client_program(*commands: tuple[str, ...], then: str = "time.sleep(60)") -> str:
    """A program that sends these commands and prints the answers as JSON."""
    return (
        f"{CLIENT}\nimport json, os, time\n"
        "while not os.path.exists('/run/broker/socket'):\n    time.sleep(0.05)\n"
        f"answers = [run(*words) for words in {commands!r}]\n"
        "print(json.dumps([os.listdir('/run/broker'), *answers]))\n"
        f"{then}"
    )


def answers_in(output: str) -> list[tuple[int, str, str]]:
    """The answers in the output of program `one`: exit status, output and errors of each."""
    line = next(line for line in output.splitlines() if line.startswith("one: [["))
    files, *answers = json.loads(line.removeprefix("one: "))
    assert files == ["socket"]
    return [tuple(answer) for answer in answers]
