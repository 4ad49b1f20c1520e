"""No process waits for a terminal: lines wait, and those that were too many are counted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pbrinit.boot.system import console_writer
from pbrinit.boot.system.console_writer import WAITING_BYTES, Backlog, Terminal
from tests.support.pseudo_terminal import STOPS, Pty, terminals

SECOND = 1.0
LINES = 3000
"""More than a terminal, its backlog and the queues take together."""


PID_1 = """
import os, signal, sys, time
from pbrinit.boot.system import console_writer, log
console_writer.ACTIVE = sys.argv[1]
console_writer.begin()
def writer():
    child = os.fork()
    if child == 0:
        console_writer.run()
        os._exit(0)
    return child
{program}
"""


@contextmanager
def pid_1(tmp_path: Path, ptys: list[Pty], program: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun as PID 1 does, with these consoles; what it prints can be read."""
    active = tmp_path / "active"
    active.write_text(" ".join(one.name for one in ptys))
    words = [sys.executable, "-c", PID_1.format(program=program), str(active)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


MANY = f"""
child = writer()
console_writer.hand_over()
sys.stdin.readline()
start = time.monotonic()
for number in range({LINES}):
    log.log(f"line {{number}}")
print(time.monotonic() - start, flush=True)
sys.stdin.readline()
time.sleep(0.5)
log.log("the last")
sys.stdin.readline()
"""
"""Reports a great number of lines when it is told to, and says how long that took."""


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def took(process: subprocess.Popen[str]) -> float:
    """How long the process worked, as it says, from now on."""
    assert process.stdout is not None
    go_on(process)
    return float(process.stdout.readline())


@pytest.mark.parametrize("stop", STOPS)
def test_who_reports_never_waits_and_the_other_terminal_has_every_line(
    tmp_path: Path, stop: str
) -> None:
    with terminals(2) as (stopped, other), pid_1(tmp_path, [stopped, other], MANY) as process:
        STOPS[stop](stopped)
        time.sleep(0.1)
        assert took(process) < SECOND
        go_on(process)
        seen = other.read_until("the last\n")
    told = [int(number) for number in re.findall(r"pbrinit: line (\d+)\n", seen)]
    missed = sum(int(count) for count in re.findall(r"(\d+) lines? left out", seen))
    assert told == sorted(told)
    assert len(told) + missed == LINES


def test_what_was_left_out_is_counted_and_the_last_lines_are_kept(tmp_path: Path) -> None:
    with terminals() as [stopped], pid_1(tmp_path, [stopped], MANY) as process:
        stopped.press(b"\x13")
        time.sleep(0.1)
        took(process)
        go_on(process)
        time.sleep(0.3)
        assert stopped.read() == ""
        stopped.press(b"\x11")
        seen = stopped.read_until("the last\n")
    told = [int(number) for number in re.findall(r"pbrinit: line (\d+)\n", seen)]
    missed = sum(int(count) for count in re.findall(r"(\d+) lines? left out", seen))
    assert missed > 0
    assert told == sorted(told)
    assert "line 1\n" not in seen, "the oldest make room, but for the one that is being written"
    assert len(told) + missed == LINES
    assert re.fullmatch(r"(\[ *\d+\.\d{3}\] pbrinit: [^\n]*\n)*", seen), "each line is whole"


def test_a_terminal_that_hung_up_has_the_lines_of_after_it_came_back(tmp_path: Path) -> None:
    """By vhangup(2): all who had it open get EIO for good, and must open it again."""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], MANY) as process:
        took(process)
        terminal.read_until("line 5\n")
        terminal.read()
        leader = "import ctypes, os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        leader += "os.setsid(); os.open(sys.argv[1], os.O_RDWR); ctypes.CDLL(None).vhangup()"
        hanging = os.open(f"/dev/{terminal.name}", os.O_WRONLY | os.O_NOCTTY)
        subprocess.run([sys.executable, "-c", leader, f"/dev/{terminal.name}"], check=True)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(hanging, b"x")
        os.close(hanging)
        go_on(process)
        terminal.read_until("the last\n")


