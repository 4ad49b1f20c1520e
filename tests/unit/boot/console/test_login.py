"""Nothing but the password gets in, and the wait after a mistake is the machine's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from pbrinit.boot.console import login
from pbrinit.boot.console.login import Attempts
from pbrinit.wire import password_hash
from tests.support.pseudo_terminal import Pty, terminals

SECRET = "open"  # noqa: S105  of this test
WRONG = "that is not the password\n"
ASKED = "password: "
FAST = 0.15
"""Seconds of the first wait, in place of one."""

CONSOLE = """
import os, signal, sys, time
from pbrinit.boot.console import login
from pbrinit.boot.system import terminals
name, login.HASH, login.PATH = sys.argv[1:4]
login.FIRST_SECONDS = float(sys.argv[4])
terminals.attach(name)
signal.signal(signal.SIGINT, signal.default_int_handler)
login.require_password()
print("in", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Consoles:
    """The console processes of a machine, each in a session of its own, as PID 1 starts them."""

    def __init__(self, folder: Path) -> None:
        self.wait_file = folder / "login"
        self._hash = folder / "password"
        with mock.patch.object(password_hash, "ROUNDS", 1000):  # so that it takes no time
            self._hash.write_text(password_hash.hash_password(SECRET))
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, terminal: Pty, first_seconds: float = FAST) -> subprocess.Popen[bytes]:
        """Another one on this terminal."""
        words = [terminal.name, str(self._hash), str(self.wait_file), str(first_seconds)]
        self._processes.append(
            subprocess.Popen([sys.executable, "-c", CONSOLE, *words], start_new_session=True)
        )
        return self._processes[-1]

    def end(self) -> None:
        """All of them."""
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def machine(folder: Path, count: int = 1) -> Iterator[tuple[Consoles, list[Pty]]]:
    """A machine with so many terminals, and a console on each."""
    with terminals(count) as found:
        consoles = Consoles(folder)
        try:
            for terminal in found:
                consoles.start(terminal)
                terminal.read_until(ASKED)
            yield consoles, found
        finally:
            consoles.end()


def mistake(terminal: Pty) -> float:
    """Type what is wrong; how long it took to be told so."""
    start = time.monotonic()
    terminal.press(b"wrong\n")
    terminal.read_until(WRONG)
    waited = time.monotonic() - start
    terminal.read_until(ASKED)
    return waited


def test_each_mistake_takes_longer(tmp_path: Path) -> None:
    with machine(tmp_path) as (_, [terminal]):
        waited = [mistake(terminal) for _ in range(4)]
    assert all(at >= FAST * 2**n for n, at in enumerate(waited)), waited


@pytest.mark.parametrize("keys", [b"\x03", b"\x1c", b"\x1a", b"\x13", b"\x11", b"\x0f", b"\x16"])
def test_no_key_is_a_signal_or_stops_the_terminal(tmp_path: Path, keys: bytes) -> None:
    """Ctrl with C, backslash, Z, S, Q, O, V: before, and while it waits."""
    with machine(tmp_path) as (consoles, [terminal]):
        mistake(terminal)
        start = time.monotonic()
        terminal.press(keys + b"wrong\n" + keys * 3)
        time.sleep(0.1)
        terminal.press(keys + b"\n" + keys)
        terminal.read_until(WRONG)
        assert time.monotonic() - start >= 2 * FAST
        terminal.read_until(ASKED)
        terminal.press(f"{SECRET}\n".encode())
        terminal.read_until("in\n")
        assert all(process.poll() is None for process in consoles._processes)


def test_after_the_password_ctrl_c_works(tmp_path: Path) -> None:
    with machine(tmp_path) as (_, [terminal]):
        terminal.press(f"{SECRET}\n".encode())
        terminal.read_until("in\n")
        terminal.press(b"\x03")
        terminal.read_until("interrupted\n")


@pytest.mark.parametrize("ends", [signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL, signal.SIGINT])
def test_a_new_console_process_waits_as_long(tmp_path: Path, ends: signal.Signals) -> None:
    """A hang-up ends the one that waits, and PID 1 starts another."""
    with machine(tmp_path) as (consoles, [terminal]):
        for _ in range(3):
            mistake(terminal)
        start = time.monotonic()
        terminal.press(b"wrong\n")
        time.sleep(0.5)
        consoles._processes[-1].send_signal(ends)
        consoles._processes[-1].wait()
        consoles.start(terminal)
        terminal.read_until(ASKED)
        assert time.monotonic() - start >= 8 * FAST
        assert mistake(terminal) >= 16 * FAST


