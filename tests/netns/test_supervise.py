"""PID 1 in a PID namespace: it reaps, keeps its console and its guard, and ends in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, time, types
from pbrinit.boot import supervise
from pbrinit.boot.console import shell
from pbrinit.boot.guard import guard
from pbrinit.boot.network import fail_closed
from pbrinit.boot.observe import reject_log
from pbrinit.boot.state import plan_outline
from pbrinit.boot.system import powerbutton, syscalls, terminals
told = sys.argv[1]

def note(word):
    with open(told, "a") as file:
        file.write(word + chr(10))

def reboot(command):
    if command != syscalls.RB_DISABLE_CAD:
        note("reboot %x" % command)
        os._exit(0)
    note("cad off")

def orphan():
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.1)
            os._exit(0)
        os._exit(0)
    os.wait()

starts = 0
def run(terminal, plan, why):
    note("console " + str(why))
    {console}

def watch(plan):
    note("guard")
    {guard}

def log():
    note("log")
    os.fork()
    time.sleep(60)

def in_force(image):
    return types.SimpleNamespace(log=os.path.exists(told + ".log"), programs=())

syscalls.reboot, shell.run, guard.watch, reject_log.watch = reboot, run, watch, log
plan_outline.read = in_force
terminals.usable, powerbutton.devices = lambda: ['tty'], lambda: []
supervise.start_watchdog = lambda: None
supervise.PAUSES = (0.05, 0.4)
fail_closed.DEVICES, fail_closed.REASON = "/nowhere", told + ".reason"
end = {end}
plan = dict(links=(), programs=(), metrics=None, log=False, dynamic_interfaces=())
supervise.run(types.SimpleNamespace(**plan), end)
"""


def pid_1(
    tmp_path: Path,
    console: str = "time.sleep(60)",
    guard: str = "time.sleep(60)",
    end: str = "None",
) -> list[str]:
    """What a PID 1 in a namespace of its own did until it ended the machine."""
    told = tmp_path / "told"
    program = PROGRAM.format(console=console, guard=guard, end=end)
    subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program, str(told)],
        check=True,
        timeout=30,
    )
    return told.read_text().splitlines()


@pytest.mark.parametrize(
    ("number", "command"), [("SIGINT", "1234567"), ("SIGTERM", "1234567"), ("SIGUSR2", "4321fedc")]
)
def test_ctrl_alt_del_and_signals_end_the_machine(
    tmp_path: Path, number: str, command: str
) -> None:
    told = pid_1(tmp_path, console=f"time.sleep(0.3); os.kill(1, signal.{number}); time.sleep(9)")
    assert told[0] == "cad off"
    assert told[-1] == f"reboot {command}"


def test_programs_are_asked_to_end_before_the_machine_does(tmp_path: Path) -> None:
    asked = "signal.signal(signal.SIGTERM, lambda *_: (note('asked'), os._exit(0)))"
    told = pid_1(tmp_path, console=f"{asked}; os.kill(1, signal.SIGTERM); time.sleep(9)")
    assert told[-2:] == ["asked", "reboot 1234567"]


def test_a_console_that_ends_is_started_again_and_orphans_are_reaped(tmp_path: Path) -> None:
    left = "[p for p in os.listdir('/proc') if p.isdigit() and 'State:\\tZ' in state(p)]"
    state = "state = lambda p: open('/proc/' + p + '/status').read()"
    again = "open(told).read().count('console') < 3"
    console = (
        f"orphan(); time.sleep(0.3); {state}; note('left ' + str({left}));"
        f" {again} or os.kill(1, signal.SIGUSR2); {again} or time.sleep(9)"
    )
    told = pid_1(tmp_path, console=console)
    assert told.count("console None") == 3
    assert {word for word in told if word.startswith("left")} == {"left []"}


def test_a_guard_that_fails_is_started_again_and_then_closes_the_machine(tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    told = pid_1(
        tmp_path,
        guard=f"fail_closed.PLAN = {str(plan)!r}; raise ValueError('broken')",
        console="time.sleep(1.5); os.kill(1, signal.SIGUSR2); time.sleep(9)",
    )
    assert told.count("guard") == 3


def test_a_closed_machine_ends_when_the_policy_wants_it(tmp_path: Path) -> None:
    end = "fail_closed.Closed('why not', 'reboot', supervise.seconds() + 0.5)"
    told = pid_1(tmp_path, end=end)
    assert told == ["cad off", "console why not", "reboot 1234567"]


def test_the_log_runs_for_as_long_as_the_plan_in_force_wants_it(tmp_path: Path) -> None:
    """It is started again where it ends, and when PID 1 is told to look and it is not wanted any
    more nothing of it is left, nor what it has started.
    """
    mine = "[int(p) for p in os.listdir('/proc') if p.isdigit() and p != '1']"
    leader = f"sorted({mine})[-2]"
    console = (
        "look = lambda: (os.kill(1, signal.SIGHUP), time.sleep(0.5));"
        f" time.sleep(0.3); first = len({mine}); look(); note('idle ' + str(len({mine}) - first));"
        f" open(told + '.log', 'w').close(); look(); note('wanted ' + str(len({mine}) - first));"
        f" look(); os.killpg({leader}, signal.SIGKILL); time.sleep(0.5);"
        f" note('again ' + str(len({mine}) - first));"
        f" os.unlink(told + '.log'); look(); note('over ' + str(len({mine}) - first));"
        " os.kill(1, signal.SIGUSR2); time.sleep(9)"
    )
    told = [line for line in pid_1(tmp_path, console=console) if line not in ("cad off", "guard")]
    assert told == [
        "console None", "idle 0", "log", "wanted 2", "log", "again 2", "over 0", "reboot 4321fedc",
    ]  # fmt: skip


def test_a_guard_that_ends_may_have_put_another_plan_in_force_before(tmp_path: Path) -> None:
    """It then had no time to say that what is logged is another."""
    guard = "first = not os.path.exists(told + '.log'); open(told + '.log', 'w').close();"
    told = pid_1(
        tmp_path,
        guard=f"{guard} time.sleep(0.3 if first else 60)",
        console="time.sleep(1.5); os.kill(1, signal.SIGUSR2); time.sleep(9)",
    )
    assert told.count("guard") == 2
    assert told.count("log") == 1