def test_a_console_writer_that_stands_still_or_ends_stops_nobody(tmp_path: Path) -> None:
    """What was queued is written by the next one."""
    program = f"""
child = writer()
console_writer.hand_over()
log.log("first")
sys.stdin.readline()
os.kill(child, signal.SIGSTOP)
start = time.monotonic()
for number in range({LINES}):
    log.log(f"line {{number}}")
print(time.monotonic() - start, flush=True)
sys.stdin.readline()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
start = time.monotonic()
for number in range({LINES}):
    log.log(f"more {{number}}")
print(time.monotonic() - start, flush=True)
writer()
time.sleep(1)
time.sleep(0.5)
log.log("the last")
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        terminal.read_until("first\n")
        assert took(process) < SECOND
        assert took(process) < SECOND
        seen = terminal.read_until("the last\n")
    told = re.findall(r"pbrinit: (line|more) (\d+)\n", seen)
    missed = sum(int(count) for count in re.findall(r"(\d+) lines? left out", seen))
    assert ("line", "0") in told
    assert len(told) + missed == 2 * LINES


def test_pid_1_writes_by_itself_before_there_is_a_console_writer_and_hands_on_the_rest(
    tmp_path: Path,
) -> None:
    program = """
for number in range(20):
    log.log(f"early {number}")
sys.stdin.readline()
start = time.monotonic()
for number in range(20, 40):
    log.log(f"early {number}")
print(time.monotonic() - start, flush=True)
child = writer()
console_writer.hand_over()
log.log("handed over")
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        terminal.read_until("early 19\n")
        terminal.press(b"\x13")
        time.sleep(0.1)
        assert took(process) < SECOND
        time.sleep(0.3)
        terminal.press(b"\x11")
        seen = terminal.read_until("handed over\n")
    assert re.findall(r"early (\d+)\n", seen) == [str(number) for number in range(20, 40)]


def test_pid_1_can_take_the_consoles_back(tmp_path: Path) -> None:
    """Where no console writer can be started: also what others had queued."""
    program = """
console_writer.hand_over()
log.log("queued")
sys.stdin.readline()
console_writer.begin()
console_writer.flush()
log.log("by itself")
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        assert terminal.read() == ""
        go_on(process)
        assert re.search(r"queued\n.*by itself\n", terminal.read_until("by itself\n"))


def test_what_guards_the_machine_goes_before_what_programs_print(tmp_path: Path) -> None:
    """However fast they print: of a terminal that was stopped, or a line that is slow."""
    program = """
child = writer()
console_writer.hand_over()
log.log("first")
sys.stdin.readline()
for number in range(500):
    log.log_output(f"program: {number}")
    time.sleep(0.0005)
log.log("guard: repaired")
for number in range(500, 1500):
    log.log_output(f"program: {number}")
    time.sleep(0.0005)
print(0.0, flush=True)
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        terminal.read_until("first\n")
        terminal.press(b"\x13")
        time.sleep(0.1)
        took(process)
        terminal.press(b"\x11")
        seen = terminal.read_until("program: 1499\n")
    assert "guard: repaired" in seen
    assert "left out" in seen
    assert seen.index("guard: repaired") < seen.index("program: 1499")


