"""What compiles on the appliance: a policy that is tried, and the one that is kept with
what is given to it.

In: a command line.  Out: text or JSON on standard output.  Exit status: 0; 2 where the policy or
the command line is wrong, with every reason on standard error; 1 where the machine does not do it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pbrinit.boot.guard import requests
from pbrinit.boot.state import active_plan, confirmed_policy
from pbrinit.boot.system.atomic_file import atomic_write
from pbrinit.cli import policy_files
from pbrinit.cli.appliance import assign
from pbrinit.cli.appliance.candidate import Candidate
from pbrinit.policy.problems import PolicyError
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan

FAILED, USAGE = 1, 2
SECONDS = "60"
PIPED = "piped.toml"
USAGE_LINE = "pbrctl try FILE [--confirm SECONDS] [--json]"
HELP = f"""\
usage: {USAGE_LINE}
  Puts a policy in force; the one before comes back unless it is confirmed in so many seconds,
  or {SECONDS}. FILE is on the machine, or - for what is piped."""

Answer = dict[str, object]


class FailedError(Exception):
    """What the machine does not do, or does not understand; the text says why."""

    def __init__(self, why: str, status: int = FAILED) -> None:
        super().__init__(why)
        self.status = status


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    words = [word for word in arguments if word != "--json"]
    as_json = len(words) < len(arguments)
    if not words or {"-h", "--help"} & {*words}:
        print(HELP)
        return 0
    try:
        answer = _command(words)(words[1:])
    except PolicyError as error:
        problems = [vars(problem) for problem in error.problems]
        count = f"{len(problems)} error{'s' if len(problems) > 1 else ''}"
        return _failed(f"{error}\n{count}", {"problems": problems}, USAGE, as_json=as_json)
    except FailedError as error:
        return _failed(f"error: {error}", {"error": str(error)}, error.status, as_json=as_json)
    except Exception as error:  # also a module that this image has not: no traceback, ever
        return _failed(f"error: {error}", {"error": str(error)}, FAILED, as_json=as_json)
    print(json.dumps(answer) if as_json else answer["text"])
    return 0


def _command(words: Sequence[str]) -> Callable[[Sequence[str]], Answer]:
    commands = {"try": _try, "lease": _lease}
    if words[0] not in commands:
        raise FailedError(f"there is no command {words[0]!r}; {USAGE_LINE}", USAGE)
    return commands[words[0]]


def _failed(text: str, answer: Answer, status: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(answer))
    else:
        print(text, file=sys.stderr)
    return status


def _try(words: Sequence[str]) -> Answer:
    match words:
        case [file]:
            length = SECONDS
        case [file, "--confirm", length] | ["--confirm", length, file]:
            pass
        case _:
            raise FailedError(USAGE_LINE, USAGE)
    if not length.isdigit():
        raise FailedError(f"--confirm takes seconds, not {length!r}", USAGE)
    now = active_plan.now()
    if file == "-":
        with policy_files.unfolded({PIPED: sys.stdin.buffer.read()}) as path:
            candidate = _made_ready(path, now, piped=True)
    else:
        candidate = _made_ready(Path(file), now, piped=False)
    told = _asked(f"try {length} {now.digest}")
    text = "\n".join(map(str, (*candidate.remarks, candidate, told)))
    return {"text": text, "remarks": [vars(remark) for remark in candidate.remarks],
            "rules": len(candidate.plan.rules), "corners": candidate.asked}  # fmt: skip


def _made_ready(path: Path, now: BootPlan, *, piped: bool) -> Candidate:
    """The policy in a file, put where the guard takes it. One that is piped has nothing beside it:
    who may not read a file of this machine must not be told what is in it by the mistakes that it
    is as a list of prefixes. Where addresses are given, what it is read from is put down as well:
    with another address another plan is made of it.

    Raises FailedError, PolicyError.
    """
    for name, _ in policy_files.lists(path) if piped else ():
        raise FailedError(f"network.{name}: what is piped has no files: list them", USAGE)
    candidate = Candidate.of(path, now)
    atomic_write(active_plan.NEXT, bootplan.pack(candidate.plan))
    if now.dynamic_interfaces:
        files = policy_files.of(path)
        confirmed_policy.write(
            confirmed_policy.ConfirmedPolicy(candidate.plan.digest, candidate.waiting, files)
        )
    return candidate


def _lease(words: Sequence[str]) -> Answer:
    """What PID 1 asks for: the policy that is kept with what is given, at most one of a
    family."""
    texts = [word for word in words if "/" in word]
    if not texts:
        raise FailedError("lease LEASE … [RESOLVER …]", USAGE)
    return {"text": assign.use(texts, [word for word in words if word not in texts])}


def _asked(line: str) -> str:
    done, told = requests.ask(line)
    if not done:
        raise FailedError(told)
    return told
