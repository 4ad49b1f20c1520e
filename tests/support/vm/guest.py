"""A guest and its serial console.

In: a machine, lines to type.  Out: the guest's output, complete in a log, and piece by piece.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pexpect

from factory.vm.qemu import Accelerator, Machine, command

PROMPT = "pbrinit> "
LOGS = Path("build/log")

# Without KVM a boot takes 5 to 20 s, and more where both processors are at work.
BOOT_SECONDS = 120.0
ANSWER_SECONDS = 30.0

# Colours and cursor moves of firmware and consoles (ECMA-48 5.4), and the kernel's time stamps.
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_KERNEL_LINE = re.compile(r"^(<\d+>)?\[ *\d+\.\d{6}\]")


class ConsoleError(AssertionError):
    """The guest did not print the expected text."""


class _Transcript:
    """What pexpect reads, written on at once, with the time of each piece."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.text = ""
        self._ends: list[int] = []
        self._times: list[float] = []
        self._file = path.open("w")

    def write(self, piece: str) -> None:
        # Both terminals, the guest's and QEMU's, put a carriage return before a line's end.
        piece = piece.replace("\r", "")
        self.text += piece
        self._ends.append(len(self.text))
        self._times.append(time.monotonic())
        self._file.write(piece)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def time_at(self, offset: int) -> float:
        return self._times[bisect_left(self._ends, offset)]


class Guest:
    """A running QEMU. A context manager: it always ends the guest."""

    def __init__(
        self,
        name: str,
        machine: Machine,
        accelerator: Accelerator,
        logs: Path,
        extra_arguments: Sequence[str] = (),
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        """Switch it on. The console goes to `logs`/boot-`name`.log; `extra_arguments` are
        for QEMU, `prefix` is the command that starts it, such as nsenter.
        """
        self._log = _Transcript(logs / f"boot-{name}.log")
        self.power_on = time.monotonic()
        first, *rest = [*prefix, *command(machine, accelerator), *extra_arguments]
        self._child = pexpect.spawn(
            first, rest, encoding="utf-8", codec_errors="replace", echo=False, dimensions=(50, 500)
        )
        self._child.logfile_read = self._log
        self._child.delaybeforesend = None  # a guest has no password prompts to race with

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch it off; its last output is logged."""
        if self._child.closed:
            return
        self.drain()
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
            self._child.wait()
        self._child.close()
        self._log.close()

    @property
    def transcript(self) -> str:
        """All that was read so far."""
        return self._log.text

    def wait_for_prompt(self, timeout: float = BOOT_SECONDS) -> str:
        """Everything up to the next prompt, without kernel messages."""
        # Anchored: the echo of a line, or a message, may have the same words in it.
        self._expect(_pattern(rf"^{re.escape(PROMPT)}"), timeout)
        return _clean(str(self._child.before))

    def run(self, line: str, timeout: float = ANSWER_SECONDS) -> str:
        """Type `line` at a prompt; the output until the next prompt, without kernel messages."""
        self.drain()
        self._child.sendline(line)
        output = self.wait_for_prompt(timeout)
        first, _, rest = output.partition("\n")
        # The guest's terminal repeats what is typed.
        return rest if first.strip() == line.strip() else output

    def press(self, keys: str) -> None:
        """Type without a line end or waiting, for control characters and half lines."""
        self._child.send(keys)

    def send_line(self, line: str) -> None:
        """Type a line and do not wait."""
        self._child.sendline(line)

    def expect(self, pattern: str, timeout: float = ANSWER_SECONDS) -> re.Match[str]:
        r"""Wait for a regular expression; the match. `^` is a line's start; lines end in \r+\n."""
        self._expect(_pattern(pattern), timeout)
        match = self._child.match
        assert isinstance(match, re.Match)
        return match

    def wait_for_end(self, timeout: float = ANSWER_SECONDS) -> None:
        """Wait until the guest has switched itself off (or rebooted, which ends QEMU too)."""
        self._expect(pexpect.EOF, timeout)

    def drain(self, quiet: float = 0.05) -> str:
        """Read the output until nothing more arrives for `quiet` seconds; return and skip it."""
        output = ""
        give_up = time.monotonic() + ANSWER_SECONDS
        # Through expect, as pexpect keeps more than its public buffer between two calls.
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            while time.monotonic() < give_up:
                self._child.expect(re.compile(".+", re.DOTALL), timeout=quiet)
                output += str(self._child.after)
        return _clean(output)

    def printed_at(self, pattern: str) -> float:
        """When the first match of `pattern` was read, of `time.monotonic()`.

        The console is read only while something waits for it: wait for what comes later first.
        """
        match = _pattern(pattern).search(self._log.text)
        if match is None:
            raise ConsoleError(f"the guest never printed {pattern!r}; see {self._log.path}")
        return self._log.time_at(match.end())

    def _expect(self, pattern: re.Pattern[str] | type[pexpect.EOF], timeout: float) -> None:
        try:
            self._child.expect(pattern, timeout=timeout)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            expected = pattern.pattern if isinstance(pattern, re.Pattern) else "its end"
            outcome = (
                "ended" if isinstance(error, pexpect.EOF) else f"did not print it in {timeout} s"
            )
            tail = "\n".join(_ESCAPE.sub("", self._log.text).splitlines()[-30:])
            raise ConsoleError(
                f"waited for {expected!r} but the guest {outcome}. {self._log.path} ends:\n{tail}"
            ) from None


def _pattern(text: str) -> re.Pattern[str]:
    # Compiled here: pexpect would let a dot match a line's end.
    return re.compile(text, re.MULTILINE)


def _clean(text: str) -> str:
    lines = _ESCAPE.sub("", text).replace("\r", "").splitlines()
    return "\n".join(line for line in lines if not _KERNEL_LINE.match(line)).strip("\n")
