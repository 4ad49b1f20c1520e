"""Messages of a build: steps, the output of failed commands, errors.

In: messages and commands.  Out: lines on standard error, log files, an exit.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

HEARTBEAT_SECONDS = 15


def step(message: str) -> None:
    """Print a line that says that something begins, or is done."""
    print(f"==> {message}", file=sys.stderr, flush=True)


def die(message: str, *, hint: str | None = None, status: int = 2) -> NoReturn:
    """Print an error and a hint, then exit with `status`."""
    print(f"error: {message}", file=sys.stderr)
    if hint is not None:
        print(f" hint: {hint}", file=sys.stderr)
    sys.exit(status)


def size(path: Path) -> str:
    """The size of a file in MiB, as text: `6.94 MiB`."""
    return f"{path.stat().st_size / 2**20:.2f} MiB"


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a long command with its output in the file `log`, and print its progress every few
    seconds.

    Ends the program with the last lines of the log where the command fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    step(f"{what} (log: {log})")
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
            )
        except FileNotFoundError:
            die(f"{what}: there is no command {command[0]}", hint="`make deps` installs it")
        with process:
            while True:
                try:
                    process.wait(HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    step(f"{what}: {time.monotonic() - start:.0f} s, {_last_line(log)}")
                except KeyboardInterrupt:
                    process.terminate()
                    die(f"{what}: interrupted", status=130)
    if process.returncode != 0:
        print("\n".join(_tail(log, 30)), file=sys.stderr)
        die(f"{what} failed with status {process.returncode}", hint=f"the complete log is {log}")


def _tail(log: Path, lines: int) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-lines:]


def _last_line(log: Path) -> str:
    return (_tail(log, 1) or [""])[0].strip()[:100]