def test_one_that_ends_while_it_compares_has_made_its_mistake(tmp_path: Path) -> None:
    with machine(tmp_path) as (consoles, [terminal]):
        for _ in range(3):
            mistake(terminal)
        start = time.monotonic()
        terminal.press(b"wrong\n")
        while consoles.wait_file.read_bytes()[:1] != b"\4":
            assert time.monotonic() < start + 5
        consoles._processes[-1].kill()
        consoles._processes[-1].wait()
        consoles.start(terminal)
        terminal.read_until(ASKED)
        assert time.monotonic() - start >= 8 * FAST


def test_a_second_terminal_waits_too_and_two_at_once_are_one_after_the_other(
    tmp_path: Path,
) -> None:
    with machine(tmp_path, 2) as (_, [one, other]):
        for _ in range(3):
            mistake(one)
        start = time.monotonic()
        one.press(b"wrong\n")
        time.sleep(0.2)
        other.press(b"wrong\n")
        other.read_until(WRONG)
        assert time.monotonic() - start >= (8 + 16) * FAST


def test_the_right_password_is_compared_in_its_turn(tmp_path: Path) -> None:
    with machine(tmp_path, 2) as (_, [one, other]):
        for _ in range(2):
            mistake(one)
        start = time.monotonic()
        one.press(b"wrong\n")
        time.sleep(0.2)
        other.press(f"{SECRET}\n".encode())
        other.read_until("in\n")
        assert time.monotonic() - start >= 4 * FAST
        one.read_until(ASKED)
        assert mistake(one) < 4 * FAST, "after a right password the waits begin anew"


def test_what_is_typed_while_it_waits_is_dropped(tmp_path: Path) -> None:
    with machine(tmp_path) as (_, [terminal]):
        mistake(terminal)
        mistake(terminal)
        terminal.press(b"wrong\n")
        time.sleep(0.5)
        terminal.press(f"{SECRET}\n".encode() * 3)
        seen = terminal.read_until(ASKED)
        assert "in\n" not in seen + terminal.read(1.0)


def test_a_line_of_any_length_is_one_attempt(tmp_path: Path) -> None:
    with machine(tmp_path) as (_, [terminal]):
        terminal.press(b"x" * 3000 + b"\n")
        terminal.read_until(ASKED)
        assert terminal.read(2 * FAST) == ""
        terminal.press(b"\xff\xfe\x00\n")
        terminal.read_until(ASKED)


def test_only_root_reads_when_it_is(tmp_path: Path) -> None:
    with machine(tmp_path) as (consoles, [terminal]):
        mistake(terminal)
        assert consoles.wait_file.stat().st_mode & 0o777 == 0o600


FULL = """
import os, subprocess, sys, time
from pbrinit.boot.console import login
folder, limit = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "run", folder], check=True)
open(folder + "/one", "wb").write(b"x" * 4096)
open(folder + "/two", "w").close()
login.PATH, login.LONGEST_SECONDS = folder + "/login", 0.5
start = time.monotonic()
assert login.Attempts().compare(lambda: True)
assert time.monotonic() - start >= 0.5, "no wait"
os.unlink(folder + "/one")
attempts = login.Attempts()
assert not attempts.compare(lambda: False)
assert attempts.left() > 0, "not kept"
"""


@pytest.mark.parametrize("limit", ["size=4k", "nr_inodes=3"])
def test_where_the_wait_cannot_be_kept_it_is_the_longest(tmp_path: Path, limit: str) -> None:
    """A /run that is full, of data or of files, and then emptied."""
    words = ["unshare", "--mount", sys.executable, "-c", FULL, str(tmp_path), limit]
    subprocess.run(words, check=True)


def test_the_clock_is_one_that_is_never_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "PATH", str(tmp_path / "login"))
    attempts = Attempts()
    attempts.compare(lambda: False)
    until = login.FORM.unpack((tmp_path / "login").read_bytes())[1]
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert now < until < now + login.FIRST_SECONDS
