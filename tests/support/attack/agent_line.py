"""The connection to the agent in a guest: the guest's second serial port, here a Unix socket.

In: the name of a function of `agent`, and plain values.  Out: what the function returned.
"""

from __future__ import annotations

import ast
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

BOOT_SECONDS = 180.0
ANSWER_SECONDS = 60.0
AGENT = Path(__file__).with_name("agent.py")
SHIPPED_INIT = "shipped-init"
"""A copy of the image's `/init`, beside the agent, which replaces `/init` and becomes this copy."""


class AgentError(AssertionError):
    """The agent raised an error or did not answer."""


class AgentLine:
    """The connection to the agent. A context manager; QEMU connects when it starts."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="inside-")
        self._path = Path(self._folder.name) / "line"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._line: socket.socket | None = None
        self._waiting = b""

    @property
    def options(self) -> list[str]:
        """QEMU's arguments for the second serial port."""
        chardev = f"socket,id=agent,path={self._path},server=off"
        return ["-chardev", chardev, "-serial", "chardev:agent"]

    def __enter__(self) -> AgentLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            self._line.close()
        self._listener.close()
        self._folder.cleanup()

    def wait(self) -> None:
        """Wait until the agent is ready."""
        self._listener.settimeout(BOOT_SECONDS)
        self._line, _ = self._listener.accept()
        self._answer(BOOT_SECONDS)

    def do(self, function: str, *arguments: Any) -> Any:
        """Call a function of the agent; raises AgentError with what it raised."""
        assert self._line is not None
        self._line.sendall(repr((function, arguments)).encode() + b"\n")
        return self._answer(ANSWER_SECONDS)

    def _answer(self, seconds: float) -> Any:
        assert self._line is not None
        give_up = time.monotonic() + seconds
        while b"\n" not in self._waiting:
            left = give_up - time.monotonic()
            if left <= 0:
                raise AgentError(f"the agent did not answer in {seconds} s")
            self._line.settimeout(left)
            piece = self._line.recv(65536)
            if not piece:
                raise AgentError("the guest has stopped")
            self._waiting += piece
        line, _, self._waiting = self._waiting.partition(b"\n")
        good, result = ast.literal_eval(line.decode())
        if not good:
            raise AgentError(result)
        return result
