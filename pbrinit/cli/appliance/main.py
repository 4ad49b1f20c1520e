"""What compiles on the appliance: a policy that is tried, and the one that is kept with
what is given to it.

In: a command line, from `pbrctl`, the console, the control broker or PID 1, all of which are root.
Out: text or JSON on standard output.  Exit status: 0; 2 where the policy or the command line is
wrong, with every reason on standard error; 1 where the machine does not do it.

`try` reads files as root may, at the console.  `try-for` tries what a program has sent: it takes
standard input and no other file, and the policy is compiled in a sandbox.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pbrinit.boot.control import commands
from pbrinit.boot.control.broker_protocol import LONGEST_POLICY
from pbrinit.boot.control.commands import SENT, Try, UsageError
from pbrinit.boot.guard import requests
from pbrinit.boot.guard.requests import Offer
from pbrinit.boot.state import active_plan
from pbrinit.cli import policy_files
from pbrinit.cli.appliance import assign
from pbrinit.cli.appliance.candidate import Candidate, Situation
from pbrinit.cli.appliance.compiler_process import CompilerProcess
from pbrinit.policy.problems import PolicyError
from pbrinit.wire.bootplan import BootPlan

FAILED, USAGE = 1, 2
PIPED = "piped.toml"
USAGE_LINE = f"pbrctl {commands.CHANGES['try'][0]} [--json]"
HELP = f"""\
usage: {USAGE_LINE}
  Puts a policy in force; the one before comes back unless it is confirmed in so many seconds,
  or {commands.TRIAL_SECONDS}. FILE is on the machine, or - for what is piped."""

Answer = dict[str, object]


class FailedError(Exception):
    """What the machine does not do, or does not understand; the text says why."""

    def __init__(self, why: str, status: int = FAILED) -> None:
        super().__init__(why)
        self.status = status


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    words = [word for word in arguments if word != commands.JSON]
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
    except UsageError as error:
        return _failed(f"error: {error}", {"error": str(error)}, USAGE, as_json=as_json)
    except Exception as error:  # also a module that this image has not: no traceback, ever
        return _failed(f"error: {error}", {"error": str(error)}, FAILED, as_json=as_json)
    print(json.dumps(answer) if as_json else answer["text"])
    return 0


def _command(words: Sequence[str]) -> Callable[[Sequence[str]], Answer]:
    known = {"try": _try, "try-for": _try_for, "lease": _lease}
    if words[0] not in known:
        raise FailedError(f"there is no command {words[0]!r}; {USAGE_LINE}", USAGE)
    return known[words[0]]


def _failed(text: str, answer: Answer, status: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(answer))
    else:
        print(text, file=sys.stderr)
    return status


def _try(words: Sequence[str]) -> Answer:
    """Try the policy in a file, as root."""
    command = commands.parse(["try", *words])
    if not isinstance(command, Try):
        raise FailedError(USAGE_LINE, USAGE)
    now = active_plan.now()
    if command.file == SENT:
        with policy_files.unfolded({PIPED: sys.stdin.buffer.read()}) as path:
            for name, _ in policy_files.lists(path):
                raise FailedError(f"network.{name}: what is piped has no files: list them", USAGE)
            return _offered(*_from_file(path, now), now, command.seconds)
    return _offered(*_from_file(Path(command.file), now), now, command.seconds)


def _from_file(path: Path, now: BootPlan) -> tuple[Candidate, dict[str, bytes]]:
    """The policy in a file, and the files that it is read from where addresses are given: with
    another address another plan is made of it.

    Raises PolicyError, SourceError, OSError.
    """
    candidate = Candidate.read(path, Situation.of(now))
    return candidate, policy_files.policy_and_lists(path) if now.dynamic_interfaces else {}


def _try_for(words: Sequence[str]) -> Answer:
    """Try what a program of the policy has sent, which is hostile until it is compiled."""
    match words:
        case [program, length]:
            seconds = commands.trial_seconds(length)
        case _:
            raise FailedError("try-for PROGRAM SECONDS", USAGE)
    compiler = CompilerProcess()
    policy = sys.stdin.buffer.read(LONGEST_POLICY)
    now = active_plan.now()
    candidate = compiler.candidate(PIPED, policy, now)
    return _offered(candidate, {PIPED: policy}, now, seconds, program)


def _offered(
    candidate: Candidate, files: dict[str, bytes], now: BootPlan, seconds: int, program: str = ""
) -> Answer:
    """Ask the guard to put it in force. Raises FailedError, OSError."""
    offer = Offer(candidate.plan, candidate.waiting, files).pack()
    done, told = requests.ask(f"try {seconds} {now.digest} {program}".rstrip(), offer)
    if not done:
        raise FailedError(told)
    text = "\n".join(map(str, (*candidate.remarks, candidate, told)))
    return {"text": text, "remarks": [vars(remark) for remark in candidate.remarks],
            "rules": len(candidate.plan.rules), "corners": candidate.asked}  # fmt: skip


def _lease(words: Sequence[str]) -> Answer:
    """What PID 1 asks for: the policy that is kept with what is given, at most one of a
    family."""
    texts = [word for word in words if "/" in word]
    if not texts:
        raise FailedError("lease LEASE … [RESOLVER …]", USAGE)
    return {"text": assign.use(texts, [word for word in words if word not in texts])}