def test_a_hostile_process_commands_no_terminal_and_takes_no_queue_along(tmp_path: Path) -> None:
    """It has standard output alone: it may fill it, write anything, and shut it down."""
    program = """
child = writer()
console_writer.hand_over()
sys.stdin.readline()
if os.fork() == 0:
    os.dup2(log.confine(), 1)
    log.log("before")
    os.write(1, b"\\x1b[2J\\x07" + b"a" * 5000 + b"\\nnext")
    import socket
    socket.socket(fileno=os.dup(1)).shutdown(socket.SHUT_RDWR)
    os._exit(0)
os.wait()
time.sleep(0.3)
cpu = lambda: sum(map(int, open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[11:13]))
used = cpu()
time.sleep(1)
print((cpu() - used) / os.sysconf("SC_CLK_TCK"), flush=True)
time.sleep(0.5)
log.log("the last")
log.log_output("and a program")
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        assert took(process) < 0.5, "a queue that was shut down keeps the writer busy"
        seen = terminal.read_until("and a program\n")
    assert "pbrinit: before\n" in seen
    assert "\\x1b[2J\\x07aaa" in seen
    assert "\x1b" not in seen
    assert "the last\n" in seen


def test_at_the_end_of_the_machine_the_last_lines_are_written(tmp_path: Path) -> None:
    program = """
child = writer()
console_writer.hand_over()
log.log("first")
sys.stdin.readline()
log.log("going down")
os.kill(child, signal.SIGTERM)
start = time.monotonic()
os.waitpid(child, 0)
print(time.monotonic() - start, flush=True)
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        terminal.read_until("first\n")
        assert took(process) < console_writer.END_SECONDS + SECOND
        terminal.read_until("going down\n")


def test_what_a_killed_writer_has_left_is_written_by_pid_1_before_the_machine_ends(
    tmp_path: Path,
) -> None:
    """Also to a terminal that was hung up a moment ago, as a shell's is when it ends."""
    program = """
import fcntl, termios
child = writer()
console_writer.hand_over()
log.log("first")
sys.stdin.readline()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
log.log("going down")
console_writer.begin()
console_writer.flush()
name = "/dev/" + open(sys.argv[1]).read()
if os.fork() == 0:
    os.setsid()
    fcntl.ioctl(os.open(name, os.O_RDWR), termios.TIOCSCTTY, 1)
    os._exit(0)
os.wait()
log.log("the very last")
console_writer.finish()
print("0", flush=True)
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        terminal.read_until("first\n")
        took(process)
        terminal.read_until("going down\n")
        terminal.read_until("the very last\n")


def test_a_terminal_of_a_session_is_not_taken_by_the_writer(tmp_path: Path) -> None:
    """Or its end would hang up whoever sits there."""
    program = """
os.setsid() if os.getsid(0) != os.getpid() else None
child = writer()
console_writer.hand_over()
log.log("first")
sys.stdin.readline()
print(open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[4], flush=True)
sys.stdin.readline()
"""
    with terminals() as [terminal], pid_1(tmp_path, [terminal], program) as process:
        terminal.read_until("first\n")
        assert took(process) == 0, "it has no controlling terminal (proc_pid_stat(5), tty_nr)"


def test_a_backlog_keeps_what_there_is_room_for() -> None:
    backlog = Backlog()
    put = 500
    for number in range(put):
        backlog.put(b"%03d" % number + b"x" * 97)
    kept = WAITING_BYTES // 100
    assert backlog.take().endswith(b"pbrinit: %d lines left out\n" % (put - kept))
    assert backlog.take() == b"%03d" % (put - kept) + b"x" * 97
    for _ in range(kept - 1):
        assert backlog.take()
    assert backlog.take() == b""


def test_a_terminal_that_is_not_there_is_tried_again() -> None:
    terminal = Terminal("no such terminal")
    terminal.put(b"line\n", 0, own=True)
    assert terminal.flush() == console_writer.REOPEN_SECONDS


def test_a_line_that_a_full_terminal_does_not_take_is_written_whole_later() -> None:
    with terminals() as [one]:
        one.fill()
        terminal = Terminal(one.name)
        terminal.put(b"a" * 100 + b"\n", 0, own=True)
        assert terminal.flush() == console_writer.RETRY_SECONDS
        deadline = time.monotonic() + 20
        seen = one.read(0.1)
        while terminal.flush() is not None:
            assert time.monotonic() < deadline, "the terminal takes it no more"
            seen += one.read(0.1)
        assert ("a" * 100 + "\n") in seen + one.read(0.1)
